"""Ranges of physical frames, and sets of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from thermocline_kernel.arrays import U64

# A chunk that is read at once: 128 MiB of memory, or 256 KiB of kpageflags. Larger ones do not stay in a core's cache,
# and smaller ones have more of the interpreter about them.
CHUNK_PAGES: Final = 32_768


@dataclass(frozen=True, slots=True, order=True)
class Frames:
    """Frames from `first_pfn` to before `end_pfn`; never empty."""

    first_pfn: int
    end_pfn: int

    def __post_init__(self) -> None:
        if not 0 <= self.first_pfn < self.end_pfn:
            raise ValueError(f"no frames lie from {self.first_pfn} to before {self.end_pfn}")

    @property
    def pages(self) -> int:
        """How many frames there are."""
        return self.end_pfn - self.first_pfn


def total_pages(ranges: Iterable[Frames]) -> int:
    """How many frames are in ranges that do not overlap."""
    return sum(each.pages for each in ranges)


def union(ranges: Iterable[Frames]) -> tuple[Frames, ...]:
    """The same frames in order, in as few ranges as can be."""
    merged: list[Frames] = []
    for each in sorted(ranges):
        if merged and each.first_pfn <= merged[-1].end_pfn:
            last = merged[-1]
            merged[-1] = Frames(last.first_pfn, max(last.end_pfn, each.end_pfn))
        else:
            merged.append(each)
    return tuple(merged)


def intersection(left: Iterable[Frames], right: Iterable[Frames]) -> tuple[Frames, ...]:
    """The frames that are in both."""
    return tuple(_intersection(union(left), union(right)))


def _intersection(left: Sequence[Frames], right: Sequence[Frames]) -> Iterator[Frames]:
    i = j = 0
    while i < len(left) and j < len(right):
        first = max(left[i].first_pfn, right[j].first_pfn)
        end = min(left[i].end_pfn, right[j].end_pfn)
        if first < end:
            yield Frames(first, end)
        if left[i].end_pfn < right[j].end_pfn:
            i += 1
        else:
            j += 1


def difference(left: Iterable[Frames], right: Iterable[Frames]) -> tuple[Frames, ...]:
    """The frames of `left` that are not in `right`."""
    kept: list[Frames] = []
    holes = union(right)
    for each in union(left):
        at = each.first_pfn
        for hole in intersection((each,), holes):
            if at < hole.first_pfn:
                kept.append(Frames(at, hole.first_pfn))
            at = hole.end_pfn
        if at < each.end_pfn:
            kept.append(Frames(at, each.end_pfn))
    return tuple(kept)


def of_pfns(pfns: U64) -> tuple[Frames, ...]:
    """The ranges of frames that are in order and not repeated, shape (n,)."""
    if pfns.size == 0:
        return ()
    breaks = np.flatnonzero(np.diff(pfns) != 1)
    firsts = pfns[np.concatenate(([0], breaks + 1))]
    lasts = pfns[np.concatenate((breaks, [pfns.size - 1]))]
    return tuple(Frames(first, last + 1) for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True))


def chunks(ranges: Iterable[Frames], pages: int = CHUNK_PAGES) -> Iterator[Frames]:
    """The ranges, cut where frame numbers are multiples of `pages`: no folio of up to that size is cut."""
    for each in ranges:
        first = each.first_pfn
        while first < each.end_pfn:
            end = min(each.end_pfn, (first // pages + 1) * pages)
            yield Frames(first, end)
            first = end


def window(ranges: Sequence[Frames], start_pfn: int, pages: int) -> tuple[tuple[Frames, ...], int]:
    """About `pages` frames from frame `start_pfn` on, going on at the beginning after the end; and where to go on.

    Ranges are in order and do not overlap. Whole chunks are taken, at least one, so that folios stay whole.
    """
    pieces = list(chunks(ranges))
    if not pieces:
        return (), start_pfn
    begin = next((i for i, each in enumerate(pieces) if each.end_pfn > start_pfn), 0)
    taken: list[Frames] = []
    left = pages
    for piece in pieces[begin:] + pieces[:begin]:
        if taken and piece.pages > left:
            return union(taken), piece.first_pfn
        taken.append(piece)
        left -= piece.pages
    return union(taken), pieces[begin].first_pfn
