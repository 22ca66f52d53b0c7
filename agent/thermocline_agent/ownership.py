"""Whose every page is, in as few bytes as that can be told quickly.

Kept is, by chunks of at most CHUNK_PAGES, where runs of one owner's pages end, with two bytes for each end and one for
the owner, or two where the chunk has owners of numbers above 255. The kernel hands out memory in blocks, and what is in
huge pages always comes in long runs; but where single pages of many owners have been moved to and fro, hardly two
neighbours are of one owner. A chunk whose runs are shorter than _SHORT_RUN on average has an element of one or two
bytes for each page instead: that is the worst case. Shorter runs would take nearly as much, and longer to read.

It is read as an array is, by slices and by arrays of indexes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.extent import I64, U8

U16: TypeAlias = NDArray[np.uint16]
Numbers: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]

# Ends within a chunk must fit into 16 bits.
CHUNK_PAGES: Final = 1 << 15
_SHORT_RUN: Final = 16
_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True, eq=False)
class _Chunk:
    """`ends`: behind the last page of each run, counted from the chunk's first; without, `values` is by page."""

    values: Numbers
    ends: U16 | None

    @staticmethod
    def of(owner: NDArray[Any]) -> _Chunk:
        """Of the owners of at least one page, shape (pages,)."""
        edges = np.flatnonzero(owner[1:] != owner[:-1])
        ends: U16 | None = None
        if len(edges) * _SHORT_RUN < len(owner):
            ends = np.append(edges + 1, len(owner)).astype(np.uint16)
            owner = owner[ends - 1]
        small = int(owner.max()) < 1 << 8
        return _Chunk(owner.astype(np.uint8) if small else owner.astype(np.uint16), ends)

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + (0 if self.ends is None else self.ends.nbytes)

    def at(self, places: I64) -> Numbers:
        """The owners at these places of the chunk."""
        if self.ends is None:
            return self.values[places]
        return self.values[np.searchsorted(self.ends, places.astype(np.uint16), side="right")]

    def between(self, values: NDArray[_T], first: int, last: int) -> NDArray[_T]:
        """Of `values`, one for each of this chunk's own, those of the places from `first` to before `last`."""
        if self.ends is None:
            return values[first:last]
        low, lengths = self.runs(first, last)
        return np.repeat(values[low : low + len(lengths)], lengths)

    def runs(self, first: int, last: int) -> tuple[int, I64]:
        """The first run of the places from `first` to before `last`, and the length of it and each that follows."""
        if self.ends is None:
            return first, np.ones(last - first, dtype=np.int64)
        edges = np.array((first, last - 1), dtype=np.uint16)
        low, high = np.searchsorted(self.ends, edges, side="right").tolist()
        ends = np.minimum(self.ends[low : high + 1], last).astype(np.int64)
        lengths = ends.copy()
        lengths[1:] -= ends[:-1]
        lengths[0] -= first
        return low, lengths

    def without(self, numbers: U16) -> _Chunk:
        """With nobody in the place of these owners."""
        values = self.values.copy()
        values[np.isin(values, numbers)] = 0
        return _Chunk(values, self.ends)


class Ownership:
    """Whose each page is, by number, shape (pages,): 0 for pages of nobody."""

    __slots__ = ("_chunks", "_starts", "pages")

    def __init__(self, sizes: Sequence[int]) -> None:
        """All pages are nobody's. `sizes`: the pages of each chunk; what is written in whole chunks is fastest.

        Raises ValueError for chunks that are empty, or larger than CHUNK_PAGES.
        """
        if not all(0 < size <= CHUNK_PAGES for size in sizes):
            raise ValueError(f"chunks have 1 to {CHUNK_PAGES} pages")
        self._starts = [0, *accumulate(sizes)]
        self._chunks = [_Chunk.of(np.zeros(size, dtype=np.uint8)) for size in sizes]
        self.pages = self._starts[-1]

    @staticmethod
    def of(owner: NDArray[Any]) -> Ownership:
        """Of an array with a number below 2^16 for each page."""
        made = Ownership(
            [min(CHUNK_PAGES, len(owner) - start) for start in range(0, len(owner), CHUNK_PAGES)]
        )
        made.write(0, owner)
        return made

    @property
    def nbytes(self) -> int:
        """What is kept of all pages together."""
        return sum(chunk.nbytes for chunk in self._chunks)

    def __len__(self) -> int:
        return self.pages

    def __getitem__(self, which: slice | I64) -> U16:
        """Whose these pages are: of a slice without a step, or of an array of indexes, in any order."""
        if isinstance(which, np.ndarray):
            return self._at(which)
        start, stop, _ = which.indices(self.pages)
        found = np.empty(max(stop - start, 0), dtype=np.uint16)
        for at, chunk, first, last in self._parts(start, stop):
            found[at : at + last - first] = chunk.between(chunk.values, first, last)
        return found

    def owned(self, start: int, into: U8) -> U8:
        """Write 1 for each of the pages from `start` on that is anybody's, 0 for the others; the same array."""
        for at, chunk, first, last in self._parts(start, start + len(into)):
            anybody = (chunk.values != 0).view(np.uint8)
            into[at : at + last - first] = chunk.between(anybody, first, last)
        return into

    def translated(self, table: NDArray[_T], start: int, stop: int) -> NDArray[_T]:
        """table[owner] of the pages from `start` to before `stop`; owners beyond the table have its last element."""
        found = np.empty(max(stop - start, 0), dtype=table.dtype)
        for at, chunk, first, last in self._parts(start, stop):
            values = np.take(table, chunk.values, mode="clip")
            found[at : at + last - first] = chunk.between(values, first, last)
        return found

    def counts(self, start: int, stop: int, owners: int) -> I64:
        """How many of the pages from `start` to before `stop` each owner has, shape (owners,)."""
        found = np.zeros(owners, dtype=np.int64)
        for _, chunk, first, last in self._parts(start, stop):
            if chunk.ends is None:
                found += np.bincount(chunk.values[first:last], minlength=owners)
                continue
            low, lengths = chunk.runs(first, last)
            found += np.bincount(chunk.values[low : low + len(lengths)], lengths, owners).astype(np.int64)
        return found

    def write(self, start: int, owner: NDArray[Any]) -> None:
        """Take over whose the pages from `start` on are."""
        at = start
        while at < start + len(owner):
            number = self._number(at)
            begin, end = self._starts[number : number + 2]
            stop = min(end, start + len(owner))
            part = owner[at - start : stop - start]
            if stop - at < end - begin:
                whole = self[begin:end]
                whole[at - begin : stop - begin] = part
                part = whole
            self._chunks[number] = _Chunk.of(part)
            at = stop

    def forget(self, index: I64) -> None:
        """These pages are nobody's."""
        for number, here in self._by_chunk(np.sort(index)):
            begin, end = self._starts[number : number + 2]
            whole = self[begin:end]
            whole[here - begin] = 0
            self._chunks[number] = _Chunk.of(whole)

    def forget_owners(self, numbers: U16) -> None:
        """All pages of these owners are nobody's."""
        self._chunks = [chunk.without(numbers) for chunk in self._chunks]

    def _at(self, index: I64) -> U16:
        if (index[1:] < index[:-1]).any():
            order = np.argsort(index, kind="stable")
            found = np.empty(index.shape, dtype=np.uint16)
            found[order] = self._at(index[order])
            return found
        parts = [
            self._chunks[number].at(here - self._starts[number]) for number, here in self._by_chunk(index)
        ]
        return np.concatenate([np.zeros(0, dtype=np.uint16), *parts])

    def _by_chunk(self, index: I64) -> Iterator[tuple[int, I64]]:
        """Indexes that are in order, by the chunk they lie in."""
        if not len(index):
            return
        low, high = self._number(int(index[0])), self._number(int(index[-1]))
        edges = [0, *np.searchsorted(index, self._starts[low + 1 : high + 1]).tolist(), len(index)]
        for number, (first, last) in enumerate(pairwise(edges), low):
            if first < last:
                yield number, index[first:last]

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, _Chunk, int, int]]:
        """The chunks that these pages are in: where each begins among them, and from where to where they are in it."""
        at, number = start, self._number(start)
        while at < stop:
            begin, end = self._starts[number : number + 2]
            yield at - start, self._chunks[number], at - begin, min(end, stop) - begin
            at, number = end, number + 1

    def _number(self, index: int) -> int:
        return bisect_right(self._starts, index) - 1
