"""Small machines for the planner: a fast and a slow node, owners with rules, and hypothesis' choice of all of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from thermocline_agent.activity import AGE_SHIFT
from thermocline_agent.extent import I64, Layout, Mask, Span, Tier
from thermocline_agent.forecast import Forecast
from thermocline_agent.heat import Heat
from thermocline_agent.memory import SETTLED, Memory
from thermocline_agent.observation import AccessBits
from thermocline_agent.ownership import U16, Ownership
from thermocline_agent.settings import (
    Amount,
    FastShare,
    GuardLimits,
    Limits,
    Placement,
    Rule,
    Settings,
    Watermarks,
)
from thermocline_agent.snapshot import Node, Snapshot
from thermocline_agent.tails import Tails

FAST, SLOW = 0, 1
# Known for long, seen accessed in this round and in three before.
BUSY = 7 << AGE_SHIFT | 12
# Known for long, and idle for longer than any rule here asks.
IDLE = 7 << AGE_SHIFT | 28
UNLIMITED = Limits(1 << 50, 1 << 50)
OPEN = GuardLimits(ping_pong=None, min_usefulness_percent=None)


def settings(*rules: Rule, **others: object) -> Settings:
    """Without guards, watermarks and limits, but for what is given."""
    usual: dict[str, object] = {"limits": UNLIMITED, "guards": OPEN, "watermarks": Watermarks(0.0, 0.0)}
    return Settings(rules or (Rule("all"),), **(usual | others))  # type: ignore[arg-type]


def bits(touched: list[bool] | Mask) -> AccessBits:
    """Which of all pages were accessed."""
    packed = np.packbits(np.asarray(touched, dtype=np.bool_), bitorder="little")
    return AccessBits(packed, ((0, len(touched)),))


def snapshot(
    fast: list[tuple[int, int, int]],
    slow: list[tuple[int, int, int]],
    *,
    rule_of: list[int] | None = None,
    free_fast: int = 0,
    free_slow: int | None = None,
    tails: Mask | None = None,
    spare: int = 0,
) -> Snapshot:
    """Pages as (owner, heat, state); free frames besides. Heat is taken at its word: it forecasts itself."""
    layout = Layout((Span(100, len(fast), FAST, Tier.FAST), Span(1000, len(slow), SLOW, Tier.SLOW)))
    heat = Heat(layout)
    pages = [*fast, *slow]
    heat.heat[:] = [page[1] for page in pages]
    heat.state[:] = [page[2] for page in pages]
    heat.scale, heat.full, heat.number, heat.at = 240.0, 1, 100, 0.0
    heat.accesses_per_count = 1e6
    heat.forecast = Forecast(np.ones(256), np.arange(256) / 240)
    owners = max((page[0] for page in pages), default=0) + 1 if rule_of is None else len(rule_of)
    heat.memory = Memory(
        np.full(owners, SETTLED, dtype=np.uint8), np.full(owners, np.nan), np.zeros(owners, dtype=np.bool_)
    )
    rules = [-1, *([0] * (owners - 1))] if rule_of is None else rule_of
    nodes = (
        Node(FAST, Tier.FAST, len(fast) + free_fast + spare, free_fast),
        Node(SLOW, Tier.SLOW, len(slow) + 1000, len(fast) + 1000 if free_slow is None else free_slow),
    )
    owner = Ownership.of(np.array([page[0] for page in pages], dtype=np.uint16))
    folios = None if tails is None else Tails.of(tails)
    return Snapshot(layout, heat, owner, np.array(rules, dtype=np.int16), nodes, None, folios)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A snapshot, settings, and what is derived of them."""

    snapshot: Snapshot
    settings: Settings

    @property
    def fast_pages(self) -> int:
        """How many pages the fast node's span has."""
        return self.snapshot.layout.spans[0].pages

    def resident(self, owner: U16) -> tuple[I64, I64]:
        """Pages of each owner in fast memory, and in all."""
        size = len(self.snapshot.rule_of)
        fast = np.bincount(owner[: self.fast_pages], minlength=size)
        return fast, np.bincount(owner, minlength=size)


AMOUNTS = st.one_of(
    st.none(),
    st.builds(lambda pages: Amount(pages=pages), st.integers(0, 12)),
    st.builds(lambda share: Amount(share=share / 10), st.integers(0, 10)),
)
SHARES = st.builds(FastShare, AMOUNTS, AMOUNTS, st.sampled_from([50, 100, 100, 300]))
RULES = st.builds(
    lambda placement, cold, hot, share: Rule(
        "r", placement, cold, hot, share if placement is Placement.TIER else None
    ),
    st.sampled_from([Placement.TIER] * 5 + list(Placement)),
    st.sampled_from([0.0, 10.0, 60.0]),
    st.sampled_from([1, 2, 2, 3]),
    st.one_of(st.none(), SHARES),
)
OWNERS = 5
# In bytes a second; the small one is a page in five seconds, so that a few rounds can pass it.
BUDGETS = st.sampled_from([1 << 19, 1 << 19, 800, 0])


HEATS = np.array([0, 1, 5, 40, 41, 90, 150, 239, 240])
STATES = np.array([0, 1 << AGE_SHIFT, 3 << AGE_SHIFT | 8, BUSY, BUSY, BUSY, IDLE, IDLE, 7 << AGE_SHIFT | 2])


def _pages(random: np.random.Generator, count: int) -> list[tuple[int, int, int]]:
    """Owner, heat and state of pages."""
    owners = random.integers(0, OWNERS + 1, count)
    heats, states = random.choice(HEATS, count), random.choice(STATES, count)
    return list(zip(owners.tolist(), heats.tolist(), states.tolist(), strict=True))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Anything that a planner may be asked."""
    # Drawn page by page, most pages would be alike, and hardly any would move.
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    fast, slow = draw(st.integers(1, 16)), draw(st.integers(1, 16))
    rules = tuple(draw(st.lists(RULES, min_size=1, max_size=4)))
    rule_of = [-1, *random.integers(-1 if draw(st.booleans()) else 0, len(rules), OWNERS).tolist()]
    found = snapshot(
        _pages(random, fast),
        _pages(random, slow),
        rule_of=rule_of,
        free_fast=draw(st.sampled_from([0, 0, 2, 8])),
        free_slow=draw(st.sampled_from([1, 3, 30])),
        tails=_folios(random, fast, slow) if draw(st.booleans()) else None,
    )
    page = 4096
    limits = Limits(
        draw(BUDGETS), draw(BUDGETS),
        draw(st.one_of(st.none(), st.integers(2, 16).map(lambda pages: pages * page))),
    )  # fmt: skip
    watermarks = Watermarks(*draw(st.sampled_from([(0.0, 0.0), (0.0, 0.1), (0.1, 0.3)])))
    return Case(found, settings(*rules, limits=limits, watermarks=watermarks))


def _folios(random: np.random.Generator, fast: int, slow: int) -> Mask:
    """Folios of 1, 2 or 4 pages, each at a place that its size divides within its span."""
    tails = np.zeros(fast + slow, dtype=np.bool_)
    for start, pages in ((0, fast), (fast, slow)):
        at = 0
        while at < pages:
            size = int(random.choice([1, 2, 4]))
            while at % size or at + size > pages:
                size //= 2
            tails[start + at + 1 : start + at + size] = True
            at += size
    return tails
