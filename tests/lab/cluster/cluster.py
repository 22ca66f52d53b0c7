"""A cluster's life: up, down, status, and the commands that reach into it.

The state of a cluster is what is there: its folder below the cache (certificates, disks, logs, plan.json),
its network namespace, and the file `ready`, written last. Whatever is there without `ready`, and without a
lab that holds the cluster's lock, is what a killed `up` left; the next `up` or `down` removes it.
"""

from __future__ import annotations

import fcntl
import json
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import progress
from tests.lab.build.part import Workshop
from tests.lab.cache import Cache, remove_tree
from tests.lab.cluster import control_plane, member, network, pki, relay
from tests.lab.cluster.boot import Boot
from tests.lab.cluster.plan import API_PORT, Plan, checked_name, members
from tests.lab.errors import LabError
from tests.lab.process import LIFELINE, confined, output_of, tail

READY_SECONDS = 300
PLAN_FILE = "plan.json"


@dataclass(frozen=True, slots=True)
class NodeState:
    """What `cluster status` tells of a node."""

    name: str
    kernel: str
    running: bool
    ready: bool


def home_of(cache: Cache, name: str) -> Path:
    """Where a cluster keeps what it has."""
    return cache.root / "clusters" / checked_name(name)


def load(cache: Cache, name: str) -> Plan:
    """The plan of a cluster that is up. Raises LabError when there is none."""
    home = home_of(cache, name)
    if not (home / "ready").exists() or not network.exists(_plan(home, name)):
        if not home.exists() and network.exists(_plan(home, name)):
            raise LabError(
                f"cluster {name!r} runs, but its folder {home} is gone: end it by "
                f"`python3 -m tests.lab cluster down --name {name}`"
            )
        if home.exists():
            # The machine was booted since, say.
            state = "is not running any more" if (home / "ready").exists() else "did not come up"
            raise LabError(
                f"cluster {name!r} {state}: end what there is of it by "
                f"`python3 -m tests.lab cluster down --name {name}`"
            )
        raise LabError(
            f"there is no cluster {name!r}: start it by `python3 -m tests.lab cluster up --name {name}`"
        )
    return _plan(home, name)


def up(workshop: Workshop, name: str, nodes: str) -> Plan:
    """Start a cluster and wait until all its nodes are Ready. Raises LabError."""
    planned = members(nodes)
    home = home_of(workshop.cache, name)
    with _locked(workshop.cache, name):
        if (home / "ready").exists() and network.exists(_plan(home, name)):
            raise LabError(
                f"cluster {name!r} is up already: use it, end it by "
                f"`python3 -m tests.lab cluster down --name {name}`, "
                "or give another --name"
            )
        _remove(workshop.cache, name)
        names = member.parts(planned)
        plan = Plan(name, home, planned, dict(zip(names, workshop.get(*names), strict=True)))
        home.parent.mkdir(exist_ok=True)
        # The keys of the cluster's administrator and of its nodes lie below it.
        home.mkdir(mode=0o700)
        parts = {part: str(path) for part, path in plan.parts.items()}
        (home / PLAN_FILE).write_text(json.dumps({"nodes": nodes, "parts": parts}))
        try:
            _start(plan)
        except BaseException:
            # Logs and consoles stay for whoever looks into it, processes do not.
            network.remove(plan)
            raise
        (home / "ready").touch()
        return plan


def down(cache: Cache, name: str) -> bool:
    """End a cluster, or what a killed `up` left of it. Returns whether there was anything."""
    with _locked(cache, name):
        return _remove(cache, name)


def status(plan: Plan) -> list[NodeState]:
    """The nodes, as the machine and the API server see them."""
    ready = _ready_nodes(plan)
    return [NodeState(m.name, m.kernel, member.is_running(plan, m), m.name in ready) for m in plan.members]


def restart(cache: Cache, name: str, node: str) -> None:
    """Cut a node's power and switch it on again; returns once it is Ready again. Raises LabError."""
    with _locked(cache, name):
        plan = load(cache, name)
        which = plan.member(node)
        # The API server goes on believing what the node said last, until it says something new.
        _wait(plan, "the API server", lambda: bool(_conditions(plan)))
        before = _heartbeats(plan).get(node)
        member.kill(plan, which)
        member.start(plan, which)
        _wait(
            plan,
            f"node {node}",
            lambda: _heartbeats(plan).get(node, before) != before and node in _ready_nodes(plan),
            (Boot(plan, which),),
        )


def in_use(cache: Cache) -> frozenset[Path]:
    """The parts that clusters were put together from: their disks and programs."""
    found: set[Path] = set()
    for home in (cache.root / "clusters").glob("*"):
        found.update(_plan(home, home.name).parts.values())
    return frozenset(found)


def kubectl(plan: Plan, words: Sequence[str]) -> list[str]:
    """The command that runs kubectl as the cluster's administrator."""
    return [*_as_administrator(plan), str(plan.parts["kubernetes"] / "bin/kubectl"), *words]


def helm(plan: Plan, words: Sequence[str]) -> list[str]:
    """The command that runs helm as the cluster's administrator."""
    return [*_as_administrator(plan), str(plan.parts["helm"] / "bin/helm"), *words]


def _as_administrator(plan: Plan) -> list[str]:
    # Not by a flag: kubectl takes no flag before the name of a plugin, or of a command that it does not know.
    return ["env", f"KUBECONFIG={plan.kubeconfig}", f"KUBECACHEDIR={plan.home / 'kube-cache'}"]


def console(plan: Plan, name: str, words: Sequence[str]) -> list[str]:
    """The command that opens a root shell on a node, or runs a command there."""
    options = [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "IdentitiesOnly=yes",
    ]
    return network.inside(
        plan,
        ["ssh", "-F", "none", "-i", plan.home / "pki/console", *(f"-o{option}" for option in options),
         f"root@{plan.member(name).ip}", *([shlex.join(words)] if words else [])],
    )  # fmt: skip


def _start(plan: Plan) -> None:
    folder = plan.home / "pki"
    pki.make_authority(folder)
    for identity in (*pki.CONTROL_PLANE, *(pki.kubelet(m) for m in plan.members)):
        pki.issue(folder, identity)
    output_of(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", folder / "console"])
    network.create(plan)
    boots = []
    for one in plan.members:
        member.prepare(plan, one)
        member.start(plan, one)
        boots.append(Boot(plan, one))
    control_plane.start(plan, plan.parts["kubernetes"] / "bin")
    port = relay.start(plan, API_PORT)
    plan.kubeconfig.write_text(pki.kubeconfig(folder, pki.ADMIN, f"https://127.0.0.1:{port}"))
    wanted = {m.name for m in plan.members}
    progress.say(f"cluster {plan.name}: waiting for {', '.join(sorted(wanted))}")
    _wait(plan, "the cluster", lambda: wanted <= _ready_nodes(plan), boots)


def _wait(plan: Plan, what: str, done: Callable[[], bool], boots: Sequence[Boot] = ()) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not done():
        for boot in boots:
            boot.look(time.monotonic())
        if time.monotonic() > deadline:
            consoles = "".join(
                f"--- {m.name}\n{tail(plan.home / m.name / 'console', 15)}" for m in plan.members
            )
            missing = sorted({m.name for m in plan.members} - _ready_nodes(plan))
            raise LabError(
                f"{what} was not Ready within {READY_SECONDS} s (not Ready: {', '.join(missing)}): "
                f"see {plan.home}/logs and the consoles:\n{consoles}"
            )
        time.sleep(0.5)


def _ready_nodes(plan: Plan) -> set[str]:
    return {name for name, (is_ready, _) in _conditions(plan).items() if is_ready == "True"}


def _heartbeats(plan: Plan) -> dict[str, str]:
    return {name: heartbeat for name, (_, heartbeat) in _conditions(plan).items()}


def _conditions(plan: Plan) -> dict[str, tuple[str, str]]:
    """Each node's Ready condition and when it was last renewed; nothing while the API server is away."""
    # Confined, for it is no process of the namespace: it must not outlive the lab.
    asked = subprocess.run(
        confined(kubectl(plan, ["get", "nodes", "-o", "json", "--request-timeout=5s"])),
        capture_output=True,
        pass_fds=(LIFELINE,),
        check=False,
    )
    if asked.returncode != 0:
        return {}
    found = {}
    for node in json.loads(asked.stdout)["items"]:
        for condition in node["status"].get("conditions", []):
            if condition["type"] == "Ready":
                found[node["metadata"]["name"]] = (condition["status"], condition["lastHeartbeatTime"])
    return found


def _remove(cache: Cache, name: str) -> bool:
    home = home_of(cache, name)
    plan = Plan(name, home, ())
    # Either may be there alone: who removes a cache ends no process.
    found = network.exists(plan) or home.exists()
    network.remove(plan)
    if home.exists():
        remove_tree(home)
    return found


def _plan(home: Path, name: str) -> Plan:
    """What `up` wrote down; nothing of a cluster that it did not come so far with, or whose machine lost power then."""
    try:
        told = json.loads((home / PLAN_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return Plan(name, home, ())
    return Plan(
        name, home, members(told["nodes"]), {part: Path(path) for part, path in told["parts"].items()}
    )


@contextmanager
def _locked(cache: Cache, name: str) -> Iterator[None]:
    path = cache.root / "locks" / f"cluster-{checked_name(name)}"
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(
                f"another lab is starting or ending cluster {name!r}: wait for it, or give another --name"
            ) from None
        yield
