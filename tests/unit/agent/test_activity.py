"""The byte of activity, against counters that remember everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermocline_agent import activity

STRETCHES = st.sampled_from([1, 2, 4])


@given(st.integers(1, 5000), st.lists(st.booleans(), min_size=1, max_size=300), st.integers(1, 4), STRETCHES)
def test_nothing_is_called_cold_rested_or_hot_too_early(
    first: int, seen: list[bool], tick: int, stretch: int
) -> None:
    state, known, idle, uses = 0, 0, 0, 0
    for number, accessed in enumerate(seen, start=first):
        idle_table, accessed_table = activity.tables(number, tick, stretch)
        if state == 0:
            idle, uses = 0, 1
        elif accessed:
            idle, uses, known = 0, uses + 1, known + 1
        else:
            idle, known = idle + 1, known + 1
            uses = 0 if idle > 3 else uses
        state = (accessed_table if accessed else idle_table)[state]
        assert state >> activity.AGE_SHIFT > 0
        for rounds in (1, 2, 3, 4, 6, 10, 40):
            assert not activity.cold(rounds, stretch)[state] or idle >= rounds
            assert not activity.aged(rounds, tick)[state] or known >= rounds
        for rounds in (1, 2, 3, 4):
            assert activity.hot(rounds)[state] == (uses >= rounds and idle <= 3)


@pytest.mark.parametrize("rounds", [1, 3, 4, 6, 12, 60, 360, 8640])
def test_cold_comes_in_time(rounds: int) -> None:
    """At most as long again after it is due, or the length of a stretched step."""
    stretch = activity.stretch(rounds)
    state = 7 << activity.AGE_SHIFT
    found = activity.cold(rounds, stretch)
    late = next(
        number
        for number in range(1, 10 * rounds + 20)
        if found[(state := activity.tables(number, 1, stretch)[0][state])]
    )
    assert rounds <= late <= 2 * rounds + (16 * stretch if stretch > 1 else 2)


@pytest.mark.parametrize("stretch", [1, 64])
def test_short_waits_are_exact_whatever_the_longest_is(stretch: int) -> None:
    state = 7 << activity.AGE_SHIFT
    cold = []
    for number in range(1, 8):
        state = activity.tables(number, 1, stretch)[0][state]
        cold.append([rounds for rounds in (2, 4, 5, 6) if activity.cold(rounds, stretch)[state]])
    assert cold == [[], [2], [2], [2, 4], [2, 4, 5], [2, 4, 5, 6], [2, 4, 5, 6]]


@pytest.mark.parametrize("rounds", [1, 2, 5, 6, 7, 30, 31, 1000])
def test_an_old_page_has_rested(rounds: int) -> None:
    tick = activity.ticks(rounds)
    assert activity.aged(rounds, tick)[activity.OLD << activity.AGE_SHIFT]


def test_unknown_pages_are_nothing() -> None:
    assert not any(activity.hot(1)[:32])
    assert not any(activity.cold(0, 1)[:32])
    assert not any(activity.aged(0, 1)[:32])
    assert np.flatnonzero(activity.hot(1)).min() == 32


@pytest.mark.parametrize("rounds", [0, 5])
def test_hot_rounds_have_bounds(rounds: int) -> None:
    with pytest.raises(ValueError, match="1 to 4"):
        activity.hot(rounds)
