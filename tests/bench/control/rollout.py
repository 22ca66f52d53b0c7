"""A policy's way to a thousand and to five thousand nodes, against a bare client that makes the same writes."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.control.stage import Stage, set_up
from tests.bench.nodes import Effort
from tests.bench.rows import Row, controlled
from tests.cluster.apiserver import running_api_server

SIZES: Final = (1000, 5000)
QUICK_SIZES: Final = (40, 200)
# Two rollouts each, which take about a minute with 5,000 nodes on two cores.
_ROUNDS: Final = 2


@dataclass(frozen=True, slots=True)
class Round:
    """Two rollouts by an operator and, between them, the same writes twice by a bare client: ABBA, in seconds.

    Counts and costs are of the operator in both rollouts: node_writes by the audit log, lists after its start,
    the greater peak of its memory. restart_seconds are both of its starts.
    """

    rollouts: tuple[float, float]
    bares: tuple[float, float]
    restart_seconds: tuple[float, float]
    node_writes: int
    lists: int
    rss_mib: float
    cpu_seconds: float

    @property
    def against_bare(self) -> float:
        return sum(self.rollouts) / sum(self.bares)


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured with so many nodes."""

    nodes: int
    rounds: tuple[Round, ...]

    def seconds(self, of: Callable[[Round], tuple[float, float]]) -> float:
        """The median of times."""
        return statistics.median(each for one in self.rounds for each in of(one))


@dataclass(frozen=True, slots=True)
class _Rollout:
    """One rollout. Times in seconds."""

    seconds: float
    restart_seconds: float
    node_writes: int
    lists: int
    rss_mib: float
    cpu_seconds: float


def measure(effort: Effort) -> Sequence[Row]:
    """Both sizes, one after the other, each on an API server of its own."""
    sizes, rounds = (QUICK_SIZES, 1) if effort.boots == 1 else (SIZES, _ROUNDS)
    return rows([_run(size, rounds) for size in sizes])


def rows(runs: Sequence[Run]) -> list[Row]:
    """The rows of a small and a large run."""
    small, large = runs
    arms = {
        f"{name}_{run.nodes}": round(run.seconds(of), 2)
        for run in runs
        for name, of in (("rollout", _rollouts), ("bare", _bares))
    }
    control = sum(each.bares[0] for each in large.rounds) / sum(each.bares[1] for each in large.rounds)
    growths = [
        sum(after.rollouts) / sum(before.rollouts)
        for before, after in zip(small.rounds, large.rounds, strict=True)
    ]
    changes = 2 * large.nodes
    nodes = {"nodes": float(large.nodes)}
    restarts = [each for one in large.rounds for each in one.restart_seconds]
    return [
        _of("writes_per_change", "writes", [each.node_writes / changes for each in large.rounds], "<= 1.05", 1.0),
        Row("lists_after_start", float(sum(each.lists for each in large.rounds)), "lists", 0.0, "<= 0"),
        controlled(
            _of("rollout_growth", "ratio", growths, "<= 5.2", large.nodes / small.nodes, arms), control
        ),
        controlled(
            _of("rollout_vs_bare", "ratio", [each.against_bare for each in large.rounds], "<= 1.5", 1.0, arms),
            control,
        ),
        _of("operator_rss", "MiB", [each.rss_mib for each in large.rounds], "<= 400", arms=nodes),
        _of(
            "operator_cpu",
            "ms a node and change",
            [each.cpu_seconds / changes * 1000 for each in large.rounds],
            arms=nodes,
        ),
        _of("operator_restart", "s", restarts, "<= 15", arms=nodes),
    ]  # fmt: skip


def _of(
    metric: str,
    unit: str,
    values: Sequence[float],
    target: str | None = None,
    limit: float | None = None,
    arms: dict[str, float] | None = None,
) -> Row:
    """A row of the rounds' median, the least and the greatest of them beside it."""
    spread = round(min(values), 3), round(max(values), 3)
    return Row(metric, round(statistics.median(values), 3), unit, limit, target, spread, arms or {})


def _rollouts(one: Round) -> tuple[float, float]:
    return one.rollouts


def _bares(one: Round) -> tuple[float, float]:
    return one.bares


def _run(size: int, rounds: int) -> Run:
    with (
        running_api_server("bench") as server,
        tempfile.TemporaryDirectory() as folder,
        set_up(server, size, Path(folder)) as stage,
    ):
        return Run(size, tuple(_round(stage, number + 1, rounds) for number in range(rounds)))


def _round(stage: Stage, number: int, rounds: int) -> Round:
    stage.say(f"round {number} of {rounds}")
    first = _rollout(stage)
    bares = stage.bare()
    stage.say(f"a bare client took {bares[0]:.1f} and {bares[1]:.1f} s")
    second = _rollout(stage)
    return Round(
        (first.seconds, second.seconds),
        bares,
        (first.restart_seconds, second.restart_seconds),
        first.node_writes + second.node_writes,
        first.lists + second.lists,
        max(first.rss_mib, second.rss_mib),
        first.cpu_seconds + second.cpu_seconds,
    )


def _rollout(stage: Stage) -> _Rollout:
    """An operator starts, and a policy is edited."""
    with stage.restarted() as (operator, restart_seconds):
        stage.audit.mark()
        before = _cpu_seconds(operator.process.pid)
        seconds = stage.change()
        found = _Rollout(
            seconds,
            restart_seconds,
            stage.audit.writes_by_name("memorytiernodes").total(),
            len(stage.audit.lists()),
            _peak_mib(operator.process.pid),
            _cpu_seconds(operator.process.pid) - before,
        )
    stage.say(f"the operator acted after {restart_seconds:.1f} s, and took {seconds:.1f} s for a rollout")
    return found


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _peak_mib(pid: int) -> float:
    (line,) = [
        each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmHWM")
    ]
    return int(line.split()[1]) / 1024
