"""plan_round: tables of what it does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.agent.machines import (
    BUSY,
    FAST,
    IDLE,
    OPEN,
    SLOW,
    UNLIMITED,
    Case,
    bits,
    settings,
    snapshot,
)
from thermocline_agent.activity import AGE_SHIFT
from thermocline_agent.guards import Pressure, Why
from thermocline_agent.history import History
from thermocline_agent.memory import Memory
from thermocline_agent.moves import Plan, Reason
from thermocline_agent.plan import plan_round
from thermocline_agent.replay import Loop, Machine
from thermocline_agent.settings import (
    PAGE_BYTES,
    Amount,
    FastShare,
    GuardLimits,
    Limits,
    Placement,
    PressureLimits,
    Rule,
    Watermarks,
)

LONG = 1000.0


def planned(case: Case, now: float = LONG) -> Plan:
    return plan_round(case.snapshot, case.settings, History.begin(0.0), now)


HOT, COLD, NOBODYS = (1, 200, BUSY), (1, 5, IDLE), (0, 0, 0)
POLICY = settings(Rule("all"))


def why(plan: Plan) -> list[Reason]:
    return [Reason(reason) for reason in plan.moves.reason.tolist()]


def test_a_hot_page_takes_a_cold_ones_place() -> None:
    plan = plan_round(snapshot([HOT, COLD], [COLD, HOT]), POLICY, History.begin(0.0), LONG)
    assert plan.moves.pfn.tolist() == [101, 1001]
    assert plan.moves.node.tolist() == [SLOW, FAST]
    assert why(plan) == [Reason.SWAP, Reason.HOT]
    assert plan.fast_hits is not None
    assert plan.fast_hits.now == pytest.approx(205 / 410)
    assert plan.fast_hits.planned == pytest.approx(400 / 410)


def test_the_hottest_and_the_coldest_go_first() -> None:
    fast = [(1, heat, BUSY) for heat in (30, 10, 20)]
    slow = [(1, heat, BUSY) for heat in (200, 240, 220)]
    limits = Limits(2 * PAGE_BYTES, 2 * PAGE_BYTES)
    plan = plan_round(snapshot(fast, slow), settings(limits=limits), History.begin(0.0), 1.0)
    assert plan.moves.pfn.tolist() == [101, 102, 1001, 1002]
    assert Why.PROMOTE_BUDGET in plan.waits


@pytest.mark.parametrize(("hot", "cold", "swapped"), [(200, 190, False), (41, 40, False), (200, 100, True)])
def test_pages_that_are_nearly_alike_stay(hot: int, cold: int, swapped: bool) -> None:
    case = snapshot([(1, cold, BUSY)], [(1, hot, BUSY)])
    plan = plan_round(case, POLICY, History.begin(0.0), LONG)
    assert bool(len(plan.moves)) is swapped


def test_a_swap_must_pay_within_the_horizon() -> None:
    case = snapshot([COLD], [HOT])
    assert len(plan_round(case, POLICY, History.begin(0.0), LONG).moves) == 2
    # One access in an interval is no reason to copy 4 KiB twice.
    case.heat.accesses_per_count = 1.0
    assert len(plan_round(case, POLICY, History.begin(0.0), LONG).moves) == 0


def test_free_fast_memory_is_used_down_to_the_watermark() -> None:
    case = snapshot([HOT] * 4, [HOT] * 8, free_fast=6)
    policy = settings(watermarks=Watermarks(0.1, 0.3))
    plan = plan_round(case, policy, History.begin(0.0), LONG)
    assert why(plan) == [Reason.HOT] * 3
    assert (
        len(plan_round(snapshot([HOT] * 8, [HOT], free_fast=2), policy, History.begin(0.0), LONG).moves) == 0
    )


def test_cold_pages_sink_below_the_watermark_until_the_other() -> None:
    case = snapshot([HOT, COLD, COLD, HOT, COLD, COLD, (1, 1, IDLE)], [COLD], free_fast=0, spare=3)
    plan = plan_round(case, settings(watermarks=Watermarks(0.1, 0.25)), History.begin(0.0), LONG)
    assert why(plan) == [Reason.ROOM] * 2
    assert plan.moves.pfn.tolist() == [106, 101]
    # Pages in use do not sink for that.
    case = snapshot([HOT] * 7, [COLD], free_fast=0, spare=3)
    plan = plan_round(case, settings(watermarks=Watermarks(0.1, 0.25)), History.begin(0.0), LONG)
    assert len(plan.moves) == 0


def test_a_page_is_cold_only_after_its_rules_time() -> None:
    lukewarm = (1, 5, 7 << AGE_SHIFT | 16)  # idle for four rounds
    policy = [
        settings(Rule("all", cold_after_seconds=seconds), watermarks=Watermarks(0.4, 0.5))
        for seconds in (40, 41)
    ]
    plans = [plan_round(snapshot([lukewarm] * 4, [COLD]), each, History.begin(0.0), LONG) for each in policy]
    assert [len(plan.moves) for plan in plans] == [2, 0]


def test_pinned_pages_rise_and_stay() -> None:
    rules = (Rule("pin", Placement.PIN_FAST), Rule("all"))
    pinned = (1, 0, IDLE)
    case = snapshot([(2, 240, BUSY), pinned], [pinned, (2, 240, BUSY)], rule_of=[-1, 0, 1])
    plan = plan_round(case, settings(*rules), History.begin(0.0), LONG)
    assert why(plan) == [Reason.SWAP, Reason.PIN]
    assert plan.moves.pfn.tolist() == [100, 1000]


def test_pages_that_prefer_slow_memory_sink_once_cold_and_go_first() -> None:
    rules = (Rule("sink", Placement.PREFER_SLOW), Rule("all"))
    case = snapshot([(1, 200, BUSY), (1, 100, IDLE)], [(1, 240, BUSY)], rule_of=[-1, 0, 1], free_fast=5)
    plan = plan_round(case, settings(*rules), History.begin(0.0), LONG)
    assert plan.moves.pfn.tolist() == [101]
    assert why(plan) == [Reason.SINK]
    case = snapshot([(2, 20, BUSY), (1, 200, BUSY)], [(2, 90, BUSY)], rule_of=[-1, 0, 1])
    plan = plan_round(case, settings(*rules), History.begin(0.0), LONG)
    assert plan.moves.pfn.tolist() == [101, 1000]


def test_ignored_pages_stay_and_so_do_pinned_ones() -> None:
    rules = (Rule("system", Placement.IGNORE), Rule("pin", Placement.PIN_FAST), Rule("all"))
    fast = [(owner, 0, IDLE) for owner in (1, 2, 3, 4)]
    slow = [(owner, 240, BUSY) for owner in (1, 3, 3, 3, 4)]
    plan = plan_round(
        snapshot(fast, slow, rule_of=[-1, 0, 1, 2, -1]), settings(*rules), History.begin(0.0), LONG
    )
    assert plan.moves.owner.tolist() == [3, 3]


def test_a_pods_budget_is_of_both_directions() -> None:
    policy = settings(limits=replace(UNLIMITED, pod_bytes_per_minute=10 * PAGE_BYTES))
    plan = plan_round(snapshot([COLD] * 9, [HOT] * 9), policy, History.begin(0.0), 100.0)
    # Half of the minute's pages are kept, and of those one cannot be half of a swap.
    assert len(plan.moves) == 4
    assert plan.moves.promoted_pages == 2


def test_slow_memory_is_not_overfilled() -> None:
    plan = plan_round(snapshot([COLD] * 9, [HOT] * 9, free_slow=2), POLICY, History.begin(0.0), LONG)
    assert plan.moves.promoted_pages == plan.moves.demoted_pages == 2
    assert plan.waits == (Why.SLOW_FULL,)


def test_anothers_heat_does_not_break_a_minimum() -> None:
    rules = (Rule("kept", fast_share=FastShare(Amount(pages=2))), Rule("all"))
    case = snapshot([(1, 2, IDLE)] * 4, [(2, 240, BUSY)] * 6, rule_of=[-1, 0, 1])
    plan = plan_round(case, settings(*rules), History.begin(0.0), LONG)
    assert plan.moves.demoted_pages == plan.moves.promoted_pages == 2
    # The owner's own hotter pages may still take the places of its colder ones.
    case = snapshot([(1, 2, IDLE)] * 2, [(2, 240, BUSY)] * 6 + [(1, 200, BUSY)], rule_of=[-1, 0, 1])
    plan = plan_round(case, settings(*rules), History.begin(0.0), LONG)
    assert plan.moves.owner.tolist() == [1, 1]


def test_an_owner_below_its_minimum_gets_its_hottest_pages() -> None:
    rules = (Rule("kept", fast_share=FastShare(Amount(pages=2))), Rule("all"))
    case = snapshot(
        [(2, 90, BUSY)] * 4, [(1, 60, BUSY), (1, 20, BUSY), (1, 70, BUSY)], rule_of=[-1, 0, 1], free_fast=2
    )
    plan = plan_round(case, settings(*rules), History.begin(0.0), LONG)
    assert plan.moves.pfn.tolist() == [1002, 1000]


def test_minimums_that_are_too_many_shrink_alike_and_each_owner_has_its_hottest_pages_there() -> None:
    rules = (Rule("kept", fast_share=FastShare(Amount(pages=8), Amount(pages=8))),)
    mixed = [(1, heat, BUSY) for heat in (220, 210, 200, 60, 50, 40)]
    even = [(2, 100, BUSY)] * 6
    case = snapshot([NOBODYS], mixed + even, rule_of=[-1, 0, 0], free_fast=6)
    plan = plan_round(case, settings(*rules), History.begin(0.0), LONG)
    assert plan.moves.pfn.tolist()[:3] == [1000, 1001, 1002]
    assert np.bincount(plan.moves.owner).tolist() == [0, 3, 3]
    # Each exchanges its own pages, and does not take the other's.
    case = snapshot(
        [mixed[0], *mixed[3:5], *even[:3]], [*mixed[1:3], mixed[5], *even[3:]], rule_of=[-1, 0, 0]
    )
    plan = plan_round(case, settings(*rules), History.begin(0.0), LONG)
    assert plan.moves.pfn.tolist() == [102, 101, 1000, 1001]
    # Pages that are nearly alike stay, however cold all of the owner's are beside the other's.
    case = snapshot([*mixed[3:], *even[:3]], [(1, 62, BUSY)] * 3 + even[3:], rule_of=[-1, 0, 0])
    assert len(plan_round(case, settings(*rules), History.begin(0.0), LONG).moves) == 0


def test_nobody_has_more_than_the_maximum() -> None:
    rules = (Rule("hog", fast_share=FastShare(maximum=Amount(share=0.5))), Rule("all"))
    hog, other = (1, 240, BUSY), (2, 100, BUSY)
    case = snapshot([hog] * 4, [hog] * 2 + [other] * 2, rule_of=[-1, 0, 1])
    plan = plan_round(case, settings(*rules), History.begin(0.0), LONG)
    assert why(plan) == [Reason.CEILING, Reason.HOT]
    assert plan.moves.owner.tolist() == [1, 2]
    case = snapshot([other], [hog] * 4, rule_of=[-1, 0, 1], free_fast=8)
    assert plan_round(case, settings(*rules), History.begin(0.0), LONG).moves.promoted_pages == 2


def test_an_owner_at_its_maximum_exchanges_its_own_pages_whatever_is_free() -> None:
    rule = Rule("at most two", fast_share=FastShare(maximum=Amount(pages=2)))
    hot, cold = (1, 230, BUSY), (1, 5, BUSY)
    for free in (0, 8):
        case = snapshot([hot, cold], [hot, cold], free_fast=free)
        plan = plan_round(case, settings(rule), History.begin(0.0), LONG)
        assert plan.moves.pfn.tolist() == [101, 1000]
        assert why(plan) == [Reason.SWAP, Reason.HOT]


def test_weights_divide_what_all_want() -> None:
    rules = (Rule("three", fast_share=FastShare(weight=300)), Rule("all"))
    pages = [(owner, heat, BUSY) for owner in (1, 2) for heat in range(100, 240, 7)]
    case = snapshot([(3, 0, IDLE)] * 16, pages, rule_of=[-1, 0, 1, -1], free_fast=16)
    plan = plan_round(case, settings(*rules), History.begin(0.0), LONG)
    assert np.bincount(plan.moves.owner, minlength=3).tolist()[1:] == [12, 4]


def test_a_page_waits_for_its_hot_rounds() -> None:
    once = (1, 240, 7 << AGE_SHIFT)
    for rounds, moves in ((1, 2), (2, 0)):
        policy = settings(Rule("all", hot_rounds=rounds))
        assert len(plan_round(snapshot([COLD], [once]), policy, History.begin(0.0), LONG).moves) == moves


def test_moved_pages_rest() -> None:
    policy = settings(rest_seconds=30.0)
    history = History.begin(0.0)
    first = plan_round(snapshot([COLD], [HOT]), policy, history, LONG)
    history = history.after(first, first.moves.node, policy, LONG)
    # Both have appeared in the other tier, and look now as if they should go back.
    young = 2 << AGE_SHIFT
    case = snapshot([(1, 5, young | 18)], [(1, 240, young | 12)])
    for later, moves in ((20, 0), (31, 2)):
        assert len(plan_round(case, policy, history, LONG + later).moves) == moves


def test_a_page_that_has_just_come_is_not_exchanged_before_it_is_surely_cold() -> None:
    policy = settings(rest_seconds=0.0)
    history = History.begin(0.0)
    first = plan_round(snapshot([COLD] * 4, [HOT] * 4), policy, history, LONG)
    history = history.after(first, first.moves.node, policy, LONG)
    new = 3 << AGE_SHIFT | 12
    hot, lukewarm = [(1, 100, BUSY)] * 4, [(1, 60, new)] * 4
    for later, moves in ((10, 0), (70, 8)):
        assert len(plan_round(snapshot(lukewarm, hot), policy, history, LONG + later).moves) == moves
    assert len(plan_round(snapshot([(1, 5, new)] * 4, hot), policy, history, LONG + 10).moves) == 8
    # Where most that is new was allocated, little of it has come from slow memory.
    case = snapshot(lukewarm * 3, hot)
    assert len(plan_round(case, policy, history, LONG + 10).moves) == 8


def test_of_pages_alike_none_rises_until_the_next_rounds_have_told_them_apart() -> None:
    slow = [HOT] * 8
    for rounds, shaken, moves in ((1, False, 0), (3, False, 0), (4, False, 4), (1, True, 4)):
        case = snapshot([NOBODYS], slow, free_fast=4)
        case.heat.memory = Memory(
            np.full(2, rounds, dtype=np.uint8), np.full(2, np.nan), np.full(2, shaken, dtype=np.bool_)
        )
        assert plan_round(case, POLICY, History.begin(0.0), LONG).moves.promoted_pages == moves
    # Those that are hotter need not wait.
    case = snapshot([NOBODYS], [*slow, (1, 220, BUSY), (1, 230, BUSY)], free_fast=4)
    case.heat.memory = Memory(np.full(2, 1, dtype=np.uint8), np.full(2, np.nan), np.zeros(2, dtype=np.bool_))
    plan = plan_round(case, POLICY, History.begin(0.0), LONG)
    assert plan.moves.pfn.tolist() == [1009, 1008]


def test_without_a_tier_nothing_moves() -> None:
    case = snapshot([HOT], [COLD])
    alone = replace(case, nodes=case.nodes[:1])
    assert plan_round(alone, POLICY, History.begin(0.0), LONG).waits == (Why.NO_SLOW_TIER,)


@pytest.mark.parametrize(
    ("pressure", "waits"),
    [
        (Pressure(5, 5), ()),
        (Pressure(11, 5), (Why.PRESSURE,)),
        (Pressure(5, 101), (Why.PRESSURE,)),
        (None, (Why.PRESSURE_UNKNOWN,)),
    ],
)
def test_pressure_stops_everything(pressure: Pressure | None, waits: tuple[Why, ...]) -> None:
    policy = settings(guards=replace(OPEN, pressure=PressureLimits()))
    case = replace(snapshot([COLD], [HOT]), pressure=pressure)
    plan = plan_round(case, policy, History.begin(0.0), LONG)
    assert plan.waits == waits
    assert len(plan.moves) == (0 if waits else 2)


def test_what_moves_back_is_counted_and_stops_swaps() -> None:
    policy = settings(guards=GuardLimits(min_usefulness_percent=None), rest_seconds=0.0)
    cold, hot = (1, 5, 3 << AGE_SHIFT | 18), (1, 240, 3 << AGE_SHIFT | 12)
    case = snapshot([cold] * 400, [hot] * 400)
    history = History.begin(0.0)
    plans = []
    for now in (LONG, LONG + 10, LONG + 20, LONG + 100, LONG + 200):
        plan = plan_round(case, policy, history, now)
        history = history.after(plan, plan.moves.node, policy, now)
        plans.append((len(plan.moves), plan.returned, plan.waits))
    assert plans == [(800, 0, ()), (800, 800, ()), (0, 0, (Why.PING_PONG,)), (800, 0, ()), (800, 0, ())]


def test_what_is_planned_settles() -> None:
    """With the same accesses in every round, a few rounds put all where it belongs, and nothing moves after."""
    random = np.random.default_rng(7)
    hot = random.random(600) < 0.2
    machine = Machine(200, 600, np.ones(600, dtype=np.uint16), random.random(600) < 0.25)
    loop = Loop(
        machine,
        settings(rest_seconds=30.0, watermarks=Watermarks(0.08, 0.16)),
        np.array([-1, 0], dtype=np.int16),
    )
    moved = []
    for number in range(1, 60):
        touched = machine.by_frame(hot.astype(np.uint8))
        moved.append(len(loop.step(bits(touched > 0), number * 10.0).moves))
    assert machine.in_fast[hot].all()
    assert sum(moved) > 0
    assert sum(moved[10:]) == 0
