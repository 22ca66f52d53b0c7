"""How hot each page is: a decayed count of its accesses, in one byte, beside the byte of activity.py.

All that the agent keeps for each page, but for whose it is (ownership.py) and whether it is a tail (tails.py). It
changes in place: once a round observe() advances it, and everything else reads it.

A page's heat is the mean of its counts over its owner's memory (memory.py), times a scale that puts the hot
threshold where a byte resolves it. Newer rounds weigh more:

    heat' = heat - heat / 2^n + count * scale / 2^n            n: 0 to 4, log2 of the memory's length

The division's remainder is not dropped, or heat below 2^n would never decay: rounds take turns in rounding
up.

What a frame holds is only known by its owner. When a page was moved away, or nobody owns the frame, it is
unknown (0, 0). A page that appears there starts at the heat from which it stays where it is: at its owner's
threshold in fast memory, at half of it in slow. It takes evidence to move it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from thermocline_agent import activity
from thermocline_agent.extent import I64, U8, Block, Layout, Tier, sums
from thermocline_agent.forecast import LEVELS, Forecast
from thermocline_agent.memory import LONGEST, Memory
from thermocline_agent.observation import Observation
from thermocline_agent.ownership import Ownership
from thermocline_agent.sampling import places, stride, thin

# Room for what rounding adds, so that no byte overflows.
HOTTEST = 240
# The remainders 0 to 15 in an order in which any few neighbours are spread evenly.
_TURNS = (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15)
# Thresholds outside make the scale of samples change by 2; a single sample adds at most 16 to an old heat.
_RESOLVED = range(24, 160)
_NOTHING: U8 = np.zeros(0, dtype=np.uint8)
_LEAST_SCALE, _MOST_SCALE = 2.0**-8, 2.0**8


@dataclass(frozen=True, slots=True)
class Pace:
    """How rounds follow each other: their distance, how many make a tick of age (activity.ticks), and by how much
    idle steps are longer (activity.stretch).
    """

    seconds: float
    tick: int
    stretch: int = 1


class Heat:
    """Arrays `heat` and `state`, uint8, one element for each page of `layout`."""

    __slots__ = (
        "accesses_per_count",
        "at",
        "forecast",
        "full",
        "heat",
        "layout",
        "memory",
        "number",
        "scale",
        "state",
    )

    def __init__(self, layout: Layout) -> None:
        """Nothing is known of any page."""
        self.layout = layout
        self.heat: U8 = np.zeros(layout.pages, dtype=np.uint8)
        self.state: U8 = np.zeros(layout.pages, dtype=np.uint8)
        self.begin()

    def begin(self) -> None:
        """Forget everything: what one source's counts have taught says nothing about another's."""
        self.heat[:] = 0
        self.state[:] = 0
        self.memory = Memory.of(0)
        self.forecast = Forecast.none()
        self.scale = 16.0
        # Of the last observation: what a count stands for, and the largest count, if there is one.
        self.accesses_per_count = 1.0
        self.full: int | None = None
        self.number = 0
        self.at = -np.inf

    def forget(self, index: I64) -> None:
        """Nothing is known any more of these frames: what they held has moved, or was freed."""
        self.heat[index] = 0
        self.state[index] = 0

    def observe(
        self, observation: Observation, owner: Ownership, now: float, *, levels: U8, pace: Pace
    ) -> bool:
        """Take in one interval. `owner`: shape (pages,); `levels`: each owner's threshold (Plan.levels).

        False, and nothing changes, unless half an interval has passed since the last one: a clock that goes
        backwards, or a round out of turn, would pass for idleness.
        """
        if not now >= self.at + pace.seconds / 2:
            return False
        self.at = now
        self.number += 1
        self.accesses_per_count = observation.accesses_per_count
        if self.full and observation.full:
            self.forecast = self.forecast.counted(observation.full / self.full)
        self.full = observation.full
        self.memory = self.memory.sized(len(levels)) if self.number > 1 else Memory.of(len(levels))
        gone = len(self.memory.rounds) - len(levels)
        levels = np.concatenate((levels, np.zeros(gone, dtype=np.uint8)))
        levels = self._rescaled(observation, levels)
        blocks = [*_covered(self.layout, observation)]
        self._learn(observation, blocks, owner, levels)
        update = _Update(self, observation, levels, activity.tables(self.number, pace.tick, pace.stretch))
        for block in blocks:
            update.apply(block, owner)
        return True

    def _rescaled(self, observation: Observation, levels: U8) -> U8:
        """The levels, after a change of scale if the largest is not where a byte resolves it well."""
        if observation.full is not None:
            self.scale = HOTTEST / observation.full
            return levels
        level = int(levels.max(initial=0))
        if level >= _RESOLVED.stop and self.scale > _LEAST_SCALE:
            self.scale /= 2
            np.right_shift(self.heat, 1, out=self.heat)
            self.forecast = self.forecast.scaled(0.5)
            return levels // np.uint8(2)
        if 0 < level < _RESOLVED.start and self.scale < _MOST_SCALE:
            self.scale *= 2
            np.minimum(self.heat, HOTTEST // 2, out=self.heat)
            np.left_shift(self.heat, 1, out=self.heat)
            self.forecast = self.forecast.scaled(2)
            return levels * np.uint8(2)
        return levels

    def _learn(self, observation: Observation, blocks: list[Block], owner: Ownership, levels: U8) -> None:
        """From a sample: how right heat was (forecast.py), and whose hot set has moved (memory.py)."""
        step = stride(self.layout.pages)
        buffer = np.empty(max((block.stop - block.start for block in blocks), default=0), dtype=np.uint8)
        drawn: list[tuple[U8, U8, U8, I64]] = [(_NOTHING, _NOTHING, _NOTHING, np.zeros(0, dtype=np.int64))]
        for block in blocks:
            counts = buffer[: block.stop - block.start]
            counts[:] = 0
            observation.fill(block.start, counts)
            pages = slice(block.start, block.stop)
            take = partial(thin, stride=step, turn=self.number)
            # The counts are copied, as the next block's are put in their place.
            seen_here = (take(counts).copy(), take(self.state[pages]), take(self.heat[pages]))
            drawn.append((*seen_here, block.start + places(len(counts), step, self.number)))
        taken, state, heat, index = (np.concatenate(column) for column in zip(*drawn, strict=True))
        known = state > 0
        seen = np.flatnonzero((taken > 0) & known)
        whose, weight = owner[index[seen]], taken[seen].astype(np.float64)
        total = sums(whose, weight, len(levels))
        hits = sums(whose, weight * (heat[seen] >= np.maximum(levels, 1)[whose]), len(levels))
        self.memory = self.memory.after(hits, total)
        if self.memory.began.any():
            # What heat said about a hot set that is no more is not what it says about another.
            known &= ~self.memory.began[owner[index]]
            seen = seen[~self.memory.began[whose]]
        # Unknown pages have no heat that could have been right.
        pages_by_heat = np.bincount(heat[known], minlength=LEVELS).astype(np.float64)
        counts_by_heat = sums(heat[seen], taken[seen].astype(np.float64), LEVELS)
        self.forecast = self.forecast.after(pages_by_heat, counts_by_heat)


class _Update:
    """One round's arithmetic, block by block, in buffers that stay in the cache."""

    __slots__ = (
        "_counts",
        "_heat",
        "_idle",
        "_levels",
        "_observation",
        "_owned",
        "_seen",
        "_shifts",
        "_spare",
        "_turn",
    )

    def __init__(self, heat: Heat, observation: Observation, levels: U8, tables: tuple[bytes, bytes]) -> None:
        self._heat = heat
        self._observation = observation
        self._levels = levels
        self._idle, self._seen = tables
        self._shifts = heat.memory.shifts
        self._turn = _TURNS[heat.number % len(_TURNS)]
        largest = max((block.stop - block.start for block in heat.layout.blocks()), default=0)
        self._counts = np.empty(largest, dtype=np.uint8)
        self._spare = np.empty(largest, dtype=np.uint8)
        self._owned = np.empty(largest, dtype=np.uint8)

    def apply(self, block: Block, owner: Ownership) -> None:
        pages = slice(block.start, block.stop)
        heat, state = self._heat.heat[pages], self._heat.state[pages]
        counts = self._counts[: len(heat)]
        counts[:] = 0
        self._observation.fill(block.start, counts)
        owned = owner.owned(block.start, self._owned[: len(heat)])
        self._greet(block, owner, owned, heat, state)
        before = state.tobytes()
        idle = np.frombuffer(before.translate(self._idle), dtype=np.uint8)
        state[:] = np.frombuffer(before.translate(self._seen), dtype=np.uint8)
        # One or the other without branches, which would be mispredicted a quarter of the time: the differing
        # bits, where nothing was counted.
        idle_mask = self._spare[: len(heat)]
        np.subtract((counts > 0).view(np.uint8), 1, out=idle_mask)
        np.bitwise_and(idle_mask, state ^ idle, out=idle_mask)
        np.bitwise_xor(state, idle_mask, out=state)
        np.multiply(state, owned, out=state)
        self._warm(block, owner, heat, counts)
        np.multiply(heat, owned, out=heat)

    def _greet(self, block: Block, owner: Ownership, owned: U8, heat: U8, state: U8) -> None:
        """Pages that appeared start at the heat from which they stay."""
        # Owned, which is 1, and of state 0.
        appeared = owned > state
        if appeared.any():
            new = np.flatnonzero(appeared)
            level = self._levels[owner[block.start + new]]
            heat[new] = level if block.tier is Tier.FAST else level // 2

    def _warm(self, block: Block, owner: Ownership, heat: U8, counts: U8) -> None:
        present = np.unique(self._shifts)
        if len(present) == 1:
            self._average(int(present[0]), heat, counts)
            return
        before, gained = heat.copy(), counts.copy()
        page_shifts = owner.translated(self._shifts, block.start, block.stop)
        for shift in present.tolist():
            part, part_counts = before.copy(), gained.copy()
            self._average(shift, part, part_counts)
            np.copyto(heat, part, where=page_shifts == shift)

    def _average(self, shift: int, heat: U8, counts: U8) -> None:
        """Heat - heat / 2^shift + counts * scale / 2^shift, all in bytes. Overwrites the counts."""
        spare = self._spare[: len(heat)]
        turn = self._turn >> (LONGEST - shift)
        np.add(heat, turn, out=spare)
        np.right_shift(spare, shift, out=spare)
        np.subtract(heat, spare, out=heat)
        unit = min(self._heat.scale / (1 << shift), float(HOTTEST))
        full = self._heat.full
        if unit.is_integer():
            if full is None:
                np.minimum(counts, HOTTEST // int(unit), out=counts)
            np.multiply(counts, int(unit), out=counts)
        else:
            steps = np.minimum(np.arange(256) * unit + self._turn / 16, HOTTEST).astype(np.uint8)
            counts[:] = np.frombuffer(counts.tobytes().translate(steps.tobytes()), dtype=np.uint8)
        if full is None:
            np.subtract(HOTTEST, counts, out=spare)
            np.minimum(heat, spare, out=heat)
        # Bounded counts come to HOTTEST at most, as what is taken off is then as much as can be added.
        np.add(heat, counts, out=heat)


def _covered(layout: Layout, observation: Observation) -> list[Block]:
    """The parts of the layout's blocks that the observation covers."""
    blocks: list[Block] = []
    ranges = iter(observation.covered)
    start, stop = next(ranges, (0, 0))
    for block in layout.blocks():
        while stop <= block.start and (following := next(ranges, None)) is not None:
            start, stop = following
        while start < block.stop and stop > block.start:
            blocks.append(Block(max(start, block.start), min(stop, block.stop), block.tier))
            if stop > block.stop or (following := next(ranges, None)) is None:
                break
            start, stop = following
    return blocks
