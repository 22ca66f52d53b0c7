"""Keeping within a share of a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermocline_agent.frames import Frames
from thermocline_agent.sources.pacing import Pace, resized
from thermocline_agent.sources.perf_mem import SAMPLE_SECONDS, PerfMem, next_period
from thermocline_kernel.host import Host
from thermocline_kernel.perf import Event, Samples


def test_what_is_affordable_keeps_within_the_limit() -> None:
    assert Pace(1e-6).affordable(0.1, 10.0) == 900_000
    # Something is always looked at, or nothing would ever be learnt.
    assert Pace(1.0).affordable(0.001, 1.0) == 1
    with pytest.raises(ValueError, match="costs nothing"):
        Pace(0.0).affordable(1, 1)


@given(
    cost=st.floats(1e-9, 1e-4),
    first=st.floats(1e-9, 1e-4),
    limit=st.floats(0.01, 1),
    interval=st.floats(1, 60),
)
def test_the_pace_finds_the_cost(cost: float, first: float, limit: float, interval: float) -> None:
    pace = Pace(first)
    for _ in range(60):
        units = pace.affordable(limit, interval)
        pace = pace.after(units, units * cost)
    spent = pace.affordable(limit, interval) * cost
    assert spent <= limit * interval or pace.affordable(limit, interval) == 1


def test_nothing_is_learnt_from_nothing() -> None:
    pace = Pace(1e-6)
    assert pace.after(0, 5.0) is pace
    assert pace.after(100, -1.0) is pace


def test_units_of_the_kernel_follow_the_limit() -> None:
    assert resized(1000, 0.07, 0.1, 100, 10_000) == 1000
    assert resized(1000, 0.2, 0.1, 100, 10_000) == 450
    # Never more than double, and within bounds.
    assert resized(1000, 0.001, 0.1, 100, 10_000) == 2000
    assert resized(150, 5.0, 0.1, 100, 10_000) == 100
    assert resized(9000, 0.001, 0.1, 100, 10_000) == 10_000
    assert resized(50, 0.0, 0.1, 100, 10_000) == 100


@given(rate=st.floats(1e4, 1e10), limit=st.floats(0.01, 1))
def test_samples_come_to_cost_what_is_allowed(rate: float, limit: float) -> None:
    """`rate` accesses a second: periods settle where samples fit, unless the bounds of the period forbid it."""
    period = 10_007
    for _ in range(30):
        period = next_period(period, int(rate / period), 1.0, limit)
    used = int(rate / period) * SAMPLE_SECONDS
    assert used <= limit * 1.01 or period >= 100_000_000
    assert period % 2 == 1


def test_a_clock_that_stands_changes_no_period() -> None:
    assert next_period(10_007, 5, 0.0, 0.1) == 10_007
    assert next_period(10_007, 5, -1.0, 0.1) == 10_007


@dataclass
class Given:
    """A sampler that has taken these addresses."""

    event: Event
    addresses: list[int]

    def read(self) -> Samples:
        return Samples(np.array(self.addresses, dtype=np.uint64), lost=1)

    def set_period(self, period: int) -> None:
        pass

    def close(self) -> None:
        pass


def test_an_instruction_without_an_access_is_no_sample_missed() -> None:
    source: Any = PerfMem(Host(), 1.0)
    source._frames = (Frames(0, 10),)
    source._samplers = [Given(Event("ibs_op", 11, ibs=True), [0, 0, 4096]), Given(Event("e", 4), [0, 4096])]
    told = source.observe()
    assert int(told.counts.sum()) == 2
    # The one that each says it has lost, and a load whose address is not known.
    assert told.missed == 3
