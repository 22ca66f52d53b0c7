"""One round's plan: from what is seen, what is wanted and what was done, to the pages that move.

plan_round is pure: it changes nothing, and the same arguments give the same plan. In this order:

    guards      may anything move                                       guards.py
    parties     who shares fast memory, within which bounds             shares.py
    survey      how heat is spread                                      survey.py
    thresholds  the heat from which pages just fit into fast memory     shares.py
    search      which pages lie on the wrong side of them               candidates.py
    choice      which of those move, hottest against coldest            choice.py
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from thermocline_agent import activity, cuts
from thermocline_agent.candidates import Pages, Rest, Search
from thermocline_agent.choice import Bounds, Choice, choose
from thermocline_agent.extent import F64, I64, Tier, sums
from thermocline_agent.guards import Verdict, Why, few_returned, judge
from thermocline_agent.heat import HOTTEST, Pace
from thermocline_agent.history import History
from thermocline_agent.moves import FastHits, Moves, Plan
from thermocline_agent.settings import PAGE_BYTES, Settings
from thermocline_agent.shares import (
    NOBODY,
    PINNED,
    POOL,
    SINKING,
    Parties,
    Thresholds,
    parties,
    residency,
    surely_more,
    thresholds,
)
from thermocline_agent.snapshot import Snapshot
from thermocline_agent.survey import USE_ROUNDS, survey
from thermocline_agent.targets import moves
from thermocline_agent.worth import Worth

_NO_WINDOW_SECONDS = 60.0
# With so much to be gained, pages are lying wrong, and it is better to be right on average now than sure
# later.
_WORTH_BEING_UNSURE = 0.04


def pace(settings: Settings) -> Pace:
    """The pace at which heat is observed under these settings."""
    rounds = settings.rounds(max(settings.rest_seconds, _window(settings)))
    return Pace(settings.interval_seconds, activity.ticks(rounds), settings.stretch)


def plan_round(snapshot: Snapshot, settings: Settings, history: History, now: float) -> Plan:
    """What shall move now. `now` is monotonic, in seconds; before the history's time nothing is planned."""
    owners = len(snapshot.rule_of)
    if now < history.at:
        return _idle(history, owners, Why.CLOCK_WENT_BACK)
    if not snapshot.total_pages(Tier.SLOW) or not snapshot.total_pages(Tier.FAST):
        return _idle(history, owners, Why.NO_SLOW_TIER)
    window = _window(settings)
    guards, verdict = judge(
        history.guards, settings.guards, snapshot.pressure, history.measured(now - window), now,
        few=few_returned(snapshot.total_pages(Tier.FAST)),
    )  # fmt: skip
    tick = pace(settings).tick
    recent = activity.aged(settings.rounds(window), tick)
    arrivals = history.moved_into(owners, now - window)
    lately = arrivals > 0
    sharing = parties(settings.rules, snapshot.rule_of)
    found = survey(snapshot, settings, sharing, arrivals, recent, tick)
    sharing = sharing.with_amounts(settings.rules, snapshot.rule_of, found.histogram.sum(axis=(1, 2)))
    room, deficit = _free(snapshot, settings)
    tiered = sharing.of_owner[(sharing.of_owner == POOL) | (sharing.of_owner > SINKING)]
    pool_owners = int(np.count_nonzero(sharing.weight[tiered] == 0))
    capacity = _capacity(found.histogram.sum(axis=2).T, room - deficit)
    sharing = sharing.fitting(capacity)
    limits = thresholds(found.histogram, sharing, capacity, pool_owners, found.step)
    party = sharing.of_owner
    levels = np.where(party == NOBODY, 0, np.minimum(limits.sink[party], HOTTEST))
    plan = Plan(
        Moves.none(),
        levels.astype(np.uint8),
        guards,
        waits=verdict.reasons,
        fast_hits=_hits(found.histogram),
        arrived=found.arrived,
        used=found.used,
    )
    worth = Worth.of(snapshot.heat, settings, owners)
    if not verdict.move or worth is None:
        return plan
    search = Search(snapshot, settings, sharing, limits, worth, history.refusals.waiting(now))
    rested = activity.aged(settings.rounds(settings.rest_seconds), tick)
    resting = history.moved_into(owners, now - settings.rest_seconds) > 0
    rests = [
        Rest(
            rested,
            resting[tier],
            recent,
            lately[tier],
            lately[tier] & (arrivals[tier] * 2 >= found.young[tier]),
        )
        for tier in Tier
    ]
    pins = bool(found.histogram[PINNED, Tier.SLOW].any())
    sinks = bool(found.histogram[SINKING, Tier.FAST].any())
    eager = worth.unsure()
    over = bool(surely_more(found.histogram[:, Tier.FAST].sum(axis=1), sharing.maximum, found.step).any())
    freed = room > 0 or over or found.sinks
    cut = cuts.least(found.histogram, sharing, limits, eager, room=freed)
    if not verdict.promote:
        cut = np.full(owners, cuts.NEVER, dtype=np.int16)
    up = search.rising(cut, rests[Tier.SLOW], pins=pins)
    if not len(up) and not deficit and not over and not found.sinks:
        return plan
    forced = deficit > 0 or over or pins
    cut = cuts.most(
        found.histogram,
        sharing,
        limits,
        eager,
        hottest=None if forced else int(up.excess.max(initial=-cuts.NEVER)),
        needed=int(up.size.sum()) + deficit + len(history.refusals.pfn),
    )
    down = search.sinking(cut, rests[Tier.FAST], sinks=sinks)
    if not len(up) and not len(down):
        return plan
    filled = history.filled(settings, owners, now)
    bounds = _bounds(snapshot, settings, filled, sharing, limits, (room, deficit), verdict)
    chosen = choose(up, down, eager, bounds)
    if _gain(chosen, worth, found.histogram) < _WORTH_BEING_UNSURE:
        chosen = choose(up, down, worth, bounds)
    chosen_moves = moves(snapshot, sharing, chosen, limits.pool)
    returned = _returned(chosen.down, arrivals[Tier.FAST], found.young[Tier.FAST])
    returned += _returned(chosen.up, arrivals[Tier.SLOW], found.young[Tier.SLOW])
    return replace(
        plan,
        moves=chosen_moves,
        waits=(*verdict.reasons, *chosen.waits),
        fast_hits=_hits(found.histogram, chosen),
        returned=returned,
        promised=float((worth.used(chosen.up.heat, USE_ROUNDS) * chosen.up.size).sum()),
    )


def _window(settings: Settings) -> float:
    limits = settings.guards.ping_pong
    return limits.window_seconds if limits is not None else _NO_WINDOW_SECONDS


def _idle(history: History, owners: int, why: Why) -> Plan:
    return Plan(
        Moves.none(),
        history.sized_levels(owners),
        history.guards,
        waits=(why,),
        arrived=history.arrived,
        used=history.used,
    )


def _free(snapshot: Snapshot, settings: Settings) -> tuple[int, int]:
    """Free fast memory that promotions may use, and how much of it is missing; between the marks neither."""
    total, free = snapshot.total_pages(Tier.FAST), snapshot.free_pages(Tier.FAST)
    until = int(settings.watermarks.demote_until * total)
    if free < settings.watermarks.demote_below * total:
        return 0, until - free
    return max(0, free - until), 0


def _by_party(resident: I64, sharing: Parties) -> F64:
    """Pages by tier and party, from pages by tier and owner."""
    taking_part = np.flatnonzero(sharing.of_owner != NOBODY)
    whose, parties = sharing.of_owner[taking_part], len(sharing.minimum)
    return np.array([sums(whose, pages[taking_part], parties) for pages in resident])


def _capacity(pages: F64, change: int) -> float:
    """How many pages of Tier's rules fit into fast memory: what they have, what is free, what pins leave of
    it, and what would rather sink. `pages` by tier and party.
    """
    fast = pages[Tier.FAST]
    return float(fast.sum() - fast[PINNED] + change - pages[Tier.SLOW, PINNED])


def _bounds(
    snapshot: Snapshot,
    settings: Settings,
    filled: History,
    sharing: Parties,
    limits: Thresholds,
    free: tuple[int, int],
    verdict: Verdict,
) -> Bounds:
    owners = len(snapshot.rule_of)
    most_down, most_up, most_moved = (np.full(owners, np.inf) for _ in range(3))
    whose = sharing.owner_of[sharing.sharing]
    if len(whose):
        # Thresholds may come from a sample; that a minimum or a maximum is kept may not.
        everybody = residency(snapshot.layout, snapshot.owner, owners)
        by_party = _by_party(everybody, sharing)
        exact = sharing.with_amounts(settings.rules, snapshot.rule_of, by_party.sum(axis=0))
        fitting = exact.fitting(_capacity(by_party, free[0] - free[1]))
        resident = everybody[:, whose]
        minimum, maximum = exact.minimum[sharing.sharing], exact.maximum[sharing.sharing]
        # Where minimums are too many together, nobody loses what it has of its own.
        most_down[whose] = np.where(minimum > 0, np.maximum(resident[Tier.FAST] - minimum, 0), np.inf)
        maximum = np.where(limits.kept[sharing.sharing], fitting.minimum[sharing.sharing], maximum)
        most_up[whose] = np.where(maximum > resident[Tier.FAST], maximum - resident[Tier.FAST], 0)
        most_up[whose] = np.minimum(most_up[whose], exact.maximum[sharing.sharing] - resident[Tier.FAST])
    if settings.limits.pod_bytes_per_minute is not None:
        most_moved = np.maximum(filled.pods.tokens[:owners] // PAGE_BYTES, 0)
    return Bounds(
        room=free[0],
        deficit=free[1],
        promote=filled.promote.pages,
        demote=filled.demote.pages,
        slow_free=snapshot.free_pages(Tier.SLOW),
        most_down=most_down,
        most_up=most_up,
        most_moved=most_moved,
        swap=verdict.swap,
    )


def _gain(chosen: Choice, worth: Worth, histogram: F64) -> float:
    """By which share of all accesses those to fast memory will grow."""
    total = float(histogram.sum(axis=(0, 1)) @ worth.counts)
    up = float((worth.counts[chosen.up.heat] * chosen.up.size).sum())
    down = float((worth.counts[chosen.down.heat] * chosen.down.size).sum())
    return (up - down) / total if total else 0.0


def _returned(pages: Pages, arrivals: I64, young: I64) -> int:
    """How many of these pages were probably moved here within the window.

    Those that appeared within it may also have been allocated then: they are taken to be arrivals in the
    proportion that all of their owner's pages have that appeared.
    """
    share = np.minimum(arrivals / np.maximum(young, 1), 1.0)
    return int((pages.size[pages.young] * share[pages.owner[pages.young]]).sum())


def _hits(histogram: F64, chosen: Choice | None = None) -> FastHits | None:
    heats = np.arange(256)
    fast = float((histogram[:, Tier.FAST] @ heats).sum())
    total = fast + float((histogram[:, Tier.SLOW] @ heats).sum())
    if not total:
        return None
    planned = fast
    if chosen is not None:
        planned += float(
            (chosen.up.heat * chosen.up.size).sum() - (chosen.down.heat * chosen.down.size).sum()
        )
    return FastHits(fast / total, min(planned / total, 1.0))
