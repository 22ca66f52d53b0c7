"""One scenario, one observer, one seed: every arm side by side, and what each got of the accesses.

Definitions (none: nothing moves; all fast-tier hits as shares of accesses; over the intervals after the
warm-up):

    capture   (ours - none) / (oracle - none)
    waste     pages moved / pages that the budgeted oracle moves too, the same way in the same phase. What it
              does for the accesses of a single interval is not needed, so it places by the rates themselves,
              and from the start: the warm-up is when pages have to move
    adapt     intervals from a shift until ours has 90 % of the budgeted oracle's hits
    ping-pong share of the moves that bring a page back within 60 s
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tests.bench.simulation.generator import FAST_PAGES, HOG, PAGES, TENANTS, Scenario
from tests.bench.simulation.observers import Observer
from tests.bench.simulation.policies import LeastRecentlyUsed, Threshold, best, exchanged
from thermocline_agent.extent import F64, I64, U8, Mask
from thermocline_agent.replay import Loop, Machine
from thermocline_agent.settings import (
    PAGE_BYTES,
    Amount,
    FastShare,
    Limits,
    Rule,
    Settings,
    Watermarks,
)

WARM_UP = 20
INTERVALS = 120
INTERVAL_SECONDS = 10.0
# Both directions may move the whole fast tier once in an interval: 100 MiB/s and 10 s for a tier of 1 GiB.
BUDGET = FAST_PAGES
_PING_PONG_INTERVALS = 6
_WATERMARKS = Watermarks()
_MINIMUM = 0.2
_NONE: I64 = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Result:
    """One run. `hits`: the share of accesses that each arm served from fast memory."""

    hits: dict[str, float]
    moves: int
    needed: int
    oracle_moves: int
    moved_back: int
    adapt: list[int] = field(default_factory=list)
    below_minimum: int = 0

    def capture(self, arm: str, oracle: str = "oracle") -> float:
        """How much of what is to be gained the arm has gained."""
        return (self.hits[arm] - self.hits["none"]) / (self.hits[oracle] - self.hits["none"])

    @property
    def waste(self) -> float:
        """Pages moved, for each that had to."""
        return self.moves / max(self.needed, 1)

    @property
    def against_oracle(self) -> float:
        """Pages moved, for each that the budgeted oracle moved."""
        return self.moves / max(self.oracle_moves, 1)

    @property
    def ping_pong(self) -> float:
        """The share of moves that brought a page back within 60 s."""
        return self.moved_back / max(self.moves, 1)


def settings(scenario: Scenario) -> tuple[Settings, np.ndarray[tuple[int], np.dtype[np.int16]]]:
    """The policy, and the rule of each owner."""
    bandwidth = int(BUDGET * PAGE_BYTES / INTERVAL_SECONDS)
    limits = Limits(bandwidth, bandwidth)
    if scenario.name != "tenants":
        plain = Settings((Rule("all"),), INTERVAL_SECONDS, limits=limits, watermarks=_WATERMARKS)
        return plain, np.array([-1, 0], dtype=np.int16)
    rules = (
        Rule("tenant", fast_share=FastShare(minimum=Amount(share=_MINIMUM))),
        Rule("hog", fast_share=FastShare(maximum=Amount(share=0.3))),
    )
    shared = Settings(rules, INTERVAL_SECONDS, limits=limits, watermarks=_WATERMARKS)
    return shared, np.array([-1, *([0] * len(TENANTS)), 1], dtype=np.int16)


def run(scenario: Scenario, observer: Observer, seed: int) -> Result:
    """All arms over the same accesses and the same observations."""
    random = np.random.default_rng(seed)
    intervals = WARM_UP + INTERVALS
    rates = list(scenario.rates(random, intervals))
    accesses = [random.poisson(rate) for rate in rates]
    seen = [observer.see(each, random) for each in accesses]
    start = best(random.random(PAGES), FAST_PAGES)
    hits: dict[str, list[float]] = {
        "none": [float(each[start].sum() / each.sum()) for each in accesses],
        "unlimited oracle": [float(each[best(each, FAST_PAGES)].sum() / each.sum()) for each in accesses],
    }
    hits["oracle"], oracle_moves = _oracle(start, accesses)
    hits["clairvoyant"] = _clairvoyant(start, accesses, seen, scenario, random)
    least = max(2, int(np.ceil(np.mean([each.mean() for each in seen]))))
    simple: dict[str, LeastRecentlyUsed | Threshold] = {
        "LRU": LeastRecentlyUsed(start, BUDGET),
        "threshold": Threshold(start, BUDGET, least),
    }
    for name, policy in simple.items():
        hits[name] = []
        for interval, (each, counts) in enumerate(zip(accesses, seen, strict=True)):
            hits[name].append(float(each[policy.in_fast].sum() / each.sum()))
            policy.step(counts, interval)
    hits["ours"], moves, back, below = _ours(scenario, observer, start, accesses, seen)
    needed = _needed(start, rates, moves, scenario.phase or intervals)
    return Result(
        {name: float(np.mean(each[WARM_UP:])) for name, each in hits.items()},
        sum(map(len, moves)),
        needed,
        oracle_moves,
        back,
        _adapt(hits, scenario.phase, intervals),
        below,
    )


def _oracle(start: Mask, accesses: list[I64]) -> tuple[list[float], int]:
    placed, hits, moves = start, [], 0
    for each in accesses:
        before, placed = placed, exchanged(placed, each, BUDGET)
        moves += int(np.count_nonzero(before != placed))
        hits.append(float(each[placed].sum() / each.sum()))
    return hits, moves


def _needed(start: Mask, rates: list[F64], moves: list[I64], phase: int) -> int:
    """How many of these moves are among those by which the oracle gets to the best pages of each phase."""
    placed, found = start, 0
    for first in range(0, len(rates), phase):
        before = placed
        for rate in rates[first : first + phase]:
            placed = exchanged(placed, rate, BUDGET)
        changed = np.flatnonzero(before != placed)
        # An interval's moves show in the next one's hits, so the last interval's are for the next phase.
        ours = np.concatenate((_NONE, *moves[max(first - 1, 0) : first + phase - 1]))
        found += len(np.intersect1d(ours, changed * 2 + placed[changed]))
    return found


def _clairvoyant(
    start: Mask, accesses: list[I64], seen: list[U8], scenario: Scenario, random: np.random.Generator
) -> list[float]:
    phase = scenario.phase or len(seen)
    placed, hits = start, []
    # Of pages that look alike, it takes any.
    ties = random.random(PAGES) / 2
    for first in range(0, len(seen), phase):
        total = np.sum(seen[first : first + phase], axis=0, dtype=np.int64) + ties
        for each in accesses[first : first + phase]:
            placed = exchanged(placed, total, BUDGET)
            hits.append(float(each[placed].sum() / each.sum()))
    return hits


def _ours(
    scenario: Scenario, observer: Observer, start: Mask, accesses: list[I64], seen: list[U8]
) -> tuple[list[float], list[I64], int, int]:
    policy, rule_of = settings(scenario)
    # What watermarks keep free comes on top, so that all arms have the same room for pages.
    fast_frames = int(np.ceil(FAST_PAGES / (1 - _WATERMARKS.demote_until)))
    machine = Machine(fast_frames, PAGES, scenario.owner_of, start)
    loop = Loop(machine, policy, rule_of)
    tenant_pages = np.bincount(scenario.owner_of)
    hits: list[float] = []
    moves: list[I64] = []
    back = below = 0
    moved_at = np.full(PAGES, -_PING_PONG_INTERVALS - 1)
    for interval, (each, counts) in enumerate(zip(accesses, seen, strict=True)):
        before = machine.in_fast
        hits.append(float(each[before].sum() / each.sum()))
        loop.step(observer.tell(machine.by_frame(counts)), (interval + 1) * INTERVAL_SECONDS)
        after = machine.in_fast
        moved = np.flatnonzero(before != after)
        # A move's number: the page, and where it went.
        moves.append(moved * 2 + after[moved])
        back += int(np.count_nonzero(interval - moved_at[moved] < _PING_PONG_INTERVALS))
        moved_at[moved] = interval
        if scenario.name == "tenants":
            had, has = (np.bincount(scenario.owner_of[each], minlength=HOG + 1) for each in (before, after))
            minimum = (_MINIMUM * tenant_pages).astype(np.int64)
            below += sum(int(has[who] < min(minimum[who], had[who])) for who in TENANTS)
    return hits, moves, back, below


def _adapt(hits: dict[str, list[float]], phase: int | None, intervals: int) -> list[int]:
    """For each shift after the warm-up: how many intervals pass before one with 90 % of the oracle's hits."""
    if phase is None or phase < 2:
        return []
    found = []
    for first in range(phase, intervals - phase + 1, phase):
        shares = np.array(hits["ours"][first : first + phase]) / hits["oracle"][first : first + phase]
        reached = np.flatnonzero(shares >= 0.9)
        found.append(int(reached[0]) if len(reached) else phase)
    return found
