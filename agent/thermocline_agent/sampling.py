"""Every so many pages stand for all of them, where counts of millions need not be exact.

A sample is made of runs of pages, as runs are what vector instructions are fast at, spread evenly over a
block. Small memories are taken whole, so what holds of their counts holds exactly.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.extent import I64

_T = TypeVar("_T", bound=np.generic)

# So many pages are taken at least: the error of a count is then below one percent of them.
_ENOUGH = 1 << 14
_RUN = 64
_MOST = 64


def stride(pages: int) -> int:
    """One of how many pages is taken: a power of two."""
    return min(_MOST, 1 << max(0, (pages // _ENOUGH).bit_length() - 1))


def places(pages: int, stride: int, turn: int) -> I64:
    """Where the elements are that `thin` takes of an array of so many."""
    group = _RUN * stride
    if stride == 1 or pages < group:
        return thin(np.arange(pages), stride, turn)
    runs = np.arange(turn % stride * _RUN, pages - pages % group, group)
    found: I64 = (runs[:, None] + np.arange(_RUN)).ravel()
    return found


def thin(array: NDArray[_T], stride: int, turn: int) -> NDArray[_T]:
    """One of `stride` elements; `turn` chooses which, so that later rounds take other ones."""
    if stride == 1:
        return array
    group = _RUN * stride
    whole = len(array) - len(array) % group
    if whole == 0:
        return array[turn % stride :: stride]
    first = turn % stride * _RUN
    taken: NDArray[Any] = array[:whole].reshape(-1, group)[:, first : first + _RUN].ravel()
    return taken
