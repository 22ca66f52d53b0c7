"""What page flags say of which pages heat can be told of. Pure, and on every page: each pass over an array counts."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from thermocline_kernel.arrays import U64, Mask
from thermocline_kernel.kpage import PageFlag

_LOOKED_AT: Final = np.uint64(PageFlag.LRU | PageFlag.COMPOUND_TAIL)
_HEAD: Final = np.uint64(PageFlag.LRU)
_TAIL: Final = np.uint64(PageFlag.COMPOUND_TAIL)
# With fewer folios than one in so many pages, one at a time is faster than all at once.
_LONG_RUN: Final = 64


def heads(flags: U64) -> Mask:
    """Pages that the kernel keeps on an LRU list: base pages, and the first ones of large folios."""
    # Flags of a tail show its head's LRU flag too.
    found: Mask = (flags & _LOOKED_AT) == _HEAD
    return found


def spread(flags: U64, values: NDArray[Any], known: Mask) -> None:
    """Give the tails of each large folio what its head has, in place. Folios whose head lies before are unknown."""
    tails = (flags & _TAIL) != 0
    edges = np.flatnonzero(tails[1:] ^ tails[:-1]) + 1
    # Tails in front belong to a folio that begins before; a folio may go on behind.
    bounds = np.append(edges[1:] if tails[:1].any() else edges, tails.size)
    starts, ends = bounds[:-1:2], bounds[1::2]
    if starts.size == 0:
        return
    if starts.size * _LONG_RUN < flags.size:
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            values[start:end] = values[start - 1]
            known[start:end] = known[start - 1]
        return
    lengths = ends - starts
    places = np.arange(lengths.sum()) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
    values[places] = np.repeat(values[starts - 1], lengths)
    known[places] = np.repeat(known[starts - 1], lengths)
