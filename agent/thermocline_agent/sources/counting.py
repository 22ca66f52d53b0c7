"""Addresses with counts, made an observation: what PerfMem samples and what Feed is told. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from thermocline_agent.frames import Frames
from thermocline_agent.sources.source import Observation, Scale
from thermocline_kernel.arrays import U64
from thermocline_kernel.host import PAGE_BYTES

_LARGEST_SUM: Final = float(1 << 53)


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """Counts by page, in order of the frames' numbers, shape (n,)."""

    pfns: U64
    counts: U64


def by_page(addresses: U64, counts: U64) -> Counted:
    """The frames that addresses are in, once each, and the sum of their counts; sums end at what 53 bits hold."""
    pfns, places = np.unique(addresses // np.uint64(PAGE_BYTES), return_inverse=True)
    sums = np.bincount(places.ravel(), weights=counts.astype(np.float64), minlength=pfns.size)
    return Counted(pfns, np.minimum(sums, _LARGEST_SUM).astype(np.uint64))


def observation(
    frames: Sequence[Frames], found: Counted, accesses_per_count: float, cpu_seconds: float, missed: int = 0
) -> Observation:
    """Counts of the pages of the frames observed, which are in order and do not overlap; pages without any have 0.

    Counts of other pages are left out. Without a single count inside, nothing is covered: a source that is silent
    must not make everything cold.
    """
    inside = np.zeros(found.pfns.shape, dtype=np.bool_)
    for each in frames:
        first, end = np.searchsorted(found.pfns, [each.first_pfn, each.end_pfn])
        inside[first:end] = True
    if not inside.any():
        nothing = np.empty(0, dtype=np.uint64)
        return Observation(
            Scale.COUNT, (), nothing, nothing, nothing, None, accesses_per_count, cpu_seconds, missed
        )
    firsts, lengths, counts = _with_gaps(frames, found.pfns[inside], found.counts[inside])
    return Observation(
        Scale.COUNT, tuple(frames), firsts, lengths, counts, None, accesses_per_count, cpu_seconds, missed
    )


def _with_gaps(frames: Sequence[Frames], pfns: U64, counts: U64) -> tuple[U64, U64, U64]:
    """Extents of a page for each PFN, and of 0 for what lies between them in the frames."""
    range_firsts = np.array([each.first_pfn for each in frames], dtype=np.uint64)
    range_ends = np.array([each.end_pfn for each in frames], dtype=np.uint64)
    # Every edge at which an extent may begin.
    edges = np.unique(np.concatenate((range_firsts, range_ends, pfns, pfns + np.uint64(1))))
    firsts, lengths = edges[:-1], np.diff(edges)
    place = np.searchsorted(range_firsts, firsts, side="right").astype(np.int64) - 1
    keep = (place >= 0) & (firsts < range_ends[np.maximum(place, 0)])
    firsts, lengths = firsts[keep], lengths[keep]
    at = np.minimum(np.searchsorted(pfns, firsts), pfns.size - 1)
    return firsts, lengths, np.where(pfns[at] == firsts, counts[at], np.uint64(0))
