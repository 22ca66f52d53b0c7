"""Guards, budgets and what history remembers."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.agent.machines import OPEN, settings
from thermocline_agent import history as module
from thermocline_agent.budget import Bucket, Rate, pod_rate
from thermocline_agent.guards import Breaker, Guards, Measured, Pressure, Why, few_returned, judge
from thermocline_agent.history import History, Refusals
from thermocline_agent.settings import (
    GuardLimits,
    PingPongAction,
    PingPongLimits,
    PressureLimits,
    Settings,
)

PRESSED = GuardLimits(pressure=PressureLimits(10, 100), ping_pong=None, min_usefulness_percent=None)


def test_pressure_stops_and_starts_again_at_half() -> None:
    guards, moves = Guards(), []
    for some in (10, 11, 9, 6, 5, 6, 10, 11):
        guards, verdict = judge(guards, PRESSED, Pressure(some, 0), Measured(), 0.0)
        moves.append(verdict.move)
    assert moves == [True, False, False, False, True, True, True, False]


def test_unknown_pressure_is_not_none() -> None:
    _, verdict = judge(Guards(), PRESSED, None, Measured(), 0.0)
    assert verdict.reasons == (Why.PRESSURE_UNKNOWN,)
    assert not verdict.move
    assert judge(Guards(), OPEN, None, Measured(), 0.0)[1].move


@pytest.mark.parametrize("action", list(PingPongAction))
def test_ping_pong_holds_swaps_or_everything_back(action: PingPongAction) -> None:
    limits = GuardLimits(None, PingPongLimits(60.0, 10.0, action), None)
    guards, verdict = judge(Guards(), limits, None, Measured(moved=1000, returned=100), 0.0)
    assert verdict.swap
    guards, verdict = judge(guards, limits, None, Measured(moved=1000, returned=101), 10.0)
    assert (verdict.swap, verdict.move) == (False, action is PingPongAction.BACKOFF)
    assert verdict.reasons == (Why.PING_PONG,)
    quiet = Measured()
    assert not judge(guards, limits, None, quiet, 69.0)[1].swap
    assert judge(guards, limits, None, quiet, 70.0)[1].swap


def test_a_few_pages_moved_back_are_no_evidence() -> None:
    limits = GuardLimits(None, PingPongLimits(), None)
    assert judge(Guards(), limits, None, Measured(moved=25, returned=25), 0.0)[1].swap


@pytest.mark.parametrize(("fast_pages", "most"), [(4096, 64), (1 << 17, 1024), (1 << 24, 1024)])
def test_fewer_pages_than_a_part_of_fast_memory_or_4_mib_are_no_thrashing(fast_pages: int, most: int) -> None:
    limits, few = GuardLimits(None, PingPongLimits(), None), few_returned(fast_pages)
    assert few == most
    for returned in (most, most + 1):
        measured = Measured(moved=returned + 256, returned=returned)
        assert judge(Guards(), limits, None, measured, 0.0, few=few)[1].swap is (returned == most)


def test_each_trip_holds_twice_as_long_until_a_quiet_time() -> None:
    breaker, now, held = Breaker(), 0.0, []
    for _ in range(9):
        breaker = breaker.after(bad=True, good=False, now=now, hold_seconds=60.0)
        held.append(breaker.until - now)
        now = breaker.until
    assert held == [60.0 * 2**trip for trip in (0, 1, 2, 3, 4, 5, 6, 6, 6)]
    assert breaker.after(bad=False, good=True, now=now + 59, hold_seconds=60.0).trips == 7
    breaker = breaker.after(bad=False, good=True, now=now + 60, hold_seconds=60.0)
    assert breaker.after(bad=True, good=False, now=now + 70, hold_seconds=60.0).until == now + 130


def test_promotions_of_no_use_stop() -> None:
    limits = GuardLimits(None, None, 30.0)
    used = [(1000, 290, 1.0, False), (1000, 310, 1.0, True), (100, 0, 1.0, True), (1000, 160, 0.5, True)]
    for arrived, seen, promised, goes_on in used:
        measured = Measured(arrived=arrived, used=seen, promised=promised)
        assert judge(Guards(), limits, None, measured, 0.0)[1].promote is goes_on


@given(
    st.integers(0, 1 << 30), st.floats(0, 1e9),
    st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1)), max_size=40),
)  # fmt: skip
def test_a_bucket_never_gives_more_than_its_rate(
    per_second: int, most: float, steps: list[tuple[float, float]]
) -> None:
    rate, bucket, now, taken = Rate(per_second, most), Bucket(0.0, 0.0), 0.0, 0.0
    for pause, part in steps:
        now += pause
        bucket = bucket.filled(now, rate)
        out = int(bucket.tokens * part)
        bucket = bucket.without(out)
        taken += out
        assert taken <= per_second * now * (1 + 1e-9)
        assert 0 <= bucket.tokens <= most
    assert bucket.filled(now - 5, rate) is bucket


@given(st.integers(1, 1 << 34), st.floats(0.5, 600))
def test_a_pods_minute_holds_for_every_minute(per_minute: int, interval: float) -> None:
    rate = pod_rate(per_minute, Settings((), interval_seconds=interval))
    assert rate.most + 60 * rate.per_second <= per_minute * (1 + 1e-9)
    assert rate.per_second > 0


def refused(refusals: Refusals, pfns: list[int], errors: list[int], now: float) -> Refusals:
    return refusals.after(np.array(pfns, dtype=np.uint64), np.array(errors, dtype=np.int32), now)


def test_refusals_wait_longer_each_time_and_by_reason() -> None:
    found = refused(Refusals.none(), [7, 5, 9], [errno.EBUSY, errno.EPERM, 0], 0.0)
    assert found.pfn.tolist() == [5, 7]
    assert (found.until - 0.0).tolist() == [600.0, 30.0]
    assert found.waiting(29.0).tolist() == [5, 7]
    assert found.waiting(30.0).tolist() == [5]
    found = refused(found, [7], [errno.EBUSY], 30.0)
    assert found.until.tolist() == [600.0, 90.0]
    found = refused(found, [7], [errno.ENOMEM], 100.0)
    assert found.until.tolist() == [600.0, 130.0], "another reason begins anew"
    found = refused(found, [7, 5], [0, 0], 700.0)
    assert found.pfn.tolist() == []


@pytest.mark.parametrize("error", [errno.ENOENT, errno.EINPROGRESS, errno.EINTR])
def test_pages_that_are_gone_or_were_not_tried_are_no_refusals(error: int) -> None:
    assert refused(Refusals.none(), [7], [error], 0.0).pfn.tolist() == []


@given(st.lists(st.tuples(st.sets(st.integers(0, 40), max_size=20), st.floats(0, 5000)), max_size=20))
def test_refusals_are_ordered_and_bounded(rounds: list[tuple[set[int], float]]) -> None:
    found, now = Refusals.none(), 0.0
    before = module.MOST_REFUSALS
    module.MOST_REFUSALS = 16
    try:
        for pfns, pause in rounds:
            now += pause
            found = refused(found, sorted(pfns), [errno.EBUSY] * len(pfns), now)
            assert len(found.pfn) <= 16
            assert (np.diff(found.pfn.astype(np.int64)) > 0).all()
    finally:
        module.MOST_REFUSALS = before


def test_a_new_history_has_nothing_to_spend_and_nothing_to_tell() -> None:
    history = History.begin(5.0)
    assert history.filled(settings(), 3, 5.0).promote.pages == 0
    assert history.measured(0.0) == Measured()
    assert history.moved_into(3, 0.0).sum() == 0
