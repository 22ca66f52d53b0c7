"""The machine of a trace: where pages lie that a policy has moved, while others come, go and are split."""

from __future__ import annotations

from dataclasses import replace
from errno import ENOENT, ENOMEM
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.agent.traces import LAYOUT, NODES, traces
from thermocline_agent.extent import I64, Tier
from thermocline_agent.moves import Moves, Reason
from thermocline_agent.recorded import Recorded
from thermocline_agent.trace import Moment, Runs, Trace, TraceOwner, joined, parted

FAST_NODE, SLOW_NODE = 0, 2
FIRST_SLOW = 78


def moment(before: Moment | None, owner: dict[int, tuple[int, int, int]], **others: Any) -> Moment:
    """Runs of frames by their first: pages, owner, order; what is not named is nobody's."""
    found = Moment(
        0.0 if before is None else before.seconds + 10, "IdlePage", 1, 64.0, (8, 0, 20), None,
        Runs.of(np.zeros(0)), np.zeros(0, dtype=np.uint8), Runs.of(np.ones(LAYOUT.pages)),
        Runs.of(np.zeros(LAYOUT.pages)),
    )  # fmt: skip
    whose, order = np.zeros(LAYOUT.pages, dtype=np.int64), np.zeros(LAYOUT.pages, dtype=np.uint8)
    for first, (pages, number, log2) in owner.items():
        whose[first : first + pages], order[first : first + pages] = number, log2
    runs = Runs.of(joined(whose, order) + 1)
    changed, order_of = parted(runs.value - 1)
    return replace(found, changed=Runs(runs.first, runs.pages, changed), order=order_of, **others)


def moves(head: list[int], pages: list[int], node: int) -> Moves:
    index = np.array(head, dtype=np.int64)
    reason = Reason.HOT if node == FAST_NODE else Reason.SWAP
    return Moves(
        index, LAYOUT.pfn(index), np.array(pages, dtype=np.int64), np.full(len(head), node, dtype=np.int32),
        np.ones(len(head), dtype=np.int64), np.zeros(len(head), dtype=np.int16),
        np.full(len(head), reason, dtype=np.uint8),
    )  # fmt: skip


def machine(*moments: Moment) -> Recorded:
    owners = trace_of(moments)
    found = Recorded(owners)
    for each in moments:
        found.advance(each)
    return found


def trace_of(moments: tuple[Moment, ...]) -> Trace:
    return Trace(10.0, False, False, NODES, LAYOUT, (TraceOwner(False),) * 3, moments)


def free(found: Recorded) -> dict[int, int]:
    return {node.number: node.free_pages for node in found.nodes}


def check(found: Recorded) -> None:
    """What holds at any time."""
    lives = np.flatnonzero(found.lives)
    places = found.place[lives]
    assert len(np.unique(places)) == len(places)
    assert (found._page_at[places] == lives).all()
    assert np.count_nonzero(found._page_at >= 0) == len(lives)
    assert (found.charged[lives] > 0).all()
    assert (found.owner[places] == found.charged[lives]).all()
    assert np.count_nonzero(found.owner) == len(lives)
    assert all(node.free_pages >= 0 for node in found.nodes)
    assert found._recorded.tolist() == found._by_node(np.flatnonzero(found.charged)).tolist()
    assert found._lying.tolist() == found._by_node(places).tolist()
    # Every folio is whole, aligned, and one owner's.
    for order in np.unique(found.order[found.order > 0]).tolist():
        frames = np.flatnonzero(found.order == order)
        heads = frames[(found._pfn[frames] & ((1 << order) - 1)) == 0]
        assert len(heads) << order == len(frames)
        assert all(len(set(found.owner[each : each + (1 << order)].tolist())) == 1 for each in heads.tolist())


def test_pages_move_and_free_memory_follows() -> None:
    found = machine(moment(None, {0: (10, 1, 0), FIRST_SLOW: (5, 2, 0)}))
    assert free(found) == {0: 8, 1: 0, 2: 20}
    status = found.carry_out(moves([FIRST_SLOW, FIRST_SLOW + 3, FIRST_SLOW + 20], [1, 1, 1], FAST_NODE))
    assert status.tolist() == [FAST_NODE, FAST_NODE, -ENOENT]
    assert free(found) == {0: 6, 1: 0, 2: 22}
    assert found.place[[FIRST_SLOW, FIRST_SLOW + 3]].tolist() == [10, 11]
    assert found.owner[10:12].tolist() == [2, 2]
    assert np.count_nonzero(found.in_fast) == 12
    assert np.count_nonzero(found.was_in_fast) == 10
    check(found)


def test_no_more_moves_than_is_free() -> None:
    found = machine(moment(None, {0: (10, 1, 0), FIRST_SLOW: (12, 2, 0)}))
    status = found.carry_out(moves(list(range(FIRST_SLOW, FIRST_SLOW + 12)), [1] * 12, FAST_NODE))
    assert status.tolist() == [FAST_NODE] * 8 + [-ENOMEM] * 4
    assert free(found)[0] == 0
    check(found)


def test_a_folio_moves_whole_to_an_aligned_place_or_not_at_all() -> None:
    # Frame numbers of node 0 begin at 64: 0 to 7 is an aligned block of 8, and 9 on is not.
    found = machine(
        moment(None, {1: (1, 1, 0), 9: (31, 1, 0), FIRST_SLOW: (8, 2, 3), FIRST_SLOW + 8: (8, 2, 3)})
    )
    heads = [FIRST_SLOW, FIRST_SLOW + 8]
    assert found.carry_out(moves(heads, [8, 8], FAST_NODE)).tolist() == [FAST_NODE, -ENOMEM]
    assert found.place[FIRST_SLOW : FIRST_SLOW + 8].tolist() == list(range(40, 48))
    tails = found.tails
    assert tails is not None
    found.advance(moment(moment(None, {}), {FIRST_SLOW: (8, 2, 0)}))
    # It was split where it lies.
    assert found.place[FIRST_SLOW : FIRST_SLOW + 8].tolist() == list(range(40, 48))
    assert found.tails is None
    check(found)


def test_memory_that_is_freed_and_allocated_again_is_where_it_was_recorded() -> None:
    first = moment(None, {FIRST_SLOW: (4, 2, 0)})
    found = machine(first)
    found.carry_out(moves([FIRST_SLOW, FIRST_SLOW + 1], [1, 1], FAST_NODE))
    # The first becomes another's, which is memory that was freed and allocated again; the second stays.
    forgotten = found.advance(moment(first, {FIRST_SLOW: (1, 3, 0), FIRST_SLOW + 1: (3, 2, 0)}))
    assert found.place[FIRST_SLOW] == FIRST_SLOW
    assert found.place[FIRST_SLOW + 1] == 1
    assert forgotten.tolist() == [0]
    assert found.owner[[0, 1, FIRST_SLOW]].tolist() == [0, 2, 3]
    check(found)


def test_a_page_whose_frame_is_taken_is_allocated_beside_it_or_on_the_other_tier() -> None:
    first = moment(None, {FIRST_SLOW: (8, 2, 0)})
    found = machine(first)
    found.carry_out(moves(list(range(FIRST_SLOW, FIRST_SLOW + 4)), [1] * 4, FAST_NODE))
    # Frames 0 to 3 have been given away; and of 8 free frames 6 were allocated while recording: 2 are left for them.
    found.advance(moment(first, {0: (6, 1, 0), FIRST_SLOW: (8, 2, 0)}, free_pages=(0, 0, 20)))
    assert np.count_nonzero(found.in_fast[:6]) == 2
    assert np.count_nonzero(found.lives[:6]) == 6
    assert free(found) == {0: 0, 1: 0, 2: 20}
    check(found)


def test_what_is_seen_is_seen_where_pages_lie_and_no_more_of_it_than_was_looked_at() -> None:
    counts = np.zeros(LAYOUT.pages, dtype=np.uint8)
    counts[[FIRST_SLOW, FIRST_SLOW + 1]] = 7, 9
    covered = np.zeros(LAYOUT.pages)
    covered[FIRST_SLOW : FIRST_SLOW + 1] = 1
    first = moment(None, {FIRST_SLOW: (4, 2, 0)}, counts=Runs.of(counts), covered=Runs.of(covered))
    found = machine(first)
    found.carry_out(moves([FIRST_SLOW], [1], FAST_NODE))
    seen = found.seen(first)
    assert seen.counts[[0, FIRST_SLOW, FIRST_SLOW + 1]].tolist() == [7, 0, 9]
    assert seen.covered == ((0, 1), (FIRST_SLOW, FIRST_SLOW + 1))


def heads_of(found: Recorded, tier: Tier) -> tuple[I64, I64]:
    """Folios of a tier, by where they begin."""
    head = np.flatnonzero((found.owner > 0) & ((found._pfn & ((1 << found.order.astype(int)) - 1)) == 0))
    return head[found._is_fast[head] == (tier is Tier.FAST)], head


@given(traces(), st.integers(0, 1 << 32))
def test_no_page_is_lost_or_doubled_whatever_moves(trace: Trace, seed: int) -> None:
    random = np.random.default_rng(seed)
    found = Recorded(trace)
    recorded = np.zeros(LAYOUT.pages, dtype=np.int64)
    for each in trace.moments:
        index, owner = each.changed.frames()
        recorded[index] = owner
        found.advance(each)
        check(found)
        assert (found.charged == recorded).all()
        assert np.count_nonzero(found.lives) == np.count_nonzero(recorded)
        for tier, node in ((Tier.FAST, SLOW_NODE), (Tier.SLOW, int(random.integers(0, 2)))):
            heads, _ = heads_of(found, tier)
            chosen = heads[random.random(len(heads)) < 0.5]
            before, was = free(found)[node], np.count_nonzero(found.owner)
            sizes = (1 << found.order[chosen].astype(int)).tolist()
            status = found.carry_out(moves(chosen.tolist(), sizes, node))
            moved = sum(size for size, one in zip(sizes, status.tolist(), strict=True) if one == node)
            assert set(status.tolist()) <= {node, -ENOMEM}
            assert moved <= before
            assert free(found)[node] == before - moved
            assert np.count_nonzero(found.owner) == was
            check(found)


@given(traces())
def test_where_nothing_moves_every_page_stays_where_it_was_recorded(trace: Trace) -> None:
    found = Recorded(trace)
    for each in trace.moments:
        assert not len(found.advance(each))
        lives = np.flatnonzero(found.lives)
        assert (found.place[lives] == lives).all()
        assert tuple(node.free_pages for node in found.nodes) == each.free_pages
        assert (found.seen(each).counts == counts_of(each, found)).all()


def counts_of(each: Moment, found: Recorded) -> I64:
    """What was counted of pages that somebody owns."""
    counts = np.zeros(LAYOUT.pages, dtype=np.int64)
    index, value = each.counts.frames()
    counts[index] = value
    return np.where(found.lives, counts, 0)
