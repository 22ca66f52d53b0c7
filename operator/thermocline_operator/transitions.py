"""Events: what has changed between two statuses of a policy, for `kubectl describe` and for alarms. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from thermocline_api.conditions import Condition, Status, find
from thermocline_api.policy import PolicyCondition, PolicyStatus
from thermocline_operator.rollout import Stage

# Conditions of which it is trouble that they hold, or that they do not.
_BAD: Final = frozenset({PolicyCondition.DEGRADED, PolicyCondition.ROLLED_BACK})
_GOOD: Final = frozenset({PolicyCondition.ACCEPTED, PolicyCondition.READY})


@dataclass(frozen=True, slots=True)
class Event:
    """One transition. `action` is the condition that changed."""

    is_warning: bool
    action: str
    reason: str
    note: str


def events(before: PolicyStatus, after: PolicyStatus) -> Iterator[Event]:
    """What became of conditions. Counts and sentences that change are none."""
    for condition in after.conditions:
        old = find(before.conditions, condition.type)
        if condition.type == PolicyCondition.PROGRESSING:
            # Its reasons are the stages of a rollout.
            if (old is None or old.reason != condition.reason) and condition.reason != Stage.NO_NODES:
                yield _event(
                    condition, is_warning=condition.reason in (Stage.ABORTED, Stage.STUCK, Stage.ROLLING_BACK)
                )
        elif _is_news(old, condition):
            holds = condition.status is Status.TRUE
            yield _event(
                condition,
                is_warning=holds if condition.type in _BAD else not holds and condition.type in _GOOD,
            )


def _is_news(old: Condition | None, new: Condition) -> bool:
    if old is not None:
        return old.status is not new.status
    # A new policy is not ready and not superseded, and nobody needs to be told.
    return new.status is Status.TRUE if new.type != PolicyCondition.ACCEPTED else new.status is Status.FALSE


def _event(condition: Condition, *, is_warning: bool) -> Event:
    return Event(is_warning, condition.type, condition.reason, condition.message)
