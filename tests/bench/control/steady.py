"""What agents write that have nothing new to say, against what their kubelets write for leases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from tests.bench.nodes import Effort
from tests.bench.rows import Row
from thermocline_agent.cluster import writing
from thermocline_agent.cluster.writing import Written
from thermocline_api.node import Counters, NodeStatus

_DAY_SECONDS: Final = 86_400
# A kubelet renews its lease so often (nodeLeaseDurationSeconds of 40, a quarter of it), and an agent has a round.
_LEASE_SECONDS: Final = 10
_INTERVAL_SECONDS: Final = 10


def measure(_effort: Effort) -> Sequence[Row]:
    """A day of rounds, each with other counters, by the decision that agents make; nothing but a clock is played."""
    leases = _DAY_SECONDS // _LEASE_SECONDS
    percent = 100 * writes_of_a_day() / leases
    return [Row("steady_writes", round(percent, 2), "percent of lease writes", None, "<= 5")]


def writes_of_a_day() -> int:
    """How many writes an agent makes in a day without an event, its first one left out."""
    began = datetime(2026, 1, 2, tzinfo=UTC)
    status = NodeStatus(policy="default", revision="default-1", counters=Counters(since=began, rounds=0))
    written, writes = Written(status, 0.0, was_change=True), 0
    for second in range(_INTERVAL_SECONDS, _DAY_SECONDS, _INTERVAL_SECONDS):
        current = replace(status, counters=Counters(since=began, rounds=second))
        if writing.decide(current, written, float(second)).write:
            written = writing.after(written, current, float(second), is_change=False)
            writes += 1
    return writes
