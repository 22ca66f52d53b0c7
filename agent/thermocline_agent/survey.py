"""How heat is spread: pages by party, tier and heat. From a sample, of millions (sampling.py)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from thermocline_agent import activity
from thermocline_agent.extent import F64, I64, U8, Mask, Tier
from thermocline_agent.ownership import U16
from thermocline_agent.sampling import stride, thin
from thermocline_agent.settings import Settings
from thermocline_agent.shares import NOBODY, SINKING, Parties
from thermocline_agent.snapshot import Snapshot

# In so many rounds a promoted page should be seen accessed.
USE_ROUNDS = 3
_NOTHING: U8 = np.zeros(0, dtype=np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """`histogram`: known pages, shape (parties, 2, 256). `young`: pages that appeared within the ping-pong
    window, of owners whose pages were moved there, by tier and owner, shape (2, owners). `arrived`: those in
    fast memory that were seen since, and `used`: those that were seen accessed. `sinks`: whether pages were
    met in fast memory that are cold and prefer slow memory. `step`: each page counted stands for so many.
    """

    histogram: F64
    young: I64
    arrived: int
    used: int
    sinks: bool
    step: int


def survey(
    snapshot: Snapshot, settings: Settings, sharing: Parties, arrivals: I64, settled: Mask, tick: int
) -> Survey:
    """Count. `arrivals`: pages moved within the ping-pong window, by tier and owner, shape (2, owners);
    `settled`: the states of pages that appeared before it; `tick` as in Pace.
    """
    step = stride(snapshot.layout.pages)
    parties, owners = len(sharing.minimum), len(snapshot.rule_of)
    # One more row takes what does not count: pages of nobody, and unknown ones.
    rows = np.where(sharing.of_owner == NOBODY, parties, sharing.of_owner) * 512
    counts = np.zeros((parties + 1) * 512, dtype=np.int64)
    young = np.zeros((2, owners), dtype=np.int64)
    arrived = used = 0
    sinks = False
    for tier in Tier:
        state, warmth, owner = _drawn(snapshot, tier, step)
        key = np.take(rows, owner) + warmth
        key[state == 0] = parties * 512
        key += 256 * tier
        counts += np.bincount(key, minlength=len(counts))
        lately = arrivals[tier] > 0
        if lately.any():
            new = np.flatnonzero(~settled[state] & (state > 0))
            new = new[lately[owner[new]]]
            young[tier] = np.bincount(owner[new], minlength=owners)
            if tier is Tier.FAST:
                seen = state[new][activity.aged(USE_ROUNDS, tick)[state[new]]]
                arrived, used = len(seen), int(np.count_nonzero(activity.hot(2)[seen]))
        if tier is Tier.FAST and (sharing.of_owner == SINKING).any():
            sinking = np.flatnonzero(sharing.of_owner[owner] == SINKING)
            idle = idle_states(settings)[snapshot.rule_of[owner[sinking]], state[sinking]]
            sinks = bool(idle.any())
    histogram: F64 = counts[: parties * 512].astype(np.float64).reshape(parties, 2, 256) * step
    # Where most pages that appeared were allocated, they say nothing about promotions.
    if arrivals[Tier.FAST].sum() * 2 < young[Tier.FAST].sum() * step:
        arrived = used = 0
    return Survey(histogram, young * step, arrived * step, used * step, sinks, step)


def idle_states(settings: Settings) -> Mask:
    """The states of pages that are cold by each rule, shape (rules + 1, 256); the last is for no rule, and
    empty.
    """
    cold = [
        activity.cold(settings.rounds(rule.cold_after_seconds), settings.stretch) for rule in settings.rules
    ]
    return np.array([*cold, np.zeros(256, dtype=np.bool_)])


def _drawn(snapshot: Snapshot, tier: Tier, step: int) -> tuple[U8, U8, U16]:
    """State, heat and owner of a sample of the tier's pages."""
    heat = snapshot.heat
    drawn: list[tuple[U8, U8, U16]] = [(_NOTHING, _NOTHING, snapshot.owner[:0])]
    for block in snapshot.layout.blocks():
        if block.tier is tier:
            pages = slice(block.start, block.stop)
            take = partial(thin, stride=step, turn=heat.number)
            drawn.append((take(heat.state[pages]), take(heat.heat[pages]), take(snapshot.owner[pages])))
    state, warmth, owner = (np.concatenate(column) for column in zip(*drawn, strict=True))
    return state, warmth, owner
