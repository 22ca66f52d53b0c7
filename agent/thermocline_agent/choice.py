"""Which of the candidates move: the hottest against the coldest, within room, budgets, minimums and maximums.

A plan's promotions use free memory first. Every further one needs a victim, and is made only while it pays
(worth.py). Candidates and victims come in order, so the first pair that does not pay ends it.

Minimums, maximums and pods' budgets hold for sums of what is chosen, which is only known once it is. So what
passes them is struck off, and the choice is made again. A page that its owner's own hotter page replaces
changes no sum: pages of an owner at its minimum or maximum can still be exchanged among themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from thermocline_agent.candidates import ALWAYS, Pages
from thermocline_agent.extent import F64, I64, U8
from thermocline_agent.guards import Why
from thermocline_agent.moves import Reason
from thermocline_agent.worth import Worth

# So often the choice is made again, before owners may not exchange pages with themselves any more.
_PATIENCE = 32
_NONE: I64 = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """In pages. `room`: free fast memory to use; `deficit`: how much of it is missing; at most one is not 0.

    `most_down` and `most_up`: by owner, how many more may leave fast memory than come to it, and come than
    leave; `most_moved`: by owner, how many may move at all. Infinite where nothing is said; shape (owners,).
    """

    room: int
    deficit: int
    promote: int
    demote: int
    slow_free: int
    most_down: F64
    most_up: F64
    most_moved: F64
    swap: bool

    @property
    def unlimited(self) -> bool:
        """Whether no owner has a bound."""
        return not any(np.isfinite(most).any() for most in (self.most_down, self.most_up, self.most_moved))


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Demotions with their reasons, and promotions."""

    down: Pages
    why_down: U8
    up: Pages
    waits: tuple[Why, ...] = field(default=())


def choose(up: Pages, down: Pages, worth: Worth, bounds: Bounds) -> Choice:
    """From candidates and victims, each the first to move first, what moves."""
    owners = len(bounds.most_down)
    if bounds.unlimited:
        return _match(up, down, worth, bounds, _NONE)
    own = _own_victims(up, down, worth, bounds)
    # What could not move even if all of the owner's pages went the other way need not be tried.
    rising, sinking = (np.bincount(pages.owner, pages.size, owners) for pages in (up, down))
    most_came = np.minimum(bounds.most_moved, np.maximum(bounds.most_up + sinking, 0))
    most_left = np.minimum(bounds.most_moved, np.maximum(bounds.most_down + rising, 0))
    up = up.chosen(_running(up.owner, up.size) <= most_came[up.owner])
    down = down.chosen(_running(down.owner, down.size) <= most_left[down.owner])
    for attempt in range(2 * _PATIENCE):
        strict = attempt >= _PATIENCE
        choice = _match(up, down, worth, bounds, own)
        came = np.bincount(choice.up.owner, choice.up.size, owners)
        left = np.bincount(choice.down.owner, choice.down.size, owners)
        credit = 0.0 if strict else 1.0
        # Of what an owner may move, either direction has half, and what the other leaves: a swap needs both.
        most_left = np.minimum(
            bounds.most_down + credit * came,
            np.maximum(bounds.most_moved - came, np.ceil(bounds.most_moved / 2)),
        )
        most_came = np.minimum(
            bounds.most_up + credit * left,
            np.maximum(bounds.most_moved - left, np.floor(bounds.most_moved / 2)),
        )
        bad_down = _running(choice.down.owner, choice.down.size) > most_left[choice.down.owner]
        bad_up = _running(choice.up.owner, choice.up.size) > np.maximum(most_came, 0)[choice.up.owner]
        if not bad_down.any() and not bad_up.any():
            return choice
        down = down.chosen(~np.isin(down.index, choice.down.index[bad_down]))
        up = up.chosen(~np.isin(up.index, choice.up.index[bad_up]))
    nothing = np.zeros(0, dtype=np.int64)
    return Choice(down.chosen(nothing), nothing.astype(np.uint8), up.chosen(nothing), (Why.FLOORS,))


def _own_victims(up: Pages, down: Pages, worth: Worth, bounds: Bounds) -> I64:
    """The victims, by index, that owners at their maximum give for hotter pages of their own.

    Free memory is of no use to such an owner, so it would never exchange a page while there is some.
    """
    if not bounds.swap:
        return _NONE
    found = [_NONE]
    left = min(bounds.promote, bounds.demote, bounds.slow_free)
    for owner in np.unique(up.owner[np.isfinite(bounds.most_up[up.owner])]).tolist():
        mine, theirs = np.flatnonzero(up.owner == owner), np.flatnonzero((down.owner == owner) & ~down.held)
        free = max(bounds.most_up[owner], 0.0)
        needed = np.cumsum(up.size[mine]) - free
        given = np.cumsum(down.size[theirs])
        mine, needed = mine[needed > 0], needed[needed > 0]
        victim = np.searchsorted(given, needed)
        there = (victim < len(theirs)) & (needed <= min(left, bounds.most_moved[owner] / 2))
        mine, victim = mine[there], victim[there]
        pays = worth.pays(up.heat[mine], down.heat[theirs[victim]], up.owner[mine])
        count = len(pays) if pays.all() else int(np.argmin(pays))
        if count:
            chosen = theirs[: int(victim[count - 1]) + 1]
            left -= int(down.size[chosen].sum())
            found.append(down.index[chosen])
    return np.concatenate(found)


def _match(up: Pages, down: Pages, worth: Worth, bounds: Bounds, own: I64) -> Choice:
    """`own`: indexes of victims that make way for pages of their own owner, whether there is room or not."""
    waits: set[Why] = set()
    # An owner that is above its maximum already may have less than nothing more.
    ceiling = _running(down.owner, down.size) - down.size < -bounds.most_up[down.owner]
    sink = (down.excess <= -ALWAYS + 256) & down.idle & ~ceiling
    forced = ceiling | sink
    if len(own):
        forced |= np.isin(down.index, own)
    order = np.concatenate((np.flatnonzero(forced), np.flatnonzero(~forced)))
    down, count = down.chosen(order), int(np.count_nonzero(forced))
    why = np.full(len(down), Reason.SWAP, dtype=np.uint8)
    why[:count] = np.where(sink[order[:count]], Reason.SINK, Reason.SWAP)
    why[:count][ceiling[order[:count]]] = Reason.CEILING

    most = min(bounds.demote, bounds.slow_free)
    taken = _fitting(down.size[:count], most)
    if taken < count:
        waits.add(Why.DEMOTE_BUDGET if bounds.demote <= bounds.slow_free else Why.SLOW_FULL)
    freed = int(down.size[:taken].sum())
    deficit = max(0, bounds.deficit - freed)
    room = bounds.room + max(0, freed - bounds.deficit)
    most -= freed

    eligible = np.flatnonzero(down.idle | (down.excess <= -ALWAYS + 256))
    eligible = eligible[eligible >= count]
    ends = np.cumsum(down.size[eligible])
    needed = int(np.searchsorted(ends, deficit)) + 1 if deficit else 0
    fitting = _fitting(down.size[eligible[:needed]], most)
    if fitting < min(needed, len(eligible)):
        waits.add(Why.DEMOTE_BUDGET if bounds.demote <= bounds.slow_free else Why.SLOW_FULL)
    water = eligible[:fitting]
    why[water] = Reason.ROOM
    most -= int(down.size[water].sum())

    others = ~down.held
    others[:count] = False
    others[water] = False
    spare = np.flatnonzero(others)
    promoted, used = _pairs(up, down.chosen(spare), worth, bounds, room=room, most=most, waits=waits)
    chosen = np.concatenate((np.arange(taken), water, spare[:used]))
    return Choice(down.chosen(chosen), why[chosen], up.chosen(slice(promoted)), tuple(sorted(waits, key=str)))


def _pairs(
    up: Pages, spare: Pages, worth: Worth, bounds: Bounds, *, room: int, most: int, waits: set[Why]
) -> tuple[int, int]:
    """How many of the candidates move up, and how many of the spare victims make room for them."""
    ends, given = np.cumsum(up.size), np.cumsum(spare.size)
    within = ends <= bounds.promote
    free = ends <= room
    victim = np.searchsorted(given, ends - room)
    there = victim < len(spare)
    if not len(spare):
        pays = np.zeros(len(up), dtype=np.bool_)
    else:
        place = np.minimum(victim, len(spare) - 1)
        # Of owners with different thresholds, what counts is the distance from each one's own.
        cold = np.clip(up.heat - (up.excess - spare.excess[place]), 0, 255)
        cold = np.where(up.owner == spare.owner[place], spare.heat[place], cold)
        pays = worth.pays(up.heat, cold, up.owner)
        pays |= (up.excess >= ALWAYS) | (spare.excess[place] < -255)
        there &= given[place] <= most
    alone = (up.excess >= ALWAYS) | worth.alone(up.heat)
    wanted = np.where(free, alone, pays & bounds.swap)
    moves = wanted & within & (free | there)
    promoted = int(np.argmin(moves)) if not moves.all() else len(moves)
    if promoted < len(up) and wanted[promoted]:
        if not within[promoted]:
            waits.add(Why.PROMOTE_BUDGET)
        elif victim[promoted] < len(spare):
            waits.add(Why.DEMOTE_BUDGET if bounds.demote <= bounds.slow_free else Why.SLOW_FULL)
    needed = int(ends[promoted - 1]) - room if promoted else 0
    return promoted, int(np.searchsorted(given, needed)) + 1 if needed > 0 else 0


def _fitting(size: I64, most: int) -> int:
    """How many of the first fit into so many pages."""
    return int(np.searchsorted(np.cumsum(size), max(most, 0), side="right"))


def _running(owner: I64, size: I64) -> F64:
    """For each page, how many pages of its owner there are up to and with it."""
    order = np.argsort(owner, kind="stable")
    ordered = owner[order]
    sums = np.cumsum(size[order])
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    before = np.zeros(len(order), dtype=np.int64)
    if len(first):
        lengths = np.diff(np.append(first, len(order)))
        before = np.repeat(sums[first] - size[order][first], lengths)
    running = np.empty(len(order))
    running[order] = sums - before
    return running
