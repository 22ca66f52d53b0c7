"""A cluster in memory, what an operator knows of it, and agents that answer or do not.

The operator's view lags: an object is there as it was when news of it last arrived, which may be never. What it
reads to be certain, and what its own writes return, is the truth. That is what cache.py and reconcile.py keep.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from thermocline_api.conditions import Condition, Status
from thermocline_api.node import NodeCondition
from thermocline_api.rollout import AbortReason, NodeCount, Rollout
from thermocline_api.selector import LabelSelector
from thermocline_operator.decide import Decision, NodeWrite, decide
from thermocline_operator.health import PROGRESS_DEADLINE
from thermocline_operator.revisions import digest
from thermocline_operator.state import Doubt, Kind, Node, Policy, Report, Revision, Snapshot, TierNode

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROUNDS = 4


def node(name: str, pool: str = "a", *, is_ready: bool = True, since: datetime = START) -> Node:
    """A node of a pool."""
    return Node(name, f"uid-{name}", {"pool": pool}, is_ready, since)


def policy(name: str, *, version: int = 1, **changes: Any) -> Policy:
    """A policy whose settings are a version's."""
    settings = {"version": version}
    found = Policy(name, f"uid-{name}", version, START, 100, settings=settings, digest=digest(settings))
    return replace(found, **{"rollout": rollout(), **changes})


def rollout(canary: int = 1, most: int = 2, soak: float = 60.0, **changes: Any) -> Rollout:
    """How a change is rolled out."""
    return replace(Rollout(NodeCount(canary), NodeCount(most), soak), **changes)


def selecting(pool: str | None) -> LabelSelector:
    """Nodes of a pool, or all."""
    return LabelSelector() if pool is None else LabelSelector({"pool": pool})


@dataclass(slots=True)
class World:
    """All objects of the four kinds, by name."""

    policies: dict[str, Policy] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    tier_nodes: dict[str, TierNode] = field(default_factory=dict)
    revisions: dict[str, Revision] = field(default_factory=dict)

    def of(self, kind: Kind) -> dict[str, Any]:
        """The objects of a kind."""
        found: dict[Kind, dict[str, Any]] = {
            Kind.POLICY: self.policies, Kind.NODE: self.nodes,
            Kind.TIER_NODE: self.tier_nodes, Kind.REVISION: self.revisions,
        }  # fmt: skip
        return found[kind]

    def snapshot(self, confirmed: frozenset[Doubt] = frozenset()) -> Snapshot:
        """As a decision sees it."""
        return Snapshot(
            dict(self.policies), dict(self.nodes), dict(self.tier_nodes), dict(self.revisions), confirmed
        )


@dataclass(slots=True)
class Simulation:
    """The cluster as it is (`truth`), as the operator knows it (`view`), and the time."""

    truth: World = field(default_factory=World)
    view: World = field(default_factory=World)
    now: datetime = START
    can_read: bool = True
    # Nodes whose objects cannot be written, and those of them of which the operator has found out.
    unwritable: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)

    def deliver(self, kind: Kind, name: str) -> None:
        """News of an object arrive."""
        found = self.truth.of(kind).get(name)
        if found is None:
            self.view.of(kind).pop(name, None)
        else:
            self.view.of(kind)[name] = found

    def deliver_all(self) -> None:
        """All news arrive, as when an operator starts."""
        for kind in Kind:
            self.view.of(kind).clear()
            self.view.of(kind).update(self.truth.of(kind))

    def decide(self) -> Decision:
        """As reconcile.py does: what is in doubt is read."""
        confirmed: frozenset[Doubt] = frozenset()
        for _ in range(ROUNDS):
            decision = decide(self._snapshot(confirmed), self.now)
            if not decision.doubts - confirmed:
                return decision
            if not self.can_read:
                return decision
            for doubt in decision.doubts:
                self.deliver(doubt.kind, doubt.name)
            confirmed |= decision.doubts
        return decide(self._snapshot(confirmed), self.now)

    def _snapshot(self, confirmed: frozenset[Doubt]) -> Snapshot:
        return replace(self.view.snapshot(confirmed), refused=frozenset(self.refused))

    def reconcile(self, crash_after: int | None = None) -> Decision:
        """Decide and write; an operator that crashes does so after some of the writes."""
        decision = self.decide()
        left = 10**9 if crash_after is None else crash_after
        for revision in decision.revisions[:left]:
            self._write(Kind.REVISION, revision.name, revision)
        left -= len(decision.revisions)
        for write in decision.nodes[: max(0, left)]:
            if write.name in self.unwritable:
                self.refused.add(write.name)
                continue
            self.refused.discard(write.name)
            self._write(Kind.TIER_NODE, write.name, self._written(write))
        left -= len(decision.nodes)
        for gone in decision.removed_nodes[: max(0, left)]:
            self.truth.tier_nodes.pop(gone.name, None)
            self.view.tier_nodes.pop(gone.name, None)
        if crash_after is None:
            for old in decision.removed_revisions:
                self.truth.revisions.pop(old.name, None)
                self.view.revisions.pop(old.name, None)
            for name, status in decision.statuses.items():
                if name in self.truth.policies:
                    self._write(Kind.POLICY, name, replace(self.truth.policies[name], status=status))
        return decision

    def _write(self, kind: Kind, name: str, value: Any) -> None:
        self.truth.of(kind)[name] = value
        self.view.of(kind)[name] = value

    def _written(self, write: NodeWrite) -> TierNode:
        before = self.truth.tier_nodes.get(write.name)
        if before is None:
            before = TierNode(write.name, f"uid-{write.name}", self.now)
        return replace(
            before, policy=write.policy, revision=write.revision, paused=write.paused,
            settings=write.settings, digest=write.digest, given=write.given,
        )  # fmt: skip

    def answer(self, name: str, *, trips: AbortReason | None = None, quiet: bool = True) -> None:
        """An agent applies what its node was given, and reports; `quiet` that its guards are."""
        found = self.truth.tier_nodes[name]
        before = () if found.report is None else found.report.conditions
        conditions = () if quiet else before
        if trips is not None:
            conditions = (Condition(NodeCondition.GUARD_TRIPPED, Status.TRUE, trips, "", self.now),)
        report = Report(self.now, found.policy, found.revision, conditions=conditions)
        self.truth.tier_nodes[name] = replace(found, report=report)

    def hear_all(self) -> None:
        """Every agent that has ever reported reports once more, without change."""
        for name, found in self.truth.tier_nodes.items():
            if found.report is not None:
                self.truth.tier_nodes[name] = replace(found, report=replace(found.report, heard_at=self.now))

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += timedelta(seconds=seconds)

    def in_change(self) -> set[str]:
        """Nodes that were given something of late and do not apply it, though their agents report."""
        return {
            name
            for name, each in self.truth.tier_nodes.items()
            if each.given is not None
            and each.report is not None
            and not each.is_applied
            and each.given.at + PROGRESS_DEADLINE > self.now
        }

    def having(self, revision: str) -> set[str]:
        """Nodes that were given a revision."""
        return {name for name, each in self.truth.tier_nodes.items() if each.revision == revision}
