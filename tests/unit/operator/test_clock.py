"""The time that decisions are made by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from thermocline_operator.clock import Clock

SERVER = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_servers_time_goes_on_by_a_clock_that_nobody_sets() -> None:
    elapsed = [1000.0]
    clock = Clock(lambda: elapsed[0])
    clock.set(SERVER)
    assert clock.now() == SERVER, "whatever this machine believes the time to be"
    elapsed[0] += 90
    assert clock.now() == SERVER + timedelta(seconds=90)
