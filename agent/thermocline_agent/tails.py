"""Which pages are tails of large folios: a bit for each page of chunks that have any, and nothing for the others.

It is read as an array is, by slices and by arrays of indexes.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from thermocline_agent.extent import I64, U8, Mask

CHUNK_PAGES: Final = 1 << 15


class Tails:
    """Which pages belong to a folio that starts before them, shape (pages,)."""

    __slots__ = ("_bits", "pages")

    def __init__(self, pages: int) -> None:
        """None does."""
        self.pages = pages
        self._bits: list[U8 | None] = [None] * -(-pages // CHUNK_PAGES)

    @staticmethod
    def of(tails: Mask) -> Tails:
        """Of an array with an element for each page."""
        made = Tails(len(tails))
        made.write(0, tails)
        return made

    @property
    def nbytes(self) -> int:
        """What is kept of all pages together."""
        return sum(bits.nbytes for bits in self._bits if bits is not None)

    def __len__(self) -> int:
        return self.pages

    def __getitem__(self, which: slice | I64) -> Mask:
        """Of a slice without a step, or of an array of indexes."""
        if isinstance(which, slice):
            start, stop, _ = which.indices(self.pages)
            return self._between(start, stop)
        found = np.zeros(which.shape, dtype=np.bool_)
        chunk = which // CHUNK_PAGES
        for number in np.unique(chunk).tolist():
            bits = self._bits[number]
            if bits is not None:
                here = np.flatnonzero(chunk == number)
                place = which[here] % CHUNK_PAGES
                found[here] = bits[place >> 3] >> (place & 7).astype(np.uint8) & 1
        return found

    def write(self, start: int, tails: Mask) -> None:
        """Take over what the pages from `start` on are."""
        for number in range(start // CHUNK_PAGES, -(-(start + len(tails)) // CHUNK_PAGES)):
            begin = number * CHUNK_PAGES
            whole = self._between(begin, min(begin + CHUNK_PAGES, self.pages))
            first, last = max(start - begin, 0), min(start + len(tails) - begin, len(whole))
            whole[first:last] = tails[begin + first - start : begin + last - start]
            self._bits[number] = np.packbits(whole, bitorder="little") if whole.any() else None

    def _between(self, start: int, stop: int) -> Mask:
        found = np.zeros(max(stop - start, 0), dtype=np.bool_)
        for number in range(start // CHUNK_PAGES, -(-stop // CHUNK_PAGES)):
            bits = self._bits[number]
            if bits is None:
                continue
            begin = number * CHUNK_PAGES
            first, last = max(start - begin, 0), min(stop - begin, CHUNK_PAGES)
            low = first // 8
            part = np.unpackbits(bits[low : -(-last // 8)], bitorder="little")[first - low * 8 :]
            found[begin + first - start : begin + last - start] = part[: last - first]
        return found


def heads(tails: Tails, index: I64, pfn: I64 | None = None) -> I64:
    """The first page of the folio of each page. `tails` marks every page of a folio but the first.

    A folio of 2^n pages starts at a frame number that 2^n divides. Without `pfn`, the frame numbers of the pages,
    indexes are taken to be aligned as those are.
    """
    found = index.copy()
    number = index if pfn is None else pfn
    for order in range(1, 19):
        inside = tails[found]
        if not inside.any():
            break
        below = number[inside] & ((1 << order) - 1)
        found[inside] = np.maximum(index[inside] - below, 0)
    return found


def folio_pages(tails: Tails | None, head: I64, most: int) -> I64:
    """How many pages the folio has that starts at each of `head`; anything above `most`, a power of two,
    counts as 2 * most.
    """
    sizes = np.ones(head.shape, dtype=np.int64)
    if tails is None:
        return sizes
    growing = np.arange(len(head))
    half = 1
    while len(growing) and half <= most:
        # The second half of a folio of 2 * half pages starts with a tail; of a smaller one, with a head.
        probe = head[growing] + half
        probe_inside = np.minimum(probe, len(tails) - 1)
        growing = growing[(probe < len(tails)) & tails[probe_inside]]
        half *= 2
        sizes[growing] = half
    return sizes
