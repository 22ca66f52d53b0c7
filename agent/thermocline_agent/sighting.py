"""A source's observation, which is by frame, in the planner's form, which is by index of the pages tracked. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thermocline_agent.extent import I64, U8, U64, Layout
from thermocline_agent.observation import Observation, Ranges, samples
from thermocline_agent.sources import source
from thermocline_agent.tails import Tails

# Counts are bytes to the planner: a device's larger ones are told in units of so many that few pages have more.
_BYTE = 255
_MOST_UNITS = 1 << 40


@dataclass(frozen=True, slots=True, eq=False)
class Extents:
    """Counts by extents of indexes, ascending and not overlapping, shape (n,). See observation.Observation."""

    first: I64
    pages: I64
    counts: U8
    covered: Ranges
    full: int | None
    accesses_per_count: float

    def fill(self, start: int, counts: U8) -> None:
        """See Observation."""
        stop = start + len(counts)
        low = int(np.searchsorted(self.first + self.pages, start, side="right"))
        high = int(np.searchsorted(self.first, stop, side="left"))
        if low >= high:
            return
        firsts = np.maximum(self.first[low:high], start) - start
        lengths = np.minimum(self.first[low:high] + self.pages[low:high], stop) - start - firsts
        values = np.repeat(self.counts[low:high], lengths)
        if values.size == firsts[-1] + lengths[-1] - firsts[0]:
            counts[firsts[0] : firsts[0] + values.size] = values
            return
        places = np.arange(values.size) + np.repeat(firsts - np.cumsum(lengths) + lengths, lengths)
        counts[places] = values


def by_index(
    seen: source.Observation, layout: Layout, tails: Tails, number: int, unit: int = 1
) -> tuple[Observation, int]:
    """The observation by index, and the unit of its counts: how many of the source's make one, at least `unit`.

    Frames that are not tracked are left out. A sampled access to a large folio counts for all of its pages alike.
    `number` is that of the round.
    """
    covered = _covered(seen, layout)
    if seen.scale is not source.Scale.COUNT:
        first, pages, counts = _tracked(seen, layout)
        small = np.minimum(counts, np.uint64(_BYTE)).astype(np.uint8)
        return Extents(first, pages, small, covered, seen.full, seen.accesses_per_count), 1
    counted = seen.counts > 0
    index = layout.index(seen.first_pfns[counted])
    counts = seen.counts[counted][index >= 0]
    index = index[index >= 0]
    if counts.size:
        high = float(np.quantile(counts.astype(np.float64), 0.99))
        while unit < _MOST_UNITS and high / unit > _BYTE / 2:
            unit *= 2
    found = samples(
        index,
        covered=covered,
        period=seen.accesses_per_count * unit,
        times=counts.astype(np.float64) / unit,
        tails=tails,
        pfn=layout.pfn(index).astype(np.int64),
        number=number,
    )
    return found, unit


def _covered(seen: source.Observation, layout: Layout) -> Ranges:
    ranges: list[tuple[int, int]] = []
    for start, span in zip(layout.starts, layout.spans, strict=True):
        for each in seen.covered:
            first = max(each.first_pfn, span.first_pfn)
            end = min(each.end_pfn, span.first_pfn + span.pages)
            if first < end:
                at = start + first - span.first_pfn
                if ranges and ranges[-1][1] == at:
                    ranges[-1] = (ranges[-1][0], at + end - first)
                else:
                    ranges.append((at, at + end - first))
    return tuple(ranges)


def _tracked(seen: source.Observation, layout: Layout) -> tuple[I64, I64, U64]:
    """Extents as indexes, cut to the spans."""
    firsts, lengths, counts = [], [], []
    ends = seen.first_pfns + seen.pages
    for start, span in zip(layout.starts, layout.spans, strict=True):
        low = int(np.searchsorted(ends, span.first_pfn, side="right"))
        high = int(np.searchsorted(seen.first_pfns, span.first_pfn + span.pages, side="left"))
        first = np.maximum(seen.first_pfns[low:high].astype(np.int64), span.first_pfn)
        end = np.minimum(ends[low:high].astype(np.int64), span.first_pfn + span.pages)
        firsts.append(first - span.first_pfn + start)
        lengths.append(end - first)
        counts.append(seen.counts[low:high])
    nothing = np.zeros(0, dtype=np.int64)
    return (
        np.concatenate([nothing, *firsts]),
        np.concatenate([nothing, *lengths]),
        np.concatenate([nothing.astype(np.uint64), *counts]),
    )
