"""What can be said of a node: whether it is there, applies what it was given, and has trouble. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from thermocline_api.conditions import Condition, Status
from thermocline_api.node import NodeCondition
from thermocline_api.rollout import AbortReason
from thermocline_api.settings import KernelTiering, Mode
from thermocline_operator.state import Given, Node, Policy, Report, TierNode

# How long a rollout waits for a node: then it goes on without it, and says so.
PROGRESS_DEADLINE: Final = timedelta(minutes=10)
# Agents write their counters every few minutes at least, for a round always counts.
SILENCE: Final = timedelta(minutes=15)
# What an agent calls the trouble: the reason of its condition.
_TRIPPING: Final[Mapping[tuple[str, str], AbortReason]] = {
    (NodeCondition.GUARD_TRIPPED, "Pressure"): AbortReason.PRESSURE,
    (NodeCondition.GUARD_TRIPPED, "PingPong"): AbortReason.PING_PONG,
    (NodeCondition.GUARD_TRIPPED, "Errors"): AbortReason.ERRORS,
}
_NO_SLOW_TIER: Final = "NoSlowTier"


class Presence(Enum):
    """How a node stands to what it was given."""

    APPLIED = "Applied"  # its agent says that it applies it
    NEW = "New"  # without a MemoryTierNode: nothing that is given to it could be in change
    CHANGING = "Changing"  # given a while ago, and not applied yet
    ABSENT = "Absent"  # not ready, or its agent is silent
    LOST = "Lost"  # one of the two for longer than the deadline, or of no use to wait for


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of a node. `until` is when a node that changes or is absent counts as lost."""

    presence: Presence
    why: str = ""
    until: datetime | None = None

    @property
    def counts(self) -> bool:
        """Whether it takes part of what may be unavailable."""
        return self.presence in (Presence.CHANGING, Presence.ABSENT)


def health_of(node: Node, tier_node: TierNode | None, now: datetime) -> Health:
    """How a node stands at a time."""
    if tier_node is None:
        return Health(Presence.NEW, "has no MemoryTierNode yet")
    if not node.is_ready:
        return _missing(Presence.ABSENT, "is not ready", node.since, now)
    if tier_node.problem is not None:
        return Health(Presence.LOST, f"has a MemoryTierNode that makes no sense: {tier_node.problem}")
    return _heard(tier_node, now)


def _heard(tier_node: TierNode, now: datetime) -> Health:
    report = tier_node.report
    if report is None:
        return _missing(Presence.ABSENT, "has no agent that reports", tier_node.created_at, now)
    silent_from = report.heard_at + SILENCE
    if silent_from <= now:
        return _missing(Presence.ABSENT, "has an agent that fell silent", silent_from, now)
    if tier_node.is_applied:
        return Health(Presence.APPLIED, until=silent_from)
    since = tier_node.created_at if tier_node.given is None else tier_node.given.at
    return _missing(Presence.CHANGING, "does not apply what it was given", since, now)


def _missing(presence: Presence, why: str, since: datetime, now: datetime) -> Health:
    # A time to come is none of this clock's: the deadline runs from now.
    until = min(since, now) + PROGRESS_DEADLINE
    return Health(Presence.LOST, why) if until <= now else Health(presence, why, until)


def trips(tier_node: TierNode) -> frozenset[AbortReason]:
    """What has happened on a node since it was given its revision, and while its agent applies that."""
    if tier_node.report is None or not tier_node.is_applied:
        return frozenset()
    before = {} if tier_node.given is None else tier_node.given.before
    found = {
        reason
        for reason, condition in _tripping(tier_node.report)
        if before.get(_named(condition)) != condition.last_transition_time
    }
    if _was_killed(tier_node.report, tier_node.given):
        found.add(AbortReason.OOM_KILLS)
    return frozenset(found)


def is_tripping(report: Report | None) -> bool:
    """Whether a node reports such trouble, whenever it began."""
    return report is not None and any(_tripping(report))


def given_now(tier_node: TierNode | None, now: datetime) -> Given:
    """What is noted of a node when it is given a revision."""
    report = None if tier_node is None else tier_node.report
    if report is None:
        return Given(now)
    before = {_named(condition): condition.last_transition_time for _, condition in _tripping(report)}
    return Given(now, before, report.oom_kills, report.counting_since)


def trouble(policy: Policy, report: Report) -> Condition | None:
    """The condition that tells why a node does not do what its policy wants; None when it does.

    A node without slow memory has nothing to do, which is no trouble.
    """
    if (tripped := report.told(NodeCondition.GUARD_TRIPPED)) is not None:
        return tripped
    lacking = report.told(NodeCondition.TIERS_FOUND, Status.FALSE)
    if lacking is not None:
        return None if lacking.reason == _NO_SLOW_TIER else lacking
    if (missing := report.told(NodeCondition.HOTNESS_AVAILABLE, Status.FALSE)) is not None:
        return missing
    if policy.mode is Mode.ENFORCE and (missing := report.told(NodeCondition.ENGINE_AVAILABLE, Status.FALSE)):
        return missing
    if policy.kernel_tiering is KernelTiering.REFUSE:
        return report.told(NodeCondition.KERNEL_TIERING_ACTIVE)
    return None


def _named(condition: Condition) -> str:
    """A trouble's name: a condition keeps its time when nothing but its reason changes."""
    return f"{condition.type}/{condition.reason}"


def _tripping(report: Report) -> Iterator[tuple[AbortReason, Condition]]:
    for condition in report.conditions:
        if condition.status is Status.TRUE:
            reason = _TRIPPING.get((condition.type, condition.reason))
        elif (condition.type, condition.reason) == (NodeCondition.MIGRATING, "EngineFailed"):
            reason = AbortReason.ERRORS
        else:
            reason = None
        if reason is not None:
            yield reason, condition


def _was_killed(report: Report, given: Given | None) -> bool:
    """Whether the kernel killed a process. Counting began anew when the agent did."""
    if given is None:
        return False
    return report.oom_kills > (given.oom_kills if given.counting_since == report.counting_since else 0)
