"""How hot a page must be, or how cold, for any exchange with it to pay.

In the usual round, when everything lies where it belongs, these cuts keep the search from finding anything,
and so a round costs what it takes to compare each page's heat with a number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.extent import F64, Tier
from thermocline_agent.shares import POOL, SINKING, Parties, Thresholds
from thermocline_agent.worth import Worth

# Above every heat, and above every excess.
NEVER = 512
# Of the pages that are cold enough, some rest, are pinned or were refused.
_PLENTY = 2


def least(
    histogram: F64, sharing: Parties, limits: Thresholds, worth: Worth, *, room: bool
) -> NDArray[np.int16]:
    """The least heat of candidates, by owner, shape (owners,). From the survey's histogram and each party's
    threshold.
    """
    takers, excess = _excess(histogram, limits.sink)
    above = 0
    if not room and not histogram[SINKING, Tier.FAST].any():
        coldest = int(excess[histogram[takers, Tier.FAST] > 0].min(initial=NEVER))
        above = _nearest(worth, limits.rise[takers], far=coldest, sign=1)
    levels = limits.rise[np.maximum(sharing.of_owner, 0)]
    # After a round or two very many pages are as hot as the last one that fits: which of them to take, the next
    # rounds tell.
    lowest: NDArray[np.int16] = np.maximum(levels + np.maximum(above, worth.new), 1).astype(np.int16)
    return lowest


def most(
    histogram: F64,
    sharing: Parties,
    limits: Thresholds,
    worth: Worth,
    *,
    hottest: int | None,
    needed: int,
) -> NDArray[np.int16]:
    """The most heat of victims, by owner, shape (owners,): for `needed` pages, the hottest candidate of which
    has the excess `hottest`, None where victims are needed whatever takes their place.
    """
    takers, excess = _excess(histogram, limits.sink)
    below = 0 if hottest is None else _nearest(worth, limits.sink[takers], far=hottest, sign=-1)
    fast = histogram[takers, Tier.FAST]
    pages = fast.sum(axis=1)
    # Owners at their minimum only exchange pages among themselves, and those above their maximum give all of
    # that.
    free = pages > sharing.minimum[takers]
    over = float(np.maximum(pages - sharing.maximum[takers], 0).sum())
    by_excess = np.bincount((excess[free] + NEVER).ravel(), fast[free].ravel(), 2 * NEVER).cumsum()
    enough = int(np.searchsorted(by_excess, _PLENTY * (needed + over))) - NEVER
    levels = limits.sink[np.maximum(sharing.of_owner, 0)]
    highest: NDArray[np.int16] = (levels + np.minimum(enough, -below)).astype(np.int16)
    return highest


def _excess(histogram: F64, by_party: NDArray[np.int16]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The parties that take part in exchanges, and by those and heat the distance from the threshold."""
    takers = np.array([POOL, *range(SINKING + 1, len(histogram))])
    return takers, np.arange(256) - by_party[takers, None].astype(np.int64)


def _nearest(worth: Worth, levels: NDArray[Any], *, far: int, sign: int) -> int:
    """How far above its threshold a page must be (`sign` 1) to be worth the place of one that is `far` from
    its own, or below (-1) for one that is `far` from its own to be worth its place. NEVER: no page is.
    """
    # Whoever is asked for least, and of those whoever knows most.
    owner = int(np.lexsort((-worth.length, worth.sure))[0])
    nearest = NEVER
    for level in {int(levels.min()), int(levels.max())}:
        heat = np.clip(level + sign * np.arange(257), 0, 255)
        other = np.full(257, min(max(level + far, 0), 255))
        hot, cold = (heat, other) if sign > 0 else (other, heat)
        pays = worth.pays(hot, cold, owner)
        if pays.any():
            nearest = min(nearest, int(np.argmax(pays)))
    return nearest
