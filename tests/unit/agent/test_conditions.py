"""What a node's conditions say."""

from __future__ import annotations

from datetime import UTC, datetime

from thermocline_agent.assignment import Assignment
from thermocline_agent.conditions import Chosen, Facts, conditions
from thermocline_agent.guards import Why
from thermocline_api.conditions import Status, find
from thermocline_api.node import NodeCondition

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_of_guards_that_trip_at_once_the_worst_is_the_reason_and_all_are_told() -> None:
    waits = (Why.PING_PONG, Why.PRESSURE)
    facts = Facts(Assignment(), None, None, Chosen(None), Chosen(None), None, waits=waits)
    found = find(conditions(facts, NOW), NodeCondition.GUARD_TRIPPED)
    assert found is not None
    assert (found.status, found.reason) == (Status.TRUE, "Pressure")
    assert "guards.memoryPressure" in found.message
    assert "guards.pingPong" in found.message
