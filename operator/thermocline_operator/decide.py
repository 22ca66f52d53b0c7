"""Everything that is to be done about a cluster as it is now. Pure.

The order in which a decision is carried out matters: revisions before the nodes that are given them, so that
whoever goes on after a crash finds the record of what was begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from thermocline_api.policy import PolicyStatus
from thermocline_operator import health, resolve, revisions, rollout, status
from thermocline_operator.resolve import Governance
from thermocline_operator.rollout import Member, Situation
from thermocline_operator.state import Doubt, Given, Kind, Policy, Revision, Snapshot, TierNode
from thermocline_operator.status import View


@dataclass(frozen=True, slots=True)
class NodeWrite:
    """What a MemoryTierNode shall say. `settings` is None with the revision: the agent then only observes."""

    name: str
    policy: str | None = None
    revision: str | None = None
    paused: bool = False
    settings: Mapping[str, Any] | None = field(default=None, hash=False)
    digest: str | None = None
    given: Given | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done, in this order; `doubts` first, and then decide again.

    unread: revisions of a policy that there may be, though they are not known; its status says so.
    wake_at: when to decide again though nothing has happened.
    """

    doubts: frozenset[Doubt] = frozenset()
    revisions: tuple[Revision, ...] = ()
    nodes: tuple[NodeWrite, ...] = ()
    removed_nodes: tuple[TierNode, ...] = ()
    removed_revisions: tuple[Revision, ...] = ()
    statuses: Mapping[str, PolicyStatus] = field(default_factory=dict, hash=False)
    unread: Mapping[str, frozenset[Doubt]] = field(default_factory=dict, hash=False)
    wake_at: datetime | None = None

    @property
    def writes(self) -> int:
        """How many writes it takes, statuses apart."""
        return sum(map(len, (self.revisions, self.nodes, self.removed_nodes, self.removed_revisions)))


def decide(snapshot: Snapshot, now: datetime) -> Decision:
    """What to do at a time."""
    governance = resolve.resolve(snapshot)
    doubts = set(governance.doubts)
    targets: list[Revision] = []
    writes: list[NodeWrite] = []
    removed: list[Revision] = []
    statuses: dict[str, PolicyStatus] = {}
    unread: dict[str, frozenset[Doubt]] = {}
    wakes: list[datetime] = []
    for policy in sorted(snapshot.policies.values(), key=lambda each: each.name):
        if policy.is_leaving:
            continue
        if policy.problem is not None:
            statuses[policy.name] = status.status_of_invalid(policy, now)
            held = (each for each in governance.held if snapshot.tier_nodes[each].policy == policy.name)
            writes += _pauses(snapshot, held, policy)
            continue
        missing = _unread_revisions(snapshot, policy)
        if missing:
            # A record that was overlooked may say that the target was given up, or what to go back to.
            doubts |= missing
            writes += _pauses(snapshot, governance.nodes_of(policy.name), policy)
            unread[policy.name] = frozenset(missing)
            names = sorted(each.name for each in missing)
            statuses[policy.name] = status.status_of_unread(policy, names, now)
            continue
        view = _view(snapshot, governance, policy, now)
        at, step = view.at, view.step
        doubts |= step.doubts
        target = replace(at.target, marks=step.marks)
        if target != snapshot.revisions.get(target.name):
            targets.append(target)
        writes += _writes(snapshot, view, target)
        removed += _surplus(snapshot, view, target)
        statuses[policy.name] = status.status_of(view)
        if step.wake_at is not None:
            wakes.append(step.wake_at)
    writes += _ungoverned(snapshot, governance)
    gone, unsure = _gone(snapshot)
    # An object that was overlooked must not be made anew, and so emptied.
    made = {
        each.name: Doubt(Kind.TIER_NODE, each.name) for each in writes if each.name not in snapshot.tier_nodes
    }
    unmade = frozenset(made.values()) - snapshot.confirmed
    writes = [each for each in writes if made.get(each.name) not in unmade]
    return Decision(
        doubts=frozenset(doubts | unsure | unmade),
        revisions=tuple(targets),
        nodes=tuple(sorted(writes, key=lambda each: each.name)),
        removed_nodes=gone,
        removed_revisions=tuple(removed),
        statuses=statuses,
        unread=unread,
        wake_at=min(wakes, default=None),
    )


def _view(snapshot: Snapshot, governance: Governance, policy: Policy, now: datetime) -> View:
    known = [each for each in snapshot.revisions.values() if each.policy_uid == policy.uid]
    target = revisions.target_of(policy, known)
    members = tuple(_member(snapshot, name, now) for name in governance.nodes_of(policy.name))
    others = [each for each in known if each.name != target.name]
    good = revisions.last_good(others) or revisions.last_complete(others)
    given_up = frozenset(each.name for each in others if each.marks.abort is not None)
    at = Situation(policy, target, good, members, now, snapshot.confirmed, given_up)
    step = rollout.advance(at)
    after = [*others, replace(target, marks=step.marks)]
    return View(
        at,
        step,
        revisions.last_complete(after),
        revisions.last_good(after),
        governance.losses.get(policy.name, {}),
        snapshot.policies,
    )


def _unread_revisions(snapshot: Snapshot, policy: Policy) -> set[Doubt]:
    """Revisions of a policy that there may be, though they are not known."""
    told = policy.status.revisions
    names = {revisions.revision_name(policy)}
    if told is not None:
        names |= {name for name in (told.current, told.target, told.last_good) if name is not None}
    doubts = {Doubt(Kind.REVISION, name) for name in names - snapshot.revisions.keys()}
    return doubts - snapshot.confirmed


def _member(snapshot: Snapshot, name: str, now: datetime) -> Member:
    node, tier_node = snapshot.nodes[name], snapshot.tier_nodes.get(name)
    report = None if tier_node is None else tier_node.report
    return Member(
        node.name,
        tier_node,
        health.health_of(node, tier_node, now),
        is_ready=node.is_ready,
        trips=frozenset() if tier_node is None else health.trips(tier_node),
        is_tripping=health.is_tripping(report),
        is_refused=name in snapshot.refused,
    )


def _writes(snapshot: Snapshot, view: View, target: Revision) -> Iterator[NodeWrite]:
    """What the policy's nodes are to say, where they say something else."""
    policy = view.at.policy
    for member in view.at.members:
        tier_node = member.tier_node
        if member.name in view.step.give:
            revision = view.step.give[member.name]
            given = health.given_now(tier_node, view.at.now)
            yield _write(member.name, policy, target if revision == view.at.target else revision, given)
        elif tier_node is None:
            yield NodeWrite(member.name, paused=policy.paused)
        else:
            yield from _kept(snapshot, tier_node, paused=policy.paused)


def _write(name: str, policy: Policy, revision: Revision | None, given: Given) -> NodeWrite:
    if revision is None:
        return NodeWrite(name, paused=policy.paused)
    return NodeWrite(
        name, policy.name, revision.name, policy.paused, revision.settings, revision.digest, given
    )


def _kept(snapshot: Snapshot, tier_node: TierNode, *, paused: bool) -> Iterator[NodeWrite]:
    """A node that keeps its revision, where it is to be paused or not, or somebody changed its settings."""
    revision = snapshot.revisions.get(tier_node.revision or "")
    is_altered = revision is not None and revision.digest != tier_node.digest
    if tier_node.paused == paused and not is_altered:
        return
    # The record of what it has may be gone, with its policy.
    settings, digest = (
        (tier_node.settings, tier_node.digest) if revision is None else (revision.settings, revision.digest)
    )
    yield NodeWrite(
        tier_node.name, tier_node.policy, tier_node.revision, paused, settings, digest, tier_node.given
    )


def _pauses(snapshot: Snapshot, names: Iterable[str], policy: Policy) -> Iterator[NodeWrite]:
    """The nodes of a paused policy that go on moving: to stop them, nothing else need be known of it."""
    if policy.paused:
        for name in names:
            tier_node = snapshot.tier_nodes.get(name)
            if tier_node is not None and not tier_node.paused:
                yield from _kept(snapshot, tier_node, paused=True)


def _surplus(snapshot: Snapshot, view: View, target: Revision) -> list[Revision]:
    known = [each for each in snapshot.revisions.values() if each.policy_uid == target.policy_uid]
    needed = {target.name}
    needed |= {each.revision for each in snapshot.tier_nodes.values() if each.revision is not None}
    needed |= {each.name for each in (view.current, view.last_good, view.at.good) if each is not None}
    return revisions.surplus([*(each for each in known if each.name != target.name), target], needed)


def _ungoverned(snapshot: Snapshot, governance: Governance) -> Iterator[NodeWrite]:
    """Nodes without a policy: each has an object, which is empty."""
    for name, policy in governance.governing.items():
        if policy is None and not _is_empty(snapshot.tier_nodes.get(name)):
            yield NodeWrite(name)


def _is_empty(tier_node: TierNode | None) -> bool:
    return tier_node is not None and tier_node.policy is None and not tier_node.paused


def _gone(snapshot: Snapshot) -> tuple[tuple[TierNode, ...], frozenset[Doubt]]:
    """Objects of nodes that are no longer there, and nodes of which that is not certain."""
    orphans = [each for name, each in snapshot.tier_nodes.items() if name not in snapshot.nodes]
    doubts = {each.name: Doubt(Kind.NODE, each.name) for each in orphans}
    sure = tuple(each for each in orphans if doubts[each.name] in snapshot.confirmed)
    return sure, frozenset(doubts.values()) - snapshot.confirmed
