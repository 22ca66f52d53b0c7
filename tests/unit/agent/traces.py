"""Traces of any kind, by hypothesis' choice, and what two of them have in common."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from thermocline_agent.extent import I64, U8, Layout, Span, Tier
from thermocline_agent.guards import Pressure
from thermocline_agent.trace import Moment, Runs, Trace, TraceNode, TraceOwner, joined, parted

SPANS = (Span(64, 48, 0, Tier.FAST), Span(128, 30, 1, Tier.FAST), Span(256, 64, 2, Tier.SLOW))
LAYOUT = Layout(SPANS)
_PFN = LAYOUT.pfn(np.arange(LAYOUT.pages)).astype(np.int64)
NODES = tuple(TraceNode(span.node, span.tier, span.pages, 90 + span.node) for span in SPANS)
_WORDS = st.text(max_size=8)
_LABELS = st.dictionaries(_WORDS, _WORDS, max_size=2)
# No service is left alone.
OWNERS = st.builds(
    lambda pod, *others: TraceOwner(pod[0], pod[1], pod[2], *others),
    st.sampled_from([(False, None, False), (True, "Guaranteed", True), (True, None, False), (True, None, None)]),
    st.none() | _WORDS, st.none() | _WORDS, st.none() | _WORDS, st.none() | _LABELS, st.none() | _LABELS,
)  # fmt: skip


def lives(random: np.random.Generator, owner: I64, order: U8, owners: int) -> tuple[I64, U8]:
    """Owner and order of every frame a round later: blocks of 1 to 8 pages are freed, split, or become another's."""
    owner, order = owner.copy(), order.copy()
    for _ in range(int(random.integers(0, 12))):
        size = int(random.choice([1, 2, 4, 8]))
        first = int(random.choice(np.flatnonzero(_PFN % size == 0)))
        block = slice(first, first + size)
        inside = first + size <= LAYOUT.pages and _PFN[first + size - 1] == _PFN[first] + size - 1
        # No folio may be cut.
        if not inside or (1 << order[block].astype(int) > size).any():
            continue
        who = int(random.integers(0, owners + 1))
        owner[block] = who
        order[block] = size.bit_length() - 1 if who else 0
    if random.random() < 0.3:
        # Whole folios are split.
        order[int(random.integers(8, 40)) * 8 > _PFN] = 0
    return owner, order


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Any trace of three nodes: frames that nobody owns, owners that go, folios that are split."""
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    owners = tuple(draw(st.lists(OWNERS, min_size=1, max_size=4)))
    before = np.zeros(LAYOUT.pages, dtype=np.int32)
    owner, order = np.zeros(LAYOUT.pages, dtype=np.int64), np.zeros(LAYOUT.pages, dtype=np.uint8)
    moments = []
    for number in range(draw(st.integers(1, 6))):
        owner, order = lives(random, owner, order, len(owners))
        now = joined(owner, order)
        runs = Runs.of(np.where(now != before, now + 1, 0))
        before = now
        changed, order_of = parted(runs.value - 1)
        covered = random.random(LAYOUT.pages) < random.choice([0.5, 1.0, 2.0])
        counts = np.where(covered, random.choice([0, 0, 1, 7, 255], LAYOUT.pages), 0)
        used = [
            int((owner[at : at + span.pages] > 0).sum())
            for at, span in zip(LAYOUT.starts, SPANS, strict=True)
        ]
        free = tuple(
            int(random.integers(0, span.pages - count + 1)) for span, count in zip(SPANS, used, strict=True)
        )
        pressure = Pressure(1, 2) if random.random() < 0.5 else None
        moments.append(
            Moment(
                number * 10.0, str(random.choice(["Damon", "IdlePage"])), None, 64.0, free, pressure,
                Runs(runs.first, runs.pages, changed), order_of, Runs.of(covered), Runs.of(counts),
            )
        )  # fmt: skip
    return Trace(10.0, draw(st.booleans()), draw(st.booleans()), NODES, LAYOUT, owners, tuple(moments))


def told(trace: Trace) -> object:
    """All that is in a trace, to be compared."""
    return (
        trace.interval_seconds, trace.in_kubernetes, trace.has_names, trace.nodes, trace.layout.spans,
        [(each, each.labels, each.namespace_labels) for each in trace.owners],
        [
            (
                each.seconds, each.source, each.full, each.accesses_per_count, each.free_pages, each.pressure,
                each.order.tolist(),
                [
                    (runs.first.tolist(), runs.pages.tolist(), runs.value.tolist())
                    for runs in (each.changed, each.covered, each.counts)
                ],
            )
            for each in trace.moments
        ],
    )  # fmt: skip
