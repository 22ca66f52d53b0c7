"""Conditions, by the Kubernetes conventions: one of a type, with the time when its status last changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from thermocline_api.codec import INTEGER, TEXT, TIME, enumerated, record, wire


class Status(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@record
class Condition:
    """One condition. `reason` is a CamelCase word for programs, `message` a sentence for people."""

    type: str = wire("type", TEXT)
    status: Status = wire("status", enumerated(Status))
    reason: str = wire("reason", TEXT)
    message: str = wire("message", TEXT)
    last_transition_time: datetime = wire("lastTransitionTime", TIME)
    observed_generation: int | None = wire("observedGeneration", INTEGER, default=None)


def find(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of a type."""
    return next((condition for condition in conditions if condition.type == kind), None)


def updated(old: Iterable[Condition], new: Iterable[Condition]) -> tuple[Condition, ...]:
    """The new conditions, each with the old time where its status has not changed.

    A condition that there is no new one of is gone: what is no longer known must not go on being told.
    """
    before = {condition.type: condition for condition in old}
    return tuple(
        replace(condition, last_transition_time=before[condition.type].last_transition_time)
        if condition.type in before and before[condition.type].status is condition.status
        else condition
        for condition in new
    )
