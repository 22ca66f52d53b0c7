"""From runs to figures; pure. docs/benchmarks/index.md says what each means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.bench.placement.arms import ARMS
from tests.bench.placement.runs import Run
from tests.bench.placement.scores import Score, score
from tests.bench.placement.workloads import MEMORY_MIB, SLOW_MIB, WORKLOADS, Workload
from tests.bench.rows import Row
from thermocline_kernel.host import PAGE_BYTES

COMMAND: Final = "python3 -m tests.bench"
MAIN: Final = "IdlePage x PhysicalCall"
# Arms that all others are measured against.
REFERENCES: Final = ("none", "oracle", "kernel")
# What a node's memory is extrapolated to, and what it is here.
LARGE_GIB: Final = 64
SMALL_GIB: Final = (MEMORY_MIB + SLOW_MIB) / 1024
# The part of the oracle's hits from which on a placement has adapted.
_ADAPTED: Final = 0.9


@dataclass(frozen=True, slots=True)
class Match:
    """All arms under one workload and one seed, by name."""

    workload: Workload
    scores: Mapping[str, Score]

    def capture(self, arm: str) -> float:
        """(arm - none) / (oracle - none) in fast hits."""
        none, oracle = self.scores["none"].fast_hits, self.scores["oracle"].fast_hits
        return (self.scores[arm].fast_hits - none) / (oracle - none) if oracle > none else 0.0

    def fast_mib(self, arm: str) -> float:
        """What the programs have of fast memory, in MiB, after the warm-up."""
        return sum(self.scores[arm].fast_pages.values()) * PAGE_BYTES / (1 << 20)

    def moves(self, arm: str) -> float:
        """Pages moved for each that the oracle moves."""
        return self.scores[arm].moves / self.scores["oracle"].moves

    def ping_pong(self, arm: str) -> float:
        """The part of moves that bring a page back within 60 s."""
        found = self.scores[arm]
        return found.back / found.moves if found.moves else 0.0

    def promotions(self, arm: str) -> float:
        """Pages promoted for each that the kernel promotes."""
        return self.scores[arm].promoted / max(self.scores["kernel"].promoted, 1)

    def cpu(self, arm: str) -> float:
        """CPUs that the mover uses: its process, the kernel's threads, and what it has programs do."""
        found = self.scores[arm]
        none = self.scores["none"]
        caused = found.programs_ns + found.bystander_ns - none.programs_ns - none.bystander_ns
        return (found.mover_ns + max(caused, 0)) / 1e9 / found.seconds

    def throughput(self, arm: str) -> float:
        """Accesses for each instruction of the programs, against `none`."""
        return self.scores["none"].programs_ns / max(self.scores[arm].programs_ns, 1)

    def neighbour(self, arm: str) -> float:
        """The work that the bystander does with each of its instructions, against `none`."""
        return self.scores["none"].bystander_ns / max(self.scores[arm].bystander_ns, 1)

    def neighbour_pace(self, arm: str) -> float | None:
        """The work that the bystander does in its time, what it waits for a CPU included, against `none`."""
        alone, beside = self.scores["none"].bystander_work_ns, self.scores[arm].bystander_work_ns
        return alone / beside if alone and beside else None

    def staleness(self, arm: str) -> float | None:
        """Of the pages that the agent wanted to move, the part that had another owner, or none, by then."""
        found = self.scores[arm]
        return found.stale / found.tried if found.tried else None

    def fairness(self, arm: str) -> float:
        """Jain's index of what programs have of fast memory, each as a part of what is its own."""
        parts = [pages / self.workload.entitled for pages in self.scores[arm].fast_pages.values()]
        squares = sum(part * part for part in parts)
        return sum(parts) ** 2 / (len(parts) * squares) if squares else 0.0

    def farthest(self, arm: str) -> float:
        """How far the program that is farthest from what is its own is from it, as a part of that."""
        return max(abs(pages / self.workload.entitled - 1) for pages in self.scores[arm].fast_pages.values())

    def adapted(self, arm: str) -> int:
        """The first interval that has 90 % of the oracle's hits, from 1; one more than there are if none has."""
        pairs = list(zip(self.scores[arm].hits, self.scores["oracle"].hits, strict=False))
        reached = [n for n, (hits, best) in enumerate(pairs, 1) if hits >= _ADAPTED * best]
        return reached[0] if reached else len(pairs) + 1


def matches(runs: Sequence[Run]) -> dict[str, list[Match]]:
    """By workload, a match for each seed of which there are the arms that all others are measured against."""
    found: dict[str, list[Match]] = {}
    for name, workload in WORKLOADS.items():
        for seed in sorted({run.seed for run in runs}):
            scores = {run.arm: score(run) for run in runs if (run.workload, run.seed) == (name, seed)}
            if set(REFERENCES) <= set(scores):
                found.setdefault(name, []).append(
                    Match(workload, {arm: scores[arm] for arm in ARMS if arm in scores})
                )
    return found


def arms_of(found: Sequence[Match]) -> list[str]:
    """Those that were played by any seed."""
    return [arm for arm in ARMS if any(arm in match.scores for match in found)]


def values(found: Sequence[Match], arm: str, of: Callable[[Match, str], float | None]) -> list[float]:
    """What an arm has, seed by seed; less where it was not played, or has no such thing."""
    told = [of(match, arm) for match in found if arm in match.scores]
    return [each for each in told if each is not None]


def noise(found: Sequence[Match], of: Callable[[Match, str], float | None]) -> float | None:
    """How far apart two runs of the same are, at the most; None if none was played twice."""
    apart = [
        abs(first - second)
        for arm in arms_of(found)
        if ARMS[arm].repeats
        for match in found
        if arm in match.scores and ARMS[arm].repeats in match.scores
        if (first := of(match, ARMS[arm].repeats)) is not None and (second := of(match, arm)) is not None
    ]
    return max(apart, default=None)


@dataclass(frozen=True, slots=True)
class Figure:
    """One row a workload: what is taken of a match for each arm."""

    metric: str
    unit: str
    limit: float | None
    target: Callable[[Workload], str | None]
    of: Callable[[Match, str], float | None]
    only: str = ""


FIGURES: Final = (
    Figure("capture", "ratio", 1.0, lambda each: f">= {each.capture}" if each.capture else None, Match.capture),
    Figure("choice", "ratio", 1.0, lambda _: None, lambda match, arm: match.scores[arm].choice),
    Figure("choice_at_last", "ratio", 1.0, lambda _: None, lambda match, arm: match.scores[arm].choice_at_last),
    Figure("moves", "ratio", 1.0, lambda each: f"<= {each.moves}" if each.moves else None, Match.moves),
    Figure("ping_pong", "ratio", 0.0, lambda _: None, Match.ping_pong),
    Figure("promotions", "ratio", None, lambda _: "<= 0.2", Match.promotions),
    Figure("adapt", "intervals", 1.0, lambda _: None, Match.adapted),
    Figure("throughput", "ratio", 1.0, lambda _: None, Match.throughput),
    Figure("neighbour", "ratio", 1.0, lambda _: None, Match.neighbour),
    Figure("neighbour_pace", "ratio", 1.0, lambda _: None, Match.neighbour_pace),
    Figure("staleness", "ratio", 0.0, lambda _: None, Match.staleness),
    Figure("mover_cpu", "CPUs", None, lambda _: None, Match.cpu),
    Figure(
        "mover_cpu_64_gib", "CPUs", None, lambda _: "<= 0.03",
        lambda match, arm: match.cpu(arm) / SMALL_GIB * LARGE_GIB,
    ),
    Figure("violations", "pages", 0.0, lambda _: "<= 0", lambda match, arm: match.scores[arm].bystander),
    Figure("fairness", "ratio", 1.0, lambda _: None, Match.fairness, only="tenants"),
    Figure("entitlement", "ratio", 0.0, lambda _: "<= 0.05", Match.farthest, only="tenants"),
)  # fmt: skip


def rows(runs: Sequence[Run]) -> list[Row]:
    """Rows node_METRIC_WORKLOAD, one for each arm of ours, and what the others have in it."""
    versions = {run.workload: run.versions for run in runs}
    quick = " --quick" if any(run.quick for run in runs) else ""
    return [
        _row(figure, arm, found, f"{COMMAND} {name}{quick}", versions[name])
        for name, found in matches(runs).items()
        for figure in FIGURES
        if figure.only in ("", name)
        for arm in arms_of(found)
        if ARMS[arm].ours and not ARMS[arm].repeats and values(found, arm, figure.of)
    ]


def _row(figure: Figure, arm: str, found: Sequence[Match], command: str, versions: Mapping[str, str]) -> Row:
    workload = found[0].workload
    told = values(found, arm, figure.of)
    others = {
        each: round(median(had), 4)
        for each in arms_of(found)
        if (ARMS[each].moves_pages and not ARMS[each].repeats and each != arm)
        if (had := values(found, each, figure.of))
    }
    suffix = "" if arm == MAIN else "_" + arm.lower().replace(" x ", "_")
    return Row(
        metric=f"node_{figure.metric}_{workload.name}{suffix}",
        value=round(median(told), 4),
        unit=figure.unit,
        limit=figure.limit,
        target=figure.target(workload),
        spread=(round(min(told), 4), round(max(told), 4)) if len(told) > 1 else None,
        arms=others | _twice(figure, found),
        command=command,
        versions=versions,
    )


def _twice(figure: Figure, found: Sequence[Match]) -> dict[str, float]:
    """A/A: an arm that was played twice by one seed, the second run against the first."""
    told: dict[str, float] = {}
    for arm in arms_of(found):
        for match in found:
            first = ARMS[arm].repeats
            if first and arm in match.scores and first in match.scores and (was := figure.of(match, first)):
                told[f"A/A {first}"] = round((figure.of(match, arm) or 0.0) / was, 4)
    return told
