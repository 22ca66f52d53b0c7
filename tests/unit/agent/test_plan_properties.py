"""What holds of every plan, whatever the machine, its pages and its policy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.agent.machines import (
    FAST,
    Case,
    cases,
)
from thermocline_agent.extent import I64, Tier
from thermocline_agent.guards import Why
from thermocline_agent.history import History
from thermocline_agent.moves import Moves, Plan, Reason
from thermocline_agent.plan import plan_round
from thermocline_agent.settings import (
    PAGE_BYTES,
    Amount,
    Placement,
)
from thermocline_agent.tails import folio_pages

LONG = 1000.0


def planned(case: Case, now: float = LONG) -> Plan:
    return plan_round(case.snapshot, case.settings, History.begin(0.0), now)


def owner_after(case: Case, moves: Moves) -> I64:
    """Pages of each owner in fast memory once all has moved."""
    fast, _ = case.resident(case.snapshot.owner[:])
    for place in range(len(moves)):
        # Each page of a folio is its own owner's here.
        pages = slice(moves.index[place], moves.index[place] + moves.pages[place])
        for owner in case.snapshot.owner[pages]:
            fast[owner] += 1 if moves.node[place] == FAST else -1
    return fast


@given(cases())
def test_each_page_moves_once_and_to_the_other_tier(case: Case) -> None:
    plan = planned(case)
    moves = plan.moves
    assert len(np.unique(moves.index)) == len(moves)
    assert (moves.pfn == case.snapshot.layout.pfn(moves.index)).all()
    up = moves.node == FAST
    assert ((moves.index >= case.fast_pages) == up).all()
    assert ((moves.reason >= Reason.PIN) == up).all()
    assert (np.diff(up.astype(int)) >= 0).all(), "demotions come first, for they make room"
    assert (moves.owner == case.snapshot.owner[moves.index]).all()
    assert (moves.rule == case.snapshot.rule_of[moves.owner]).all()


@given(cases())
def test_what_is_unknown_unowned_or_ignored_stays(case: Case) -> None:
    moves = planned(case).moves
    assert (case.snapshot.heat.state[moves.index] != 0).all()
    assert (moves.owner != 0).all()
    assert (moves.rule >= 0).all()
    for rule, reason in zip(moves.rule.tolist(), moves.reason.tolist(), strict=True):
        placement = case.settings.rules[rule].placement
        assert placement is not Placement.IGNORE
        if placement is Placement.PIN_FAST:
            assert reason == Reason.PIN
        if placement is Placement.PREFER_SLOW:
            assert reason < Reason.PIN


@given(cases())
def test_whole_folios_move(case: Case) -> None:
    moves = planned(case).moves
    tails = case.snapshot.tails
    assert (moves.pages == folio_pages(tails, moves.index, 512)).all()
    if tails is not None:
        assert not tails[moves.index].any()


@given(cases())
def test_memory_is_not_overfilled(case: Case) -> None:
    moves = planned(case).moves
    assert moves.demoted_pages <= case.snapshot.free_pages(Tier.SLOW)
    assert moves.promoted_pages <= case.snapshot.free_pages(Tier.FAST) + moves.demoted_pages
    total = case.snapshot.total_pages(Tier.FAST)
    free_after = case.snapshot.free_pages(Tier.FAST) + moves.demoted_pages - moves.promoted_pages
    # What is kept free is not used up: only what was free beyond it, or was made free.
    kept = int(case.settings.watermarks.demote_until * total)
    assert free_after >= min(kept, case.snapshot.free_pages(Tier.FAST))


@given(cases())
def test_minimums_and_maximums_are_kept(case: Case) -> None:
    if case.snapshot.tails is not None:
        case = Case(replace(case.snapshot, tails=None), case.settings)
    moves = planned(case).moves
    before, resident = case.resident(case.snapshot.owner[:])
    after = owner_after(case, moves)
    for owner, number in enumerate(case.snapshot.rule_of.tolist()):
        share = case.settings.rules[number].fast_share if number >= 0 and owner else None
        if share is None:
            continue
        most = amount(share.maximum, int(resident[owner]), int(resident[owner]))
        least = min(amount(share.minimum, int(resident[owner]), 0), most)
        assert after[owner] >= min(least, before[owner])
        assert after[owner] <= max(most, before[owner])


def amount(given: Amount | None, resident: int, default: int) -> int:
    if given is None:
        return default
    if given.pages is not None:
        return min(given.pages, resident)
    return int((given.share or 0) * resident)


@given(cases())
def test_the_same_again(case: Case) -> None:
    heat, state = case.snapshot.heat.heat.copy(), case.snapshot.heat.state.copy()
    owner = case.snapshot.owner[:]
    first, second = planned(case), planned(case)
    for column in ("index", "pages", "node", "reason", "rule"):
        assert np.array_equal(getattr(first.moves, column), getattr(second.moves, column))
    assert first.waits == second.waits
    assert (heat == case.snapshot.heat.heat).all()
    assert (state == case.snapshot.heat.state).all()
    assert (owner == case.snapshot.owner[:]).all()


@given(cases(), st.floats(0.001, 1e6))
def test_a_clock_that_goes_back_moves_nothing(case: Case, back: float) -> None:
    history = History.begin(LONG)
    plan = plan_round(case.snapshot, case.settings, history, LONG - back)
    assert len(plan.moves) == 0
    assert plan.waits == (Why.CLOCK_WENT_BACK,)
    assert history.after(plan, np.zeros(0, dtype=np.int32), case.settings, LONG - back) is history


@given(
    cases(), st.lists(st.sampled_from([0.0, 0.5, 1.0, 7.0, 30.0]), min_size=1, max_size=12), st.integers(0, 3)
)
def test_budgets_are_never_passed(case: Case, pauses: list[float], failing: int) -> None:
    """Over many rounds of the same wishes; some moves fail, and those cost nothing."""
    settings = case.settings
    history = History.begin(0.0)
    now, up, down = 0.0, 0, 0
    spent: list[tuple[float, I64]] = []
    for pause in pauses:
        now += pause
        plan = plan_round(case.snapshot, settings, history, now)
        status = plan.moves.node.copy()
        status[failing::4] = -16
        moved = status >= 0
        history = history.after(plan, status, settings, now)
        to_fast = plan.moves.node == FAST
        up += int(plan.moves.pages[moved & to_fast].sum())
        down += int(plan.moves.pages[moved & ~to_fast].sum())
        assert up * PAGE_BYTES <= settings.limits.promote_bytes_per_second * now
        assert down * PAGE_BYTES <= settings.limits.demote_bytes_per_second * now
        size = len(case.snapshot.rule_of)
        pods = np.bincount(plan.moves.owner[moved], plan.moves.pages[moved], size).astype(np.int64)
        spent.append((now, pods))
        if settings.limits.pod_bytes_per_minute is not None:
            minute = sum(pages for at, pages in spent if at > now - 60)
            assert np.max(minute) * PAGE_BYTES <= settings.limits.pod_bytes_per_minute


@given(cases())
def test_a_restarted_agent_has_nothing_to_spend(case: Case) -> None:
    plan = plan_round(case.snapshot, case.settings, History.begin(LONG), LONG)
    assert len(plan.moves) == 0


@given(cases())
def test_refused_pages_are_left_alone(case: Case) -> None:
    settings = case.settings
    first = planned(case)
    history = History.begin(0.0).after(first, np.full(len(first.moves), -16, np.int32), settings, LONG)
    second = plan_round(case.snapshot, settings, history, LONG + 20)
    assert not np.isin(second.moves.pfn, first.moves.pfn).any()
    assert history.promote.tokens == History.begin(0.0).filled(settings, 6, LONG).promote.tokens
