"""A policy's way to a thousand and to five thousand nodes, against a bare client that makes the same writes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.nodes import Effort
from tests.bench.rows import Row, controlled
from tests.cluster import operators
from tests.cluster.apiserver import ApiServer, running_api_server
from tests.cluster.operators import NAMESPACE, Audit, Objects
from tests.commands import CHECKOUT
from thermocline_operator.apply import CONNECTIONS, Api, configure
from thermocline_operator.decide import NodeWrite
from thermocline_operator.reading import tier_node_manifest
from thermocline_operator.state import Kind

SIZES: Final = (1000, 5000)
QUICK_SIZES: Final = (40, 200)
_PATIENCE_SECONDS: Final = 3600.0
_ROLLOUT: Final = {"canary": "5%", "maxUnavailable": "25%", "soak": "0s"}


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured with so many nodes. Times in seconds; writes and lists by the API server's audit log."""

    nodes: int
    rollout_seconds: float
    bare_seconds: float
    again_seconds: float
    node_writes: int
    lists: int
    rss_mib: float
    cpu_seconds: float
    restart_seconds: float


def measure(effort: Effort) -> Sequence[Row]:
    """Both sizes, one after the other, on one API server."""
    sizes = QUICK_SIZES if effort.boots == 1 else SIZES
    with running_api_server("bench") as server, tempfile.TemporaryDirectory() as folder:
        server.kubectl("create", "namespace", NAMESPACE)
        return rows([_run(server, size, Path(folder)) for size in sizes])


def rows(runs: Sequence[Run]) -> list[Row]:
    """The rows of a small and a large run."""
    small, large = runs
    arms = {
        f"{name}_{run.nodes}": round(getattr(run, f"{name}_seconds"), 2)
        for run in runs
        for name in ("rollout", "bare")
    }
    growth = large.rollout_seconds / small.rollout_seconds
    against = large.rollout_seconds / large.bare_seconds
    control = large.again_seconds / large.bare_seconds
    size = large.nodes / small.nodes
    return [
        Row("writes_per_change", round(large.node_writes / large.nodes, 4), "writes", 1.0, "<= 1.05"),
        Row("lists_after_start", float(large.lists), "lists", 0.0, "<= 0"),
        controlled(Row("rollout_growth", round(growth, 3), "ratio", size, "<= 5.2", arms=arms), control),
        controlled(Row("rollout_vs_bare", round(against, 3), "ratio", 1.0, "<= 1.5", arms=arms), control),
        Row(
            "operator_rss", round(large.rss_mib, 1), "MiB", None, "<= 400", arms={"nodes": float(large.nodes)}
        ),
        Row("operator_cpu", round(large.cpu_seconds / large.nodes * 1000, 3), "ms a node and change"),
        Row(
            "operator_restart",
            round(large.restart_seconds, 2),
            "s",
            None,
            "<= 15",
            arms={"nodes": float(large.nodes)},
        ),
    ]


def _run(server: ApiServer, size: int, folder: Path) -> Run:
    objects, audit = Objects(server), Audit(server.audit_log)
    names = [f"bench-{number:05d}" for number in range(size)]
    objects.clear()
    _each(objects.add_nodes, names)
    with _playing(server) as players:
        log = folder / f"{size}.log"
        with operators.running(server.kubeconfig, log, ("--identity", "bench")) as operator:
            players.wait(size, "every node has an agent that reports")
            audit.mark()
            before = _cpu_seconds(operator.process.pid)
            began = time.monotonic()
            objects.policy("bench", rollout=_ROLLOUT)
            objects.wait(
                "the rollout", lambda: objects.status("bench").get("phase") == "Ready", _PATIENCE_SECONDS
            )
            rollout_seconds = time.monotonic() - began
            cpu_seconds = _cpu_seconds(operator.process.pid) - before
            rss_mib = _peak_mib(operator.process.pid)
            writes = audit.writes_by_name("memorytiernodes").total()
            lists = len(audit.lists())
        began = time.monotonic()
        with operators.running(
            server.kubeconfig, folder / f"{size}-again.log", ("--identity", "bench")
        ) as operator:
            objects.wait("it acts", lambda: "acting" in operator.log.read_text(), _PATIENCE_SECONDS)
            restart_seconds = time.monotonic() - began
        api = Api(configure(server.kubeconfig), NAMESPACE)
        given = api.get(Kind.TIER_NODE, names[0])["spec"]["settings"]
        bare_seconds = _bare(api, players, names, given, "bare-1")
        again_seconds = _bare(api, players, names, given, "bare-2")
    return Run(
        size,
        rollout_seconds,
        bare_seconds,
        again_seconds,
        writes,
        lists,
        rss_mib,
        cpu_seconds,
        restart_seconds,
    )


def _bare(api: Api, players: Players, names: Sequence[str], settings: object, revision: str) -> float:
    """Seconds that the same writes and answers take of a client that thinks nothing."""

    def write(name: str) -> None:
        manifest = tier_node_manifest(NodeWrite(name, "bench", revision))
        manifest["spec"]["settings"] = settings
        api.apply(Kind.TIER_NODE, name, manifest)

    began, answered = time.monotonic(), players.answers
    _each(write, names)
    players.wait(answered + len(names), "every agent answers the bare client")
    return time.monotonic() - began


@dataclass(slots=True)
class Players:
    """The process that plays agents, and how many writes it has made."""

    process: subprocess.Popen[str]
    answers: int = 0
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def wait(self, answers: int, what: str) -> None:
        """Wait until so many writes were made; AssertionError when that takes too long."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.answers < answers:
            assert self.process.poll() is None, f"{what}: the agents ended"
            assert time.monotonic() < deadline, f"{what}: {self.answers} of {answers}"
            time.sleep(0.05)

    def _count(self) -> None:
        assert self.process.stdout is not None
        for _ in self.process.stdout:
            self.answers += 1


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


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _peak_mib(pid: int) -> float:
    (line,) = [
        each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM")
    ]
    return int(line.split()[1]) / 1024
