"""How hot each owner's pages are, by tier, in a few steps: for people and metrics, not for decisions. Pure."""

from __future__ import annotations

from functools import partial

import numpy as np

from thermocline_agent.extent import I64, Tier
from thermocline_agent.heat import HOTTEST
from thermocline_agent.report import HEAT_STEPS
from thermocline_agent.sampling import stride, thin
from thermocline_agent.snapshot import Snapshot


def portrait(snapshot: Snapshot) -> I64:
    """Pages by owner, tier and step of heat, shape (owners, 2, HEAT_STEPS); of large memories, from a sample.

    Step 0 is what has never been seen accessed for as long as heat reaches back, or was not looked at yet.
    """
    owners = len(snapshot.rule_of)
    step = stride(snapshot.layout.pages)
    found = np.zeros(owners * 2 * HEAT_STEPS, dtype=np.int64)
    steps = _steps()
    for block in snapshot.layout.blocks():
        pages = slice(block.start, block.stop)
        take = partial(thin, stride=step, turn=snapshot.heat.number)
        owner = take(snapshot.owner[pages]).astype(np.int64)
        key = (owner * 2 + block.tier) * HEAT_STEPS + steps[take(snapshot.heat.heat[pages])]
        found += np.bincount(key, minlength=len(found))
    return found.reshape(owners, len(Tier), HEAT_STEPS) * step


def _steps() -> I64:
    heats = np.minimum(np.arange(256), HOTTEST)
    return np.where(heats == 0, 0, 1 + (heats - 1) * (HEAT_STEPS - 1) // HOTTEST)
