"""From runs to figures; pure. docs/benchmarks/index.md says what each means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from tests.bench.placement.arms import ARMS
from tests.bench.placement.runs import Run
from tests.bench.placement.workloads import BYSTANDER, MEMORY_MIB, SLOW_MIB, WARM_UP, WORKLOADS, Workload
from tests.bench.rows import Row

COMMAND: Final = "python3 -m tests.bench.placement"
# What a node's memory is extrapolated to, and what it is here.
LARGE_GIB: Final = 64
SMALL_GIB: Final = (MEMORY_MIB + SLOW_MIB) / 1024
# The part of the oracle's hits from which on a placement has adapted.
_ADAPTED: Final = 0.9


@dataclass(frozen=True, slots=True)
class Score:
    """One run. `hits` are those of each interval, `room` what as many pages could have had, and `chance`
    what they would have if they were drawn by lot; pages are moves, the
    bystander's apart.
    """

    hits: Sequence[float]
    room: Sequence[float]
    chance: Sequence[float]
    promoted: int
    moves: int
    back: int
    bystander: int
    fast_pages: Mapping[str, float]
    programs_ns: int
    mover_ns: int
    seconds: float

    @property
    def fast_hits(self) -> float:
        """The mean after the warm-up."""
        return _settled(self.hits)

    @property
    def choice(self) -> float:
        """How well pages are chosen, however many they are: 0 as if drawn by lot, 1 the right ones."""
        return _choice(_settled(self.hits), _settled(self.chance), _settled(self.room))

    @property
    def choice_at_last(self) -> float:
        """The same in the last interval, for who is still finding out."""
        return _choice(self.hits[-1], self.chance[-1], self.room[-1])


def _choice(hits: float, chance: float, best: float) -> float:
    return (hits - chance) / (best - chance) if best > chance else 0.0


def _settled(values: Sequence[float]) -> float:
    settled = values[WARM_UP:] or values
    return sum(settled) / len(settled)


def score(run: Run) -> Score:
    """What one run comes to. A program counts by its accesses."""
    workload = WORKLOADS[run.workload]
    total = sum(accesses for _, _, accesses in workload.programs.values())
    weights = {group: accesses / total for group, (_, _, accesses) in workload.programs.items()}
    lines = {group: run.programs[group] for group in weights}
    every = [line for each in lines.values() for line in each]
    return Score(
        hits=_weighted("hits", lines, weights),
        room=_weighted("room", lines, weights),
        chance=_chance(lines, weights, workload),
        promoted=int(sum(line["up"] for line in every)),
        moves=int(sum(line["up"] + line["down"] for line in every)),
        back=int(sum(line["back"] for line in every)),
        bystander=int(sum(line["up"] + line["down"] for line in run.programs[BYSTANDER])),
        fast_pages={group: _settled([line["fast_pages"] for line in each]) for group, each in lines.items()},
        programs_ns=int(sum(line["cpu_ns"] for each in run.programs.values() for line in each)),
        mover_ns=run.agent_ns + sum(run.kernel_ns.values()),
        seconds=run.seconds,
    )


def _weighted(
    name: str, lines: Mapping[str, Sequence[Mapping[str, float]]], weights: Mapping[str, float]
) -> list[float]:
    """By interval, the mean over programs."""
    length = min(len(each) for each in lines.values())
    return [sum(weights[group] * lines[group][n][name] for group in weights) for n in range(length)]


def _chance(
    lines: Mapping[str, Sequence[Mapping[str, float]]], weights: Mapping[str, float], workload: Workload
) -> list[float]:
    """By interval, the part of each program's pages that is on the fast node, the mean of begin and end."""
    parts: dict[str, list[Mapping[str, float]]] = {}
    for group, each in lines.items():
        counts = [0.0, *(line["fast_pages"] for line in each)]
        total = workload.pages(group)
        parts[group] = [{"part": (old + new) / 2 / total} for old, new in pairwise(counts)]
    return _weighted("part", parts, weights)


@dataclass(frozen=True, slots=True)
class Match:
    """All arms under one workload and one seed, by name."""

    workload: Workload
    scores: Mapping[str, Score]

    def capture(self, arm: str) -> float:
        """(arm - none) / (oracle - none) in fast hits."""
        none, oracle = self.scores["none"].fast_hits, self.scores["oracle"].fast_hits
        return (self.scores[arm].fast_hits - none) / (oracle - none)

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
        caused = max(found.programs_ns - self.scores["none"].programs_ns, 0)
        return (found.mover_ns + caused) / 1e9 / found.seconds

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
            scores = {
                run.arm: score(run)
                for run in runs
                if (run.workload, run.seed) == (name, seed) and not run.quick
            }
            if {"none", "oracle", "kernel"} <= set(scores):
                found.setdefault(name, []).append(
                    Match(workload, {arm: scores[arm] for arm in ARMS if arm in scores})
                )
    return found


@dataclass(frozen=True, slots=True)
class Figure:
    """One row a workload: what is taken of a match for each arm."""

    metric: str
    unit: str
    limit: float | None
    target: Callable[[Workload], str | None]
    of: Callable[[Match, str], float]
    only: str = ""


FIGURES: Final = (
    Figure("capture", "ratio", 1.0, lambda each: f">= {each.capture}", Match.capture),
    Figure("choice", "ratio", 1.0, lambda _: None, lambda match, arm: match.scores[arm].choice),
    Figure("choice_at_last", "ratio", 1.0, lambda _: None, lambda match, arm: match.scores[arm].choice_at_last),
    Figure("moves", "ratio", 1.0, lambda each: f"<= {each.moves}", Match.moves),
    Figure("ping_pong", "ratio", 0.0, lambda _: None, Match.ping_pong),
    Figure("promotions", "ratio", None, lambda _: "<= 0.2", Match.promotions),
    Figure("adapt", "intervals", 1.0, lambda _: None, Match.adapted),
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
    return [
        _row(figure, name, arm, found, versions[name])
        for name, found in matches(runs).items()
        for figure in FIGURES
        if figure.only in ("", name)
        for arm in ARMS
        if ARMS[arm].ours and all(arm in match.scores for match in found)
    ]


def _row(figure: Figure, name: str, arm: str, found: Sequence[Match], versions: Mapping[str, str]) -> Row:
    values = [figure.of(match, arm) for match in found]
    others = [each for each in ARMS if each != arm and all(each in match.scores for match in found)]
    suffix = "" if arm == "IdlePage x PhysicalCall" else "_" + arm.lower().replace(" x ", "_")
    return Row(
        metric=f"node_{figure.metric}_{name}{suffix}",
        value=round(median(values), 4),
        unit=figure.unit,
        limit=figure.limit,
        target=figure.target(WORKLOADS[name]),
        spread=(round(min(values), 4), round(max(values), 4)) if len(values) > 1 else None,
        arms={
            each: round(median(figure.of(match, each) for match in found), 4)
            for each in others
            if each not in ("none", "oracle")
        },
        command=COMMAND,
        versions=versions,
    )
