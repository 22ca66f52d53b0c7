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
from tests.lab.cluster import control_plane, member, network, pki
from tests.lab.cluster.plan import Plan, checked_name, members
from tests.lab.errors import LabError
from tests.lab.process import output_of, tail

READY_SECONDS = 180


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
        raise LabError(f"there is no cluster {name!r}: start it by `python3 -m tests.lab cluster up --name {name}`")
    return _plan(home, name)


def up(workshop: Workshop, name: str, nodes: str) -> Plan:
    """Start a cluster and wait until all its nodes are Ready. Raises LabError."""
    planned = members(nodes)
    home = home_of(workshop.cache, name)
    with _locked(workshop.cache, name):
        if (home / "ready").exists() and network.exists(_plan(home, name)):
            raise LabError(f"cluster {name!r} is up already: use it, end it by `cluster down`, or give another --name")
        _remove(workshop.cache, name)
        workshop.get(*member.parts(planned))
        plan = Plan(name, home, planned)
        home.mkdir(parents=True)
        (home / "plan.json").write_text(json.dumps({"nodes": nodes}))
        try:
            _start(plan, workshop)
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


def status(workshop: Workshop, plan: Plan) -> list[NodeState]:
    """The nodes, as the machine and the API server see them."""
    ready = _ready_nodes(plan, workshop)
    return [NodeState(m.name, m.kernel, member.is_running(plan, m), m.name in ready) for m in plan.members]


def restart(workshop: Workshop, plan: Plan, name: str) -> None:
    """Cut a node's power and switch it on again; returns once it is Ready again."""
    which = plan.member(name)
    member.kill(plan, which)
    # The API server goes on believing what the node said last, until it says something new.
    before = _heartbeats(plan, workshop).get(name)
    member.start(plan, which, workshop)
    _wait(plan, f"node {name}", lambda: _heartbeats(plan, workshop).get(name, before) != before
          and name in _ready_nodes(plan, workshop))


def kubectl(plan: Plan, workshop: Workshop, words: Sequence[str]) -> list[str]:
    """The command that runs kubectl as the cluster's administrator."""
    binary = workshop.path("kubernetes") / "bin/kubectl"
    return network.inside(plan, [binary, f"--kubeconfig={plan.kubeconfig}", *words])


def helm(plan: Plan, workshop: Workshop, words: Sequence[str]) -> list[str]:
    """The command that runs helm as the cluster's administrator."""
    return network.inside(plan, [workshop.path("helm") / "bin/helm", f"--kubeconfig={plan.kubeconfig}", *words])


def console(plan: Plan, name: str, words: Sequence[str]) -> list[str]:
    """The command that opens a root shell on a node, or runs a command there."""
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes"]
    return network.inside(
        plan,
        ["ssh", "-F", "none", "-i", plan.home / "pki/console", *(f"-o{option}" for option in options),
         f"root@{plan.member(name).ip}", *([shlex.join(words)] if words else [])],
    )  # fmt: skip


def _start(plan: Plan, workshop: Workshop) -> None:
    folder = plan.home / "pki"
    pki.make_authority(folder)
    for identity in (*pki.CONTROL_PLANE, *(pki.kubelet(m) for m in plan.members)):
        pki.issue(folder, identity)
    output_of(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", folder / "console"])
    network.create(plan)
    for one in plan.members:
        member.prepare(plan, one, workshop)
        member.start(plan, one, workshop)
    control_plane.start(plan, workshop.path("kubernetes") / "bin")
    wanted = {m.name for m in plan.members}
    progress.say(f"cluster {plan.name}: waiting for {', '.join(sorted(wanted))}")
    _wait(plan, "the cluster", lambda: wanted <= _ready_nodes(plan, workshop))


def _wait(plan: Plan, what: str, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not done():
        if time.monotonic() > deadline:
            consoles = "".join(f"--- {m.name}\n{tail(plan.home / m.name / 'console', 15)}" for m in plan.members)
            raise LabError(
                f"{what} was not Ready within {READY_SECONDS} s: see {plan.home}/logs and the consoles:\n{consoles}"
            )
        time.sleep(0.5)


def _ready_nodes(plan: Plan, workshop: Workshop) -> set[str]:
    return {
        name
        for name, (is_ready, _) in _conditions(plan, workshop).items()
        if is_ready == "True"
    }


def _heartbeats(plan: Plan, workshop: Workshop) -> dict[str, str]:
    return {name: heartbeat for name, (_, heartbeat) in _conditions(plan, workshop).items()}


def _conditions(plan: Plan, workshop: Workshop) -> dict[str, tuple[str, str]]:
    """Each node's Ready condition and when it was last renewed; nothing while the API server is away."""
    asked = subprocess.run(
        kubectl(plan, workshop, ["get", "nodes", "-o", "json", "--request-timeout=5s"]),
        capture_output=True,
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
    if not home.exists():
        if network.exists(plan):
            raise LabError(
                f"the network namespace {plan.namespace} is another lab's (its cache is not {cache.root}): "
                "give another --name, or end that lab from there"
            )
        return False
    network.remove(plan)
    remove_tree(home)
    return True


def _plan(home: Path, name: str) -> Plan:
    try:
        nodes = json.loads((home / "plan.json").read_text())["nodes"]
    except FileNotFoundError:
        return Plan(name, home, ())
    return Plan(name, home, members(nodes))


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

