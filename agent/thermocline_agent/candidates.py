"""The few pages that may move, out of all: found by heat first, in whole blocks, and by everything else
after.

A page's *excess* is its heat above its owner's threshold. Pages of slow memory with much of it are
candidates, those of fast memory with little are victims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermocline_agent import activity
from thermocline_agent.extent import I64, U8, U64, Mask, Tier
from thermocline_agent.heat import HOTTEST
from thermocline_agent.settings import MAX_FOLIO_PAGES, Settings
from thermocline_agent.shares import PINNED, SINKING, Parties, Thresholds
from thermocline_agent.snapshot import Snapshot
from thermocline_agent.survey import idle_states
from thermocline_agent.tails import folio_pages
from thermocline_agent.worth import Worth

# The excess of pages that move whatever their heat is.
ALWAYS = 512


@dataclass(frozen=True, slots=True, eq=False)
class Pages:
    """Folios that may move, all of shape (folios,): the first to move first.

    `idle`: whether it has been idle for as long as its rule asks. `young`: whether it arrived within the
    ping-pong window. `held`: whether it did, and is not below its threshold beyond doubt: in fast memory such a page
    may have to make room, but is not exchanged for a hotter one.
    """

    index: I64
    owner: I64
    size: I64
    heat: NDArray[np.int16]
    excess: NDArray[np.int16]
    idle: Mask
    young: Mask
    held: Mask

    def __len__(self) -> int:
        return len(self.index)

    def chosen(self, which: NDArray[Any] | slice) -> Pages:
        """Some of them, by mask, slice or places."""
        return Pages(
            self.index[which],
            self.owner[which],
            self.size[which],
            self.heat[which],
            self.excess[which],
            self.idle[which],
            self.young[which],
            self.held[which],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Rest:
    """Who may not move yet, of one tier. `rested`: states of pages that have been in place for long enough,
    which is asked of owners that are `resting`, for pages of theirs were moved here not long ago. `settled`
    and `lately`: the same for the ping-pong window; what is neither counts as moving back. `mostly`: whose pages that
    appeared within it were for the most part moved here, and not allocated.
    """

    rested: Mask
    resting: Mask
    settled: Mask
    lately: Mask
    mostly: Mask


class Search:
    """What makes a page eligible, as tables by rule and state."""

    def __init__(
        self,
        snapshot: Snapshot,
        settings: Settings,
        sharing: Parties,
        limits: Thresholds,
        worth: Worth,
        waiting: U64,
    ) -> None:
        """`waiting`: frames to leave alone."""
        self._snapshot = snapshot
        self._party = sharing.of_owner
        self._limits = limits
        self._worth = worth
        blocked = snapshot.layout.index(waiting)
        self._blocked = np.sort(blocked[blocked >= 0])
        ready = [activity.hot(rule.hot_rounds) for rule in settings.rules]
        self._ready: Mask = np.array([*ready, np.zeros(256, dtype=np.bool_)])
        self._idle = idle_states(settings)

    def rising(self, least: NDArray[np.int16], rest: Rest, *, pins: bool) -> Pages:
        """Pages of slow memory as hot as `least` by owner, or pinned to fast memory; the hottest first."""
        pinned = self._party == PINNED if pins else None
        lowest = int(least[self._party >= 0].min(initial=255))
        index = self._where(Tier.SLOW, lambda heat: heat >= max(lowest, 0), pinned)
        owner, heat, state = self._details(index)
        always = self._party[owner] == PINNED
        ready = self._ready[self._snapshot.rule_of[owner], state] & (heat >= least[owner])
        ready &= self._party[owner] != SINKING
        ready |= always
        found = self._eligible(index, owner, heat, state, ready, rest, self._limits.rise)
        found.excess[self._party[found.owner] == PINNED] = ALWAYS
        return found.chosen(np.argsort(-found.excess, kind="stable"))

    def sinking(self, most: NDArray[np.int16], rest: Rest, *, sinks: bool) -> Pages:
        """Pages of fast memory no hotter than `most` by owner, or of PreferSlow's; the coldest first."""
        sink = self._party == SINKING if sinks else None
        highest = int(most[self._party >= 0].max(initial=-1))
        index = self._where(Tier.FAST, lambda heat: heat <= highest, sink) if highest >= 0 or sinks else _NONE
        owner, heat, state = self._details(index)
        always = self._party[owner] == SINKING
        ready = ((heat <= most[owner]) | always) & (self._party[owner] != PINNED)
        found = self._eligible(index, owner, heat, state, ready, rest, self._limits.sink)
        found.excess[self._party[found.owner] == SINKING] -= ALWAYS
        return found.chosen(np.argsort(found.excess, kind="stable"))

    def _where(self, tier: Tier, wanted: Any, special: Mask | None) -> I64:
        """Indexes of pages with a wanted heat, and of all of the owners that are special."""
        snapshot, found = self._snapshot, []
        for block in snapshot.layout.blocks():
            if block.tier is not tier:
                continue
            pages = slice(block.start, block.stop)
            mask: Mask = wanted(snapshot.heat.heat[pages])
            if special is not None:
                mask |= snapshot.owner.translated(special, block.start, block.stop)
            if snapshot.tails is not None:
                mask &= ~snapshot.tails[pages]
            low, high = np.searchsorted(self._blocked, (block.start, block.stop))
            mask[self._blocked[low:high] - block.start] = False
            # Of unknown pages nothing is known: they are not cold.
            mask &= snapshot.heat.state[pages] != 0
            found.append(np.flatnonzero(mask) + block.start)
        return np.concatenate(found) if found else _NONE

    def _details(self, index: I64) -> tuple[I64, NDArray[np.int16], U8]:
        heat = self._snapshot.heat
        return (
            self._snapshot.owner[index].astype(np.int64),
            heat.heat[index].astype(np.int16),
            heat.state[index],
        )

    def _eligible(
        self,
        index: I64,
        owner: I64,
        heat: NDArray[np.int16],
        state: U8,
        ready: Mask,
        rest: Rest,
        levels: NDArray[np.int16],
    ) -> Pages:
        ready = ready & (self._party[owner] >= 0) & (rest.rested[state] | ~rest.resting[owner])
        index, owner, heat, state = index[ready], owner[ready], heat[ready], state[ready]
        size = folio_pages(self._snapshot.tails, index, MAX_FOLIO_PAGES)
        fits = size <= MAX_FOLIO_PAGES
        level = levels[self._party[owner]]
        young = ~rest.settled[state] & rest.lately[owner]
        held = young & rest.mostly[owner] & ~self._worth.surely(np.minimum(level, HOTTEST), heat, owner)
        found = Pages(
            index,
            owner,
            size,
            heat,
            (heat - level).astype(np.int16),
            self._idle[self._snapshot.rule_of[owner], state],
            young,
            held,
        )
        return found if fits.all() else found.chosen(fits)


_NONE = np.zeros(0, dtype=np.int64)
