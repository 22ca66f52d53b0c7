"""What a source saw in one interval, by index: the three shapes that hotness comes in.

Each fills a block of counts, one byte a page, 255 at most. `covered` are the ranges of indexes that were
looked at: of all other pages this observation says nothing, which is not the same as 0. `full` is the count
of a page that cannot be seen accessed more, where there is such a count: an access bit says 1 whether a page
was touched once or a million times. `accesses_per_count` turns counts into accesses, for what a move is
worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from thermocline_agent.extent import F64, I64, U8
from thermocline_agent.tails import Tails, folio_pages, heads

Ranges = tuple[tuple[int, int], ...]


class Observation(Protocol):
    """One interval's counts."""

    @property
    def covered(self) -> Ranges:
        """Ranges (start, stop) of indexes, ascending, not touching each other."""

    @property
    def full(self) -> int | None:
        """The count of a page that cannot be seen accessed more."""

    @property
    def accesses_per_count(self) -> float:
        """How many accesses one count stands for."""

    def fill(self, start: int, counts: U8) -> None:
        """Write the counts of the covered indexes from `start` on, over zeros."""


@dataclass(frozen=True, slots=True, eq=False)
class AccessBits:
    """A bit for each page (idle page tracking, PG_referenced): accessed in the interval or not.

    `bits`: packed, lowest bit first, for all indexes. The number of accesses behind a bit is not known; 64,
    one for each cache line, is what a page costs that is read once from end to end.
    """

    bits: U8
    covered: Ranges
    full: int = 1
    accesses_per_count: float = 64.0

    def fill(self, start: int, counts: U8) -> None:
        """See Observation."""
        first = start // 8
        lead = start - first * 8
        packed = self.bits[first : -(-(start + len(counts)) // 8)]
        counts[:] = np.unpackbits(packed, bitorder="little")[lead : lead + len(counts)]


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """An estimate for each region (DAMON): in how many of `full` checks a page of it was found accessed.

    Arrays of one shape, regions ascending and not overlapping.
    """

    first: I64
    pages: I64
    counts: U8
    full: int
    accesses_per_count: float = 64.0

    @property
    def covered(self) -> Ranges:
        """See Observation: every region, those that touch joined."""
        ends = self.first + self.pages
        gaps = np.flatnonzero(self.first[1:] != ends[:-1])
        starts = np.concatenate((self.first[:1], self.first[1:][gaps]))
        stops = np.concatenate((ends[:-1][gaps], ends[-1:]))
        return tuple(zip(starts.tolist(), stops.tolist(), strict=True))

    def fill(self, start: int, counts: U8) -> None:
        """See Observation."""
        stop = start + len(counts)
        low = int(np.searchsorted(self.first + self.pages, start, side="right"))
        high = int(np.searchsorted(self.first, stop, side="left"))
        edges = np.clip(self.first[low:high] - start, 0, None)
        ends = np.minimum(self.first[low:high] + self.pages[low:high] - start, len(counts))
        if len(edges) and np.array_equal(edges[1:], ends[:-1]):
            counts[edges[0] : ends[-1]] = np.repeat(self.counts[low:high], ends - edges)
            return
        for edge, end, count in zip(edges.tolist(), ends.tolist(), self.counts[low:high], strict=True):
            counts[edge:end] = count


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Accesses caught by a sampler or counted by a device: ascending indexes, each once, with its count.

    Every page is covered: one that was not caught was hardly accessed.
    """

    index: I64
    counts: U8
    covered: Ranges
    accesses_per_count: float
    full: None = None

    def fill(self, start: int, counts: U8) -> None:
        """See Observation."""
        low, high = np.searchsorted(self.index, (start, start + len(counts)))
        counts[self.index[low:high] - start] = self.counts[low:high]


def samples(
    index: I64,
    *,
    covered: Ranges,
    period: float,
    times: F64 | None = None,
    tails: Tails | None = None,
    pfn: I64 | None = None,
    number: int = 0,
) -> Samples:
    """Samples from the indexes caught, in any order; `period` accesses happen for each one caught.

    With `times`, shape as `index`, each was caught so often, 2^20 times at most. With `tails`, what hits a folio counts
    for all its pages, divided by their number: a folio is as hot as its pages are on average; `pfn` as heads has it.
    What a division leaves over is rounded up in some rounds (`number`) and down in the others, so that the average is
    right.
    """
    if tails is None and times is None:
        found, caught = np.unique(index, return_counts=True)
        return Samples(found, np.minimum(caught, 255).astype(np.uint8), covered, period)
    first = index if tails is None else heads(tails, index, pfn)
    found, places = np.unique(first, return_inverse=True)
    hits = np.bincount(places.ravel(), times, len(found))
    sizes = folio_pages(tails, found, 1 << 17)
    # Fibonacci hashing spreads the rounding of neighbours, and of one folio's rounds, evenly.
    phase = (found // 512 * 0x9E3779B1 + number * 0x85EBCA6B) % (1 << 32)
    shares = (np.minimum(hits, 1 << 20) * (1 << 32) / sizes).astype(np.int64)
    counts = np.minimum((shares + phase) >> 32, 255).astype(np.uint8)
    pages = np.repeat(found - np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes) + np.arange(sizes.sum())
    kept = np.repeat(counts, sizes)
    return Samples(pages[kept > 0], kept[kept > 0], covered, period)
