"""Those that ours is compared with: they choose pages, and know where every page is.

The oracle knows the coming interval's accesses. The clairvoyant knows what the observer will see in the whole
of a phase, the future included, and nothing else: nobody who sees only that can do better, but by luck. LRU
and the threshold are the simple policies of other daemons.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.extent import I64, U8, Mask


def exchanged(in_fast: Mask, worth: NDArray[Any], budget: int) -> Mask:
    """The best pages against the worst, while a page is worth more than the one it replaces."""
    slow, fast = np.flatnonzero(~in_fast), np.flatnonzero(in_fast)
    up = slow[np.argsort(-worth[slow], kind="stable")[:budget]]
    down = fast[np.argsort(worth[fast], kind="stable")[:budget]]
    pairs = min(len(up), len(down))
    count = int(np.count_nonzero(worth[up[:pairs]] > worth[down[:pairs]]))
    placed = in_fast.copy()
    placed[up[:count]], placed[down[:count]] = True, False
    return placed


def best(worth: NDArray[Any], pages: int) -> Mask:
    """The best pages, whatever it takes to get there."""
    placed = np.zeros(len(worth), dtype=np.bool_)
    placed[np.argsort(-worth, kind="stable")[:pages]] = True
    return placed


class LeastRecentlyUsed:
    """A touched page of slow memory replaces the page of fast memory that was touched the longest ago."""

    def __init__(self, in_fast: Mask, budget: int) -> None:
        self.in_fast = in_fast
        self._budget = budget
        self._last: I64 = np.full(len(in_fast), -1, dtype=np.int64)

    def step(self, counts: U8, interval: int) -> None:
        """After one interval."""
        self._last[counts > 0] = interval
        touched = np.where(self.in_fast, self._last, np.where(counts > 0, interval, -2))
        self.in_fast = exchanged(self.in_fast, touched, self._budget)


class Threshold:
    """A page seen accessed so often in an interval rises, and one not seen at all sinks."""

    def __init__(self, in_fast: Mask, budget: int, least: int) -> None:
        self.in_fast = in_fast
        self._budget = budget
        self._least = least

    def step(self, counts: U8, interval: int) -> None:  # noqa: ARG002 (the same call as LeastRecentlyUsed's)
        """After one interval."""
        worth = np.where(counts >= self._least, 2, np.where(counts == 0, 0, 1))
        worth[~self.in_fast & (worth == 1)] = 0
        self.in_fast = exchanged(self.in_fast, worth, self._budget)
