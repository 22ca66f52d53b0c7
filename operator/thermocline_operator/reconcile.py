"""One reconcile: read what is known, decide, write what differs.

The loop (loop.py) is the retry: what fails here is left as it is, and wanted again by the next reconcile.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from thermocline_api.policy import Phase, PolicyStatus
from thermocline_operator import metrics
from thermocline_operator.apply import CONNECTIONS, Api, ApiError, Gone, Refused
from thermocline_operator.cache import Cache
from thermocline_operator.clock import Clock
from thermocline_operator.decide import Decision, NodeWrite, decide
from thermocline_operator.lease import Lease
from thermocline_operator.reading import policy_status_manifest, revision_manifest, tier_node_manifest
from thermocline_operator.state import Doubt, Kind, Revision, Snapshot, TierNode
from thermocline_operator.transitions import events

T = TypeVar("T")
_log: Final = logging.getLogger(__name__)
_ROUNDS: Final = 4
# Counts change with every report; conditions are told at once, a rollout's progress and nodes that come or go soon.
_COUNTS_SECONDS: Final = 60.0
_PROGRESS_SECONDS: Final = 5.0


class NotActing(Exception):
    """The lease is another's, or could not be renewed: nothing may be written."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reconcile did: how many writes it made, how many reads and writes failed, and when the next is due.

    deciding_seconds is the CPU that it took to decide.
    """

    written: int
    failed: int
    wake_at: datetime | None
    deciding_seconds: float


@dataclass(slots=True)
class Reconciler:
    """Carries decisions out."""

    api: Api
    cache: Cache
    lease: Lease
    clock: Clock
    monotonic: Callable[[], float] = time.monotonic
    on_progress: Callable[[], None] = field(default=lambda: None)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(CONNECTIONS))
    _told_at: dict[str, float] = field(default_factory=dict)
    _futile: dict[str, tuple[NodeWrite, str | None]] = field(default_factory=dict)
    _unanswered: set[Doubt] = field(default_factory=set)
    _refused: set[str] = field(default_factory=set)

    def reconcile(self) -> Outcome:
        """Do once what there is to do. Raises NotActing."""
        if not self.lease.is_held:
            raise NotActing
        self._unanswered.clear()
        # CPU of this thread: not how long others took to answer, nor who else wanted the CPU.
        began = time.thread_time()
        decision, snapshot = self._decide()
        deciding_seconds = time.thread_time() - began
        revisions = self._all(decision.revisions, self._write_revision)
        unrecorded = {each.name for each, done in zip(decision.revisions, revisions, strict=True) if not done}
        nodes = [
            each
            for each in decision.nodes
            if each.revision not in unrecorded and not self._is_futile(snapshot, each)
        ]
        done = revisions + self._all(nodes, self._write_node)
        done += self._all(decision.removed_nodes, self._remove_node)
        done += self._all(decision.removed_revisions, self._remove_revision)
        told, due = self._tell(decision, snapshot)
        done += told
        _measure(decision, snapshot)
        wakes = [each for each in (decision.wake_at, due) if each is not None]
        failed = len(done) - sum(done) + len(self._unanswered)
        return Outcome(sum(done), failed, min(wakes, default=None), deciding_seconds)

    def settle(self, doubts: Iterable[Doubt]) -> frozenset[Doubt]:
        """Read objects afresh; returns those that are certain now: there as the cache knows them, or gone."""
        asked = list(doubts)
        sure = self._pool.map(self._settle, asked)
        return frozenset(doubt for doubt, is_sure in zip(asked, sure, strict=True) if is_sure)

    def unanswered(self, doubts: Iterable[Doubt]) -> frozenset[Doubt]:
        """Those that could not be asked about when they were last to be settled."""
        return frozenset(doubts) & self._unanswered

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _decide(self) -> tuple[Decision, Snapshot]:
        """A decision whose doubts are settled, as far as they can be."""
        confirmed: frozenset[Doubt] = frozenset()
        asked: frozenset[Doubt] = frozenset()
        for _ in range(_ROUNDS):
            snapshot = self.cache.snapshot(confirmed, self._refused)
            decision = decide(snapshot, self.clock.now())
            if not decision.doubts - asked:
                return decision, snapshot
            confirmed |= self.settle(decision.doubts - asked)
            asked |= decision.doubts
        # Every round there are new ones: what is not settled is not done.
        snapshot = self.cache.snapshot(confirmed, self._refused)
        return decide(snapshot, self.clock.now()), snapshot

    def _settle(self, doubt: Doubt) -> bool:
        seen = self.cache.known(doubt.kind, doubt.name)
        try:
            self.cache.settle(doubt.kind, doubt.name, self.api.get(doubt.kind, doubt.name), seen)
        except Gone:
            self.cache.settle(doubt.kind, doubt.name, None, seen)
        except (ApiError, KeyError, TypeError, ValueError) as err:
            _log.warning("%s %s could not be read: %s", doubt.kind, doubt.name, err)
            # Asked again soon; one that makes no sense changes before it makes any.
            if isinstance(err, ApiError):
                self._unanswered.add(doubt)
            return False
        self._unanswered.discard(doubt)
        return True

    def _all(self, things: Iterable[T], write: Callable[[T], None]) -> list[bool]:
        """Write many, some at a time; returns which were written. Raises NotActing."""

        def attempt(thing: T) -> bool:
            if not self.lease.is_held:
                raise NotActing
            try:
                write(thing)
                self.on_progress()
            except Exception as err:  # noqa: BLE001 - what one object has must cost no other its write
                _log.warning("a write failed: %s", err, exc_info=None if isinstance(err, ApiError) else err)
                metrics.WRITES.labels(type(thing).__name__, "failed").inc()
                return False
            metrics.WRITES.labels(type(thing).__name__, "done").inc()
            return True

        return list(self._pool.map(attempt, things))

    def _write_revision(self, revision: Revision) -> None:
        manifest = revision_manifest(revision, self.api.namespace)
        self.cache.put(Kind.REVISION, self.api.apply(Kind.REVISION, revision.name, manifest))

    def _write_node(self, write: NodeWrite) -> None:
        before = self.cache.version(Kind.TIER_NODE, write.name)
        try:
            raw = self.api.apply(Kind.TIER_NODE, write.name, tier_node_manifest(write))
        except Refused:
            self._refused.add(write.name)
            raise
        self._refused.discard(write.name)
        self.cache.put(Kind.TIER_NODE, raw)
        if int(raw["metadata"]["resourceVersion"]) == before:
            # The API server makes of it what it was: a default that the revision does not know, say.
            known = self.cache.snapshot().tier_nodes.get(write.name)
            if known is not None:
                self._futile[write.name] = (replace(write, given=None), known.digest)

    def _is_futile(self, snapshot: Snapshot, write: NodeWrite) -> bool:
        known = snapshot.tier_nodes.get(write.name)
        return known is not None and self._futile.get(write.name) == (
            replace(write, given=None),
            known.digest,
        )

    def _remove_node(self, tier_node: TierNode) -> None:
        seen = self.cache.known(Kind.TIER_NODE, tier_node.name)
        if seen is None or seen.value != tier_node:
            # It is not as it was when that was decided.
            return
        try:
            self.api.delete(Kind.TIER_NODE, tier_node.name, tier_node.uid, seen.version)
        except Gone:
            _log.info("MemoryTierNode %s is gone already", tier_node.name)
        self.cache.settle(Kind.TIER_NODE, tier_node.name, None, seen)
        self._futile.pop(tier_node.name, None)
        self._refused.discard(tier_node.name)

    def _remove_revision(self, revision: Revision) -> None:
        seen = self.cache.known(Kind.REVISION, revision.name)
        try:
            raw = self.api.get(Kind.REVISION, revision.name)
            if seen is None or int(raw["metadata"]["resourceVersion"]) != seen.version:
                return
            self.api.delete(Kind.REVISION, revision.name, raw["metadata"]["uid"], seen.version)
        except Gone:
            _log.info("ControllerRevision %s is gone already", revision.name)
        self.cache.settle(Kind.REVISION, revision.name, None, seen)

    def _tell(self, decision: Decision, snapshot: Snapshot) -> tuple[list[bool], datetime | None]:
        """Write the statuses that differ; returns which were written, and when those are due that must wait."""
        due: list[datetime] = []
        told = []
        for name, status in decision.statuses.items():
            before = snapshot.policies[name].status
            if status == before or decision.unread.get(name, frozenset()) & self._unanswered:
                # What an API server did not answer is not said to be unreadable.
                continue
            is_soon = status.phase is Phase.PROGRESSING or _matched(before) != _matched(status)
            pause = _PROGRESS_SECONDS if is_soon else _COUNTS_SECONDS
            wait = self._told_at.get(name, float("-inf")) + pause - self.monotonic()
            if wait > 0 and _differs_in_counts_alone(before, status):
                due.append(self.clock.now() + timedelta(seconds=wait))
            else:
                told.append((name, status))
        return self._all(told, lambda each: self._write_status(*each, snapshot)), min(due, default=None)

    def _write_status(self, name: str, status: PolicyStatus, snapshot: Snapshot) -> None:
        policy = snapshot.policies[name]
        manifest = policy_status_manifest(policy, status)
        seen = self.cache.known(Kind.POLICY, name)
        try:
            raw = self.api.apply(Kind.POLICY, name, manifest, subresource="status")
        except Gone:
            self.cache.settle(Kind.POLICY, name, None, seen)
            return
        self._told_at[name] = self.monotonic()
        self.cache.put(Kind.POLICY, raw)
        for event in events(policy.status, status):
            try:
                self.api.post_event(policy, event, self.clock.now(), self.lease.identity)
            except ApiError as err:
                _log.warning("an event of %s could not be written: %s", name, err)


def _differs_in_counts_alone(before: PolicyStatus, after: PolicyStatus) -> bool:
    def essence(status: PolicyStatus) -> object:
        conditions = tuple((each.type, each.status, each.reason) for each in status.conditions)
        return status.observed_generation, status.phase, status.revisions, conditions

    return essence(before) == essence(after)


def _matched(status: PolicyStatus) -> int | None:
    return None if status.nodes is None else status.nodes.matched


def _measure(decision: Decision, snapshot: Snapshot) -> None:
    """Tell of all policies, not only of those whose status was written: another process may have written it."""
    statuses = {
        name: decision.statuses.get(name, policy.status) for name, policy in snapshot.policies.items()
    }
    metrics.tell_policies(
        {name: status.nodes for name, status in statuses.items() if status.nodes is not None}
    )
    known = {
        Kind.POLICY: snapshot.policies,
        Kind.NODE: snapshot.nodes,
        Kind.TIER_NODE: snapshot.tier_nodes,
        Kind.REVISION: snapshot.revisions,
    }
    metrics.tell_objects({kind.value: len(found) for kind, found in known.items()})
