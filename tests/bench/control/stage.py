"""What rollouts are measured on: an API server with so many nodes, their agents played, an operator, a bare client.

All requests go over connections that are kept: what opening them costs is no part of any figure.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.cluster import operators
from tests.cluster.agents import API, APPLY
from tests.cluster.apiserver import ApiServer
from tests.cluster.operators import NAMESPACE, Audit, Operator
from tests.commands import CHECKOUT
from thermocline_operator.apply import CONNECTIONS, Api, configure
from thermocline_operator.decide import NodeWrite
from thermocline_operator.reading import tier_node_manifest
from thermocline_operator.state import Given, Kind

POLICY: Final = "bench"
_ROLLOUT: Final = {"canary": "5%", "maxUnavailable": "25%", "soak": "0s"}
_PATIENCE_SECONDS: Final = 1800.0
_LOOK_SECONDS: Final = 0.05
_TELL_SECONDS: Final = 10.0
_MERGE: Final = "application/merge-patch+json"


@dataclass(slots=True)
class Players:
    """The process that plays agents, and how many writes it has made."""

    process: subprocess.Popen[str]
    answers: int = 0
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def _count(self) -> None:
        assert self.process.stdout is not None
        for _ in self.process.stdout:
            self.answers += 1


@dataclass(slots=True)
class Stage:
    """A running API server, whoever asks it, and the folder of their logs."""

    server: ApiServer
    players: Players
    names: Sequence[str]
    folder: Path
    api: Api = field(init=False)
    audit: Audit = field(init=False)
    _changes: int = 0
    _lives: int = 0

    def __post_init__(self) -> None:
        self.api = Api(configure(self.server.kubeconfig), NAMESPACE)
        self.audit = Audit(self.server.audit_log)

    def add_nodes(self) -> None:
        """Write all Node objects, as their kubelets would register them."""
        condition = {"type": "Ready", "status": "True", "reason": "Bench", "message": "",
                     "lastTransitionTime": _now()}  # fmt: skip

        def add(name: str) -> None:
            status = {"conditions": [condition]}
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status}
            self.api.ask("POST", "/api/v1/nodes", node)

        _each(add, self.names)

    @contextmanager
    def operator(self) -> Iterator[Operator]:
        """An operator for as long as the block runs; always of the same name, so that it waits for no lease."""
        self._lives += 1
        log = self.folder / f"operator-{len(self.names)}-{self._lives}.log"
        with operators.running(self.server.kubeconfig, log, ("--identity", "bench")) as found:
            yield found

    @contextmanager
    def restarted(self) -> Iterator[tuple[Operator, float]]:
        """An operator, and the seconds from its start until its first decision has reached an agent.

        While it is not there somebody pauses a node: to end that is what there is to decide.
        """
        name, answered = self.names[0], self.players.answers
        path = f"{API}/memorytiernodes/{name}?fieldManager=somebody"
        self.api.ask("PATCH", path, {"spec": {"paused": True}}, content=_MERGE)
        self.wait("a pause", answered + 1)
        began = time.monotonic()
        with self.operator() as operator:
            self.wait("the first decision", answered + 2)
            yield operator, time.monotonic() - began

    def change(self) -> float:
        """Seconds from a policy, or an edit of it, until the operator says that all agents apply that."""
        self._changes += 1
        spec = {"mode": "Enforce", "rules": [{"name": "everything"}], "rollout": _ROLLOUT,
                "hotness": {"interval": f"{10 + self._changes}s"}}  # fmt: skip
        manifest = {"apiVersion": "thermocline.dev/v1alpha1", "kind": "MemoryTierPolicy",
                    "metadata": {"name": POLICY}, "spec": spec}  # fmt: skip
        path = f"{API}/memorytierpolicies/{POLICY}?fieldManager=bench"
        began, answered = time.monotonic(), self.players.answers
        generation = self.api.ask("PATCH", path, manifest, content=APPLY).body["metadata"]["generation"]

        def is_ready() -> bool:
            status = self.api.get(Kind.POLICY, POLICY).get("status", {})
            return (status.get("observedGeneration"), status.get("phase")) == (generation, "Ready")

        self._until("rollout", is_ready, lambda: self.players.answers - answered)
        return time.monotonic() - began

    def bare(self) -> tuple[float, float]:
        """Seconds that a client which thinks nothing takes for the same writes and their answers: there, and back.

        It gives all nodes other settings, then what they had, so that an operator finds all as it was.
        """
        spec = self.api.get(Kind.TIER_NODE, self.names[0])["spec"]
        had = NodeWrite("", spec["policy"], spec["revision"], settings=spec["settings"])
        other = {**spec["settings"], "hotness": {**spec["settings"]["hotness"], "interval": "10m"}}
        return self._give(replace(had, revision="bench-bare", settings=other)), self._give(had)

    def wait(self, what: str, answers: int) -> None:
        """Wait until agents have made so many writes. Raises AssertionError when that takes too long."""
        before = self.players.answers
        self._until(what, lambda: self.players.answers >= answers, lambda: self.players.answers - before)

    def say(self, text: str) -> None:
        """Tell whoever waits."""
        sys.stderr.write(f"bench: rollout: {len(self.names):,} nodes: {text}\n")

    def _give(self, given: NodeWrite) -> float:
        noted = Given(datetime.now(UTC))

        def write(name: str) -> None:
            manifest = tier_node_manifest(replace(given, name=name, given=noted))
            self.api.apply(Kind.TIER_NODE, name, manifest)

        began, answered = time.monotonic(), self.players.answers
        _each(write, self.names)
        self.wait("a bare client", answered + len(self.names))
        return time.monotonic() - began

    def _until(self, what: str, holds: Callable[[], bool], done: Callable[[], int]) -> None:
        began = told = time.monotonic()
        while not holds():
            now = time.monotonic()
            if now - told > _TELL_SECONDS:
                told = now
                self.say(f"{what}: {done():,} answers in {now - began:.0f} s")
            assert self.players.process.poll() is None, f"{what}: the agents ended"
            assert now - began < _PATIENCE_SECONDS, f"{what}: {done():,} answers, and then none"
            time.sleep(_LOOK_SECONDS)


@contextmanager
def set_up(server: ApiServer, size: int, folder: Path) -> Iterator[Stage]:
    """So many nodes, each with an agent that has reported."""
    server.kubectl("create", "namespace", NAMESPACE)
    with _playing(server) as players:
        stage = Stage(server, players, [f"bench-{number:05d}" for number in range(size)], folder)
        stage.say("registering them")
        stage.add_nodes()
        with stage.operator():
            stage.wait("an object for each", size)
        yield stage


@contextmanager
def _playing(server: ApiServer) -> Iterator[Players]:
    words = [f"127.0.0.1:{server.port}", str(server.kubeconfig.parent / "pki")]
    argv = [sys.executable, "-m", "tests.bench.control.players", *words]
    with subprocess.Popen(
        argv, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Players(process)
        finally:
            process.kill()


def _each(act: Callable[[str], None], names: Sequence[str]) -> None:
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for _ in pool.map(act, names):
            pass


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
