"""The physical memory that is tracked: spans of frames, each on one node, and their numbering without holes.

The agent keeps arrays with one element for each page tracked; an element's place is the page's *index*.
Indexes run through the spans in the order of their frame numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

U8: TypeAlias = NDArray[np.uint8]
U64: TypeAlias = NDArray[np.uint64]
I32: TypeAlias = NDArray[np.int32]
I64: TypeAlias = NDArray[np.int64]
F64: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]
# Who a page is charged to, by page: uint16, or uint32 where there are more owners. 0: nobody, or nobody knows.
Owners: TypeAlias = NDArray[np.unsignedinteger[Any]]

# So many pages are worked on at once that everything about them stays in a core's second-level cache.
BLOCK_PAGES = 1 << 17


class Tier(IntEnum):
    """The two kinds of memory that pages move between."""

    FAST = 0
    SLOW = 1


@dataclass(frozen=True, slots=True)
class Span:
    """Frames `first_pfn` to `first_pfn + pages`, all of one node."""

    first_pfn: int
    pages: int
    node: int
    tier: Tier


@dataclass(frozen=True, slots=True)
class Block:
    """Indexes `start` to `stop` within one span."""

    start: int
    stop: int
    tier: Tier


class Layout:
    """The spans, and translation between frame numbers and indexes."""

    __slots__ = ("_ends", "_first", "_nodes", "_starts", "pages", "spans")

    def __init__(self, spans: tuple[Span, ...]) -> None:
        """Raises ValueError when spans overlap or are empty."""
        self.spans = tuple(sorted(spans, key=lambda span: span.first_pfn))
        end = 0
        for span in self.spans:
            if span.pages <= 0 or span.first_pfn < end:
                raise ValueError(f"{span} is empty or overlaps the one before")
            end = span.first_pfn + span.pages
        sizes = np.array([span.pages for span in self.spans], dtype=np.int64)
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        self._first = np.array([span.first_pfn for span in self.spans], dtype=np.int64)
        self._nodes = np.array([span.node for span in self.spans], dtype=np.int32)
        self.pages = int(sizes.sum())

    @property
    def starts(self) -> list[int]:
        """The index that each span begins with."""
        found: list[int] = self._starts.tolist()
        return found

    def blocks(self) -> Iterator[Block]:
        """All indexes in order, in blocks of at most BLOCK_PAGES."""
        for span, first, end in zip(self.spans, self._starts.tolist(), self._ends.tolist(), strict=True):
            for start in range(first, end, BLOCK_PAGES):
                yield Block(start, min(end, start + BLOCK_PAGES), span.tier)

    def pfn(self, index: I64) -> U64:
        """The frame numbers of indexes."""
        span = np.searchsorted(self._ends, index, side="right")
        pfns: U64 = (index - self._starts[span] + self._first[span]).astype(np.uint64)
        return pfns

    def node(self, index: I64) -> I32:
        """The nodes of indexes."""
        nodes: I32 = self._nodes[np.searchsorted(self._ends, index, side="right")]
        return nodes

    def index(self, pfn: U64) -> I64:
        """The indexes of frame numbers; -1 for those that are not tracked."""
        frames = pfn.astype(np.int64)
        if not self.spans:
            return np.full(frames.shape, -1, dtype=np.int64)
        span = np.searchsorted(self._first, frames, side="right") - 1
        index = frames - self._first[span] + self._starts[span]
        tracked = (span >= 0) & (index < self._ends[span])
        found: I64 = np.where(tracked, index, -1)
        return found


def sums(keys: NDArray[Any], weights: NDArray[Any], size: int) -> F64:
    """The sum of the weights of each key from 0 to `size` - 1, shape (size,)."""
    found: F64 = np.bincount(keys, weights, size).astype(np.float64)
    return found


def expanded(head: I64, pages: I64) -> I64:
    """The indexes of all pages of runs that start at `head` and have so many `pages`, one run after the other."""
    return np.repeat(head - np.cumsum(pages) + pages, pages) + np.arange(pages.sum())
