"""What one run comes to; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tests.bench.placement.runs import Run
from tests.bench.placement.workloads import BYSTANDER, SHORT, WARM_UP, WORKLOADS, Workload

# What became of a page that says that it was no longer the one that had been seen (agent/thermocline_agent/engines).
_STALE: Final = ("CHANGED", "GONE")


@dataclass(frozen=True, slots=True)
class Score:
    """One run. `hits` are those of each interval, `room` what as many pages could have had, and `chance`
    what they would have if they were drawn by lot; pages are moves, the bystander's apart. Of what the programs
    that rules name did, and of the bystander's, the CPU time; the latter's work also by the clock, 0 if nobody looked.
    `tried` are pages that the agent wanted to move, `stale` those among them that were others by then.
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
    bystander_ns: int
    bystander_work_ns: int
    mover_ns: int
    seconds: float
    tried: int
    stale: int

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
        programs_ns=int(sum(line["cpu_ns"] for line in every)),
        bystander_ns=int(sum(line["cpu_ns"] for line in run.programs[BYSTANDER])),
        bystander_work_ns=int(sum(line.get("work_ns", 0) for line in run.programs[BYSTANDER])),
        mover_ns=run.agent_ns + sum(run.kernel_ns.values()),
        seconds=run.seconds,
        tried=sum(pages for name, pages in run.results.items() if name != "NOT_ATTEMPTED"),
        stale=sum(run.results.get(name, 0) for name in _STALE),
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
        # New processes have nothing of what those before them had there.
        kept = 0 if workload.programs[group][0] == SHORT else 1
        parts[group] = [{"part": (kept * old + new) / 2 / total} for old, new in pairwise(counts)]
    return _weighted("part", parts, weights)
