"""How far a policy's rollout is, and which nodes are given which revision now. Pure.

    Canary -> Soaking -> Wave -> Complete         a new revision
       |         |        |
       +---------+--------+--> RollingBack -> RolledBack, or without autoRollback Aborted

At most maxUnavailable nodes are in change or away at a time. A node that is away for longer than a deadline
(health.py) is not waited for: the rollout goes on without it, and it follows once the rest is done. But where as
many nodes that are ready were given the revision and never applied it, the revision may be why, and nothing more
is given. Nodes that are lost still are unavailable: where they take all that may be, one node at a time is given it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from thermocline_api.rollout import AbortReason
from thermocline_operator.health import Health, Presence
from thermocline_operator.state import Abort, Doubt, Kind, Marks, Policy, Revision, TierNode, Trip

_NOTED_NODES: Final = 10


class Stage(StrEnum):
    """Where a rollout is; also the reason of the Progressing condition."""

    NO_NODES = "NoNodes"
    CANARY = "Canary"
    SOAKING = "Soaking"
    WAVE = "Wave"
    STUCK = "ProgressDeadlineExceeded"
    COMPLETE = "Complete"
    ABORTED = "Aborted"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    PAUSED = "Paused"

    @property
    def is_moving(self) -> bool:
        """Whether nodes are being changed, or will be without anybody's help."""
        return self in (Stage.CANARY, Stage.SOAKING, Stage.WAVE, Stage.ROLLING_BACK)


@dataclass(frozen=True, slots=True)
class Member:
    """A node that the policy governs. `trips` is what would abort a rollout of what it has.

    is_refused: the API server would not have its object written last time.
    """

    name: str
    tier_node: TierNode | None
    health: Health
    is_ready: bool = True
    trips: frozenset[AbortReason] = frozenset()
    is_tripping: bool = False
    is_refused: bool = False

    @property
    def revision(self) -> str | None:
        """The revision that it was given."""
        return None if self.tier_node is None else self.tier_node.revision

    @property
    def is_lost(self) -> bool:
        return self.health.presence is Presence.LOST

    @property
    def has_applied(self) -> bool:
        """Whether its agent said that it applies what it was given, be it that it fell silent since."""
        return self.tier_node is not None and self.tier_node.is_applied

    @property
    def is_applied(self) -> bool:
        return self.health.presence is Presence.APPLIED


@dataclass(frozen=True, slots=True)
class Step:
    """What is done now.

    give: the revision that each of some nodes is given, None for none.
    marks: what stands on the target from now on.
    wanted: the revision that nodes are brought to, the target or what it was rolled back to.
    doubts: nodes that must be read afresh before more is done.
    wake_at: when to look again though nothing happens.
    """

    stage: Stage
    marks: Marks
    wanted: Revision | None
    give: Mapping[str, Revision | None] = field(default_factory=dict, hash=False)
    doubts: frozenset[Doubt] = frozenset()
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """A policy, its target and what to go back to beside it, its nodes, and the time.

    given_up: revisions of the policy that were aborted before.
    """

    policy: Policy
    target: Revision
    good: Revision | None
    members: Sequence[Member]
    now: datetime
    confirmed: frozenset[Doubt] = frozenset()
    given_up: frozenset[str] = frozenset()

    @property
    def most_unavailable(self) -> int:
        """How many nodes may be in change or away."""
        return self.policy.rollout.max_unavailable.of(len(self.members))

    @property
    def canary(self) -> int:
        """How many nodes try a revision first: no more than could be had."""
        wanted = self.policy.rollout.canary.of(len(self.members))
        there = sum(not each.is_lost for each in self.members)
        return min(wanted, self.most_unavailable, max(1, there))

    def has(self, member: Member, revision: Revision | None) -> bool:
        """Whether a node was given a revision; of None, whether it has none that was given up.

        What else a node has was never found at fault, and more nodes may have it than may be unavailable.
        """
        if revision is None:
            return member.revision not in {self.target.name, *self.given_up}
        return member.revision == revision.name

    def having(self) -> list[Member]:
        """The nodes that were given the target."""
        return [each for each in self.members if self.has(each, self.target)]


def advance(at: Situation) -> Step:
    """The next step of a policy's rollout."""
    if not at.members:
        return Step(Stage.NO_NODES, at.target.marks, at.target)
    marks = _judged(at)
    if marks.abort is not None:
        return _after_abort(at, marks)
    if marks.completed_at is None and marks.soaked_at is None:
        marks, step = _try_canary(at, marks)
        if step is not None:
            return step
    if at.policy.paused and marks.completed_at is None:
        return Step(Stage.PAUSED, marks, at.target)
    return _wave(at, marks)


def _judged(at: Situation) -> Marks:
    """The target's marks, once more: given up when a node trips, begun anew when too few nodes have it."""
    marks = at.target.marks
    having = at.having()
    if marks.abort is not None:
        return marks
    if marks.completed_at is not None:
        # It was tried on nodes that have something else by now, or are gone.
        return Marks(good_at=marks.good_at) if len(having) < at.canary else marks
    watched = set(at.policy.rollout.abort_on)
    tripped = {each.name: sorted(each.trips & watched) for each in having if each.trips & watched}
    if tripped:
        noted = list(tripped.items())[:_NOTED_NODES]
        trips = tuple(Trip(name, reason) for name, reasons in noted for reason in reasons)
        return replace(marks, abort=Abort(at.now, trips, len(tripped)))
    return marks


def _after_abort(at: Situation, marks: Marks) -> Step:
    if not at.policy.rollout.auto_rollback:
        return Step(Stage.ABORTED, marks, at.target)
    lost = [each for each in at.members if each.is_lost]
    give = dict(_given(at, at.good, len(at.members), lost))
    under_way = any(
        each.health.presence is Presence.CHANGING or not (at.has(each, at.good) or each.is_lost)
        for each in at.members
    )
    stage = Stage.ROLLING_BACK if give or under_way else Stage.ROLLED_BACK
    return Step(stage, marks, at.good, give, wake_at=_next_loss(at))


def _try_canary(at: Situation, marks: Marks) -> tuple[Marks, Step | None]:
    """What the canary needs; without a step when it has soaked."""
    alive = [each for each in at.having() if not each.is_lost]
    restless = replace(marks, soaking_since=None)
    if _is_stuck(at):
        return restless, Step(Stage.STUCK, restless, at.target)
    if len(alive) < at.canary or not all(each.is_applied for each in alive):
        return restless, _give_canary(at, restless, alive)
    if at.policy.paused:
        # Nothing moves, so nothing can be learnt.
        return restless, Step(Stage.PAUSED, restless, at.target)
    return _soak(at, marks)


def _give_canary(at: Situation, marks: Marks, alive: Sequence[Member]) -> Step:
    # What a ready node has may be what keeps its agent from working, so that no other way leads out of there.
    resort = [] if alive else [each for each in at.members if each.is_lost and each.is_ready]
    give = dict(_given(at, at.target, at.canary - len(alive), resort)) if len(alive) < at.canary else {}
    stage = Stage.CANARY if give or alive or not at.having() else Stage.STUCK
    return Step(stage, marks, at.target, give, wake_at=_next_loss(at))


def _soak(at: Situation, marks: Marks) -> tuple[Marks, Step | None]:
    since = at.now if marks.soaking_since is None else min(marks.soaking_since, at.now)
    marks = replace(marks, soaking_since=since)
    until = since + timedelta(seconds=at.policy.rollout.soak_seconds)
    if until > at.now:
        wake_at = min(filter(None, (until, _next_loss(at))))
        return marks, Step(Stage.SOAKING, marks, at.target, wake_at=wake_at)
    # What was seen of the canary may be old, and a wave cannot be called back.
    doubts = frozenset(Doubt(Kind.TIER_NODE, each.name) for each in at.having()) - at.confirmed
    if doubts:
        return marks, Step(Stage.SOAKING, marks, at.target, doubts=doubts, wake_at=at.now)
    return replace(marks, soaked_at=at.now), None


def _wave(at: Situation, marks: Marks) -> Step:
    is_complete, is_stuck = marks.completed_at is not None, _is_stuck(at)
    if is_stuck and not is_complete:
        return Step(Stage.STUCK, marks, at.target)
    # What is lost follows when the rest is done: it must not come back all at once with something untried. Nor do
    # lost ones go on to be given it that do not take it; who joins is given it all the same.
    lost = [each for each in at.members if each.is_lost and is_complete and not is_stuck]
    give = dict(_given(at, at.target, len(at.members), lost))
    under_way = [
        each for each in at.members if not each.is_lost and not (at.has(each, at.target) and each.is_applied)
    ]
    waiting = any(not at.has(each, at.target) for each in under_way)
    if waiting or (under_way and not is_complete):
        return Step(Stage.WAVE, marks, at.target, give, wake_at=_next_loss(at))
    if any(each.is_applied for each in at.having()):
        marks = replace(marks, completed_at=marks.completed_at or at.now)
        if marks.good_at is None and not any(each.is_tripping for each in at.members if not each.is_lost):
            marks = replace(marks, good_at=at.now)
    return Step(Stage.COMPLETE, marks, at.target, give, wake_at=_next_loss(at))


def _is_stuck(at: Situation) -> bool:
    """Whether too many nodes that are ready have the target and never applied it, and others wait for it."""
    having = at.having()
    stuck = sum(each.is_lost and each.is_ready and not each.has_applied for each in having)
    return stuck >= at.most_unavailable and len(having) < len(at.members)


def _given(
    at: Situation, revision: Revision | None, most: int, lost: Sequence[Member]
) -> Iterator[tuple[str, Revision | None]]:
    """At most so many nodes that do not have a revision and are given it now; the lost ones last.

    Those that are in change already cost nothing: it makes nobody unavailable to change them again.
    """
    waiting = [each for each in at.members if not at.has(each, revision)]
    able = [each for each in waiting if each.is_applied]
    costing = [
        *_ordered(revision, able),
        *_ordered(revision, [each for each in lost if not at.has(each, revision)]),
    ]
    free = [each for each in waiting if each.health.presence is Presence.CHANGING]
    for member in [*costing[: _room(at)], *_ordered(revision, free)][:most]:
        yield member.name, revision


def _room(at: Situation) -> int:
    """How many more nodes may become unavailable. Lost ones are unavailable, but never leave room for none."""
    awaited = sum(each.health.counts for each in at.members)
    lost = sum(each.is_lost for each in at.members)
    return max(0 if awaited else 1, at.most_unavailable - awaited - lost)


def _ordered(revision: Revision | None, members: Sequence[Member]) -> list[Member]:
    """Nodes without trouble first, else in an order that differs from one revision to the next.

    One that cannot be written comes last: it would keep its place, and nobody else would ever have it.
    """
    seed = "" if revision is None else revision.name

    def key(member: Member) -> tuple[bool, bool, str]:
        return (
            member.is_refused,
            member.is_tripping,
            hashlib.sha256(f"{seed} {member.name}".encode()).hexdigest(),
        )

    return sorted(members, key=key)


def _next_loss(at: Situation) -> datetime | None:
    return min((each.health.until for each in at.members if each.health.until is not None), default=None)
