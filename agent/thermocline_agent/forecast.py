"""What a page's heat says about its next interval, learnt from how right it was.

Heat is an estimate from few counts, and where thousands of pages are compared, the hottest look hotter than
they are, for they were also lucky. How much so depends on everything: how many counts there are, how long
they are remembered, and how far apart hot and cold pages lie. So it is not computed but measured: in each
round, before heat takes in the new counts, the mean count of all pages of each heat is taken. That is what
heat was worth; and as much, on average, the next round's counts will be.

This is regression to the mean, put to use: if heat says nothing, all forecasts are alike and no exchange
pays; if hot and cold pages are far apart, a single count can be enough. A forecast never falls with heat;
where the counts say otherwise they are chance, and levels are joined until they do not (Ayer and others
1955).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thermocline_agent.extent import F64, sums

LEVELS = 256
# How much of what was learnt before is kept each round.
_KEPT = 0.5
# Every level below 16, then every fourth.
_BINS = np.array([*range(16), *range(16, LEVELS, 4)])
_MIDDLES = (_BINS + np.array([*_BINS[1:], LEVELS]) - 1) / 2


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Sums over the last rounds, by heat: pages, and counts they then had. Both of shape (256,)."""

    pages: F64
    counts: F64

    @staticmethod
    def none() -> Forecast:
        """Nothing is learnt yet."""
        return Forecast(np.zeros(LEVELS), np.zeros(LEVELS))

    def after(self, pages: F64, counts: F64) -> Forecast:
        """One round on."""
        return Forecast(self.pages * _KEPT + pages, self.counts * _KEPT + counts)

    def scaled(self, factor: float) -> Forecast:
        """The same when all heat is multiplied by this."""
        levels = np.minimum(np.arange(LEVELS) * factor, LEVELS - 1).astype(np.int64)
        return Forecast(sums(levels, self.pages, LEVELS), sums(levels, self.counts, LEVELS))

    def counted(self, factor: float) -> Forecast:
        """The same when all counts are multiplied by this."""
        return Forecast(self.pages, self.counts * factor)

    def by_heat(self) -> F64 | None:
        """The count that a page of each heat has in an interval, on average, shape (256,), ascending; None
        while nothing is learnt. Levels that no page had are put between their neighbours.
        """
        # Neighbouring levels are hardly different, and joining them is cheaper than asking of each.
        pages_in, counts_in = (np.add.reduceat(column, _BINS) for column in (self.pages, self.counts))
        known = np.flatnonzero(pages_in > 0)
        if not len(known):
            return None
        joint: list[tuple[float, float, int]] = []
        for pages, counts in zip(pages_in[known].tolist(), counts_in[known].tolist(), strict=True):
            joined = (counts, pages, 1)
            while joint and joint[-1][0] * joined[1] >= joined[0] * joint[-1][1]:
                before = joint.pop()
                joined = (before[0] + joined[0], before[1] + joined[1], before[2] + joined[2])
            joint.append(joined)
        means = np.repeat([counts / pages for counts, pages, _ in joint], [size for _, _, size in joint])
        forecast: F64 = np.interp(np.arange(LEVELS), _MIDDLES[known], means).astype(np.float64)
        return forecast
