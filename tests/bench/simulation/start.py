"""Programs all of whose pages lie in slow memory when they start, beside an agent that has never seen them.

So it is in the nodes of tests/bench/placement, whose laws, sizes and policy these are, on a machine whose fast memory
is otherwise full of what nobody moves. A page is accessed two or three times in an interval on average, and what is
seen of it is an access bit or four. Programs begin somewhere between two rounds, and shift there too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tests.bench.simulation.policies import best
from thermocline_agent.extent import F64, I64, U8
from thermocline_agent.observation import Regions
from thermocline_agent.replay import Loop, Machine
from thermocline_agent.settings import Amount, FastShare, GuardLimits, Limits, Rule, Settings, Watermarks

PAGES: Final = 12_288
CAPACITY: Final = 4096
INTERVALS: Final = 16
WARM_UP: Final = 6
INTERVAL_SECONDS: Final = 10.0
SHIFT_INTERVALS: Final = 8
_ACCESSES: Final = 32_768
# An interval in so many steps, and the step of one in which the agent has its round.
_STEPS: Final = 16
_ROUND_AT: Final = (3, 8, 13)
_ROUNDS_BEFORE: Final = 2
_FAST_FRAMES: Final = 65_536
_WATERMARKS: Final = Watermarks(0.01, 0.02)
_BACK_INTERVALS: Final = 6


@dataclass(frozen=True, slots=True)
class Program:
    """By which law which part of all pages is read, and how often in an interval."""

    law: str
    part: float
    accesses: int


STARTS: Final[Mapping[str, tuple[Program, ...]]] = MappingProxyType(
    {
        **{law: (Program(law, 1.0, _ACCESSES),) for law in ("zipf", "shifting", "scan", "overflow")},
        "tenants": (Program("zipf", 0.5, _ACCESSES // 3), Program("even", 0.5, 2 * _ACCESSES // 3)),
    }
)


@dataclass(frozen=True, slots=True)
class Started:
    """One run. `hits` and `best` of each interval: with the pages where they were, the mean of begin and end, and with
    those of the highest rates. Moves are seen when an interval ends; `needed` are those of an oracle.
    """

    hits: list[float]
    best: list[float]
    moves: int
    back: int
    needed: int

    @property
    def capture(self) -> float:
        """The part of the oracle's hits after the warm-up."""
        return sum(self.hits[WARM_UP:]) / sum(self.best[WARM_UP:])

    @property
    def waste(self) -> float:
        """Pages moved for each that had to."""
        return self.moves / self.needed

    @property
    def ping_pong(self) -> float:
        """The part of moves that bring a page back within 60 s."""
        return self.back / max(self.moves, 1)


def started(name: str, looks: int, seed: int) -> Started:
    """Play a start with so many looks at each page in an interval."""
    random = np.random.default_rng(seed)
    programs = STARTS[name]
    playing = [
        _Playing(program, PAGES // len(programs), CAPACITY // len(programs), random) for program in programs
    ]
    owner = np.repeat(np.arange(1, len(programs) + 1, dtype=np.uint16), PAGES // len(programs))
    ballast = _FAST_FRAMES - CAPACITY - int(np.ceil(_FAST_FRAMES * _WATERMARKS.demote_until))
    everything = np.concatenate((owner, np.zeros(ballast, dtype=np.uint16)))
    machine = Machine(_FAST_FRAMES, 2 * PAGES, everything, np.arange(len(everything)) >= PAGES)
    seen = _Eye(machine, looks)
    loop = _before(machine, seen, programs)
    parts = np.array([program.accesses for program in programs]) / sum(each.accesses for each in programs)
    hits, wanted = [], []
    moved_at = np.full(PAGES, -np.inf)
    moves = back = needed = rounds = 0
    placed = np.zeros(PAGES, dtype=np.bool_)
    for interval in range(INTERVALS):
        for program in playing:
            program.begin(interval)
        weights = np.concatenate([each.weights * part for each, part in zip(playing, parts, strict=True)])
        right = np.concatenate([best(each.rates, each.capacity) for each in playing])
        needed += int(np.count_nonzero(right & ~placed)) + int(np.count_nonzero(placed & ~right))
        placed = right
        before = machine.in_fast[:PAGES]
        for step in range(interval * _STEPS + 1, (interval + 1) * _STEPS + 1):
            seen.accesses += np.concatenate([program.step() for program in playing])
            since = step - _ROUND_AT[seed % len(_ROUND_AT)]
            if since % (_STEPS // looks) == 0:
                seen.look()
            if since % _STEPS == 0:
                rounds += 1
                loop.step(seen.told(), (_ROUNDS_BEFORE + rounds) * INTERVAL_SECONDS)
        after = machine.in_fast[:PAGES]
        changed = np.flatnonzero(before != after)
        moves += len(changed)
        back += int(np.count_nonzero(interval - moved_at[changed] <= _BACK_INTERVALS))
        moved_at[changed] = interval
        hits.append(float(weights[before].sum() + weights[after].sum()) / 2)
        wanted.append(float(weights[right].sum()))
    return Started(hits, wanted, moves, back, needed)


class _Eye:
    """What access bits have shown since the last round."""

    def __init__(self, machine: Machine, looks: int) -> None:
        self._machine = machine
        self._looks = looks
        self._found: U8 = np.zeros(PAGES, dtype=np.uint8)
        # Whoever allocates a page writes it.
        self.accesses: I64 = np.ones(PAGES, dtype=np.int64)

    def look(self) -> None:
        """Read the bits, and clear them."""
        self._found += self.accesses > 0
        self.accesses[:] = 0

    def told(self) -> Regions:
        """What a round is told."""
        pages = self._machine.layout.pages
        counts: U8 = np.zeros(len(self._machine.frame_of), dtype=np.uint8)
        counts[:PAGES] = self._found
        self._found[:] = 0
        return Regions(
            np.arange(pages), np.ones(pages, dtype=np.int64), self._machine.by_frame(counts), self._looks
        )


def _before(machine: Machine, seen: _Eye, programs: tuple[Program, ...]) -> Loop:
    """An agent that has had rounds before the programs came."""
    own = Amount(pages=CAPACITY // len(programs))
    share = FastShare(own, own) if len(programs) > 1 else None
    settings = Settings(
        tuple(Rule(program.law, fast_share=share) for program in programs),
        INTERVAL_SECONDS,
        watermarks=_WATERMARKS,
        limits=Limits(100 << 20, 100 << 20),
        guards=GuardLimits(),
    )
    rule_of = np.arange(-1, len(programs), dtype=np.int16)
    owner: NDArray[np.uint16] = machine.owner.copy()
    machine.owner[:] = 0
    loop = Loop(machine, settings, rule_of[:1])
    for number in range(1, _ROUNDS_BEFORE + 1):
        loop.step(seen.told(), number * INTERVAL_SECONDS)
    machine.owner[:] = owner
    loop.rule_of = rule_of
    return loop


class _Playing:
    """A program that runs. `rates` are what it means to do, `weights` what it does in this interval; sums are 1."""

    def __init__(self, program: Program, pages: int, capacity: int, random: np.random.Generator) -> None:
        self._law = program.law
        self._accesses = program.accesses
        self._random = random
        self._order = random.permutation(pages)
        self._scan_at = 0
        self.capacity = capacity
        self.rates: F64 = np.full(pages, 1 / pages)
        self.weights = self.rates

    def begin(self, interval: int) -> None:
        """The rates of an interval."""
        pages, half = len(self.rates), len(self.rates) / 2 / self._accesses
        match self._law:
            case "zipf":
                self.rates = np.empty(pages)
                self.rates[self._order] = 1 / np.arange(1, pages + 1)
                self.rates /= self.rates.sum()
            case "shifting":
                size = int(self.capacity * 0.8)
                self._hot_set(interval // SHIFT_INTERVALS * size, size, 0.9)
            case "overflow":
                self._hot_set(0, self.capacity * 3 // 2, 0.95)
            case "scan":
                self._hot_set(0, int(self.capacity * 0.4), 1 - half)
        self.weights = self.rates.copy()
        if self._law == "scan":
            self.weights -= 0.5 / self._accesses
            self.weights[self._scanned(pages // 2)] += 1 / self._accesses

    def step(self) -> I64:
        """The accesses of a part of an interval, by page."""
        scanned = len(self.rates) // 2 // _STEPS if self._law == "scan" else 0
        drawn = self.rates - 0.5 / self._accesses if scanned else self.rates
        found = self._random.multinomial(self._accesses // _STEPS - scanned, drawn / drawn.sum())
        found[self._scanned(scanned)] += 1
        self._scan_at += scanned
        return found.astype(np.int64)

    def _hot_set(self, first: int, size: int, share: float) -> None:
        self.rates = np.full(len(self.rates), (1 - share) / len(self.rates))
        self.rates[self._order[(first + np.arange(size)) % len(self.rates)]] += share / size

    def _scanned(self, pages: int) -> I64:
        found: I64 = (self._scan_at + np.arange(pages)) % len(self.rates)
        return found
