"""From any state, under any order and loss of events: few nodes in change, no wave after a bad canary, an end.

A reconcile is judged by the truth, whatever the operator's view of it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.unit.operator.simulation import Simulation, node, policy, rollout, selecting
from thermocline_api.rollout import AbortReason
from thermocline_operator import health, resolve, revisions
from thermocline_operator.health import PROGRESS_DEADLINE, SILENCE
from thermocline_operator.state import Kind, TierNode

NAMES = [f"n{number}" for number in range(8)]
POLICIES = ["p", "q"]
# What it takes for a cluster of so many nodes to settle: each may need a wave of its own, there and back.
SETTLED_WITHIN = 4 * len(NAMES) + 12
names = st.sampled_from(NAMES)
policies = st.sampled_from(POLICIES)


class Cluster(RuleBasedStateMachine):
    """Everything that may happen to a cluster, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.sim = Simulation()
        self.version = 1

    @initialize(
        canary=st.integers(1, 3), more=st.integers(0, 3), rollback=st.booleans(), turns=st.integers(0, 9)
    )
    def begin(self, canary: int, more: int, rollback: bool, turns: int) -> None:
        """Some nodes and a policy, its rollout more or less far."""
        self.rollout = rollout(canary, canary + more, auto_rollback=rollback)
        for name in NAMES:
            self.sim.truth.nodes[name] = node(name)
        self.sim.deliver_all()
        for turn in range(turns):
            if turn == 1:
                self.sim.truth.policies["p"] = policy("p", rollout=self.rollout)
            self.turn(set(NAMES), 61.0)
        self.sim.truth.policies["p"] = policy("p", rollout=self.rollout)
        self.sim.deliver(Kind.POLICY, "p")

    @rule(answering=st.sets(names), seconds=st.sampled_from([0.0, 20.0, 61.0]))
    def turn(self, answering: set[str], seconds: float) -> None:
        """What mostly happens: some agents answer, news arrive, and the operator acts."""
        for name in sorted(answering & set(self.sim.truth.tier_nodes)):
            self.sim.answer(name, quiet=False)
        self.sim.deliver_all()
        self.reconcile(None)
        self.sim.wait(seconds)
        self.sim.hear_all()

    @rule(
        which=st.integers(0, 2),
        reason=st.sampled_from(list(AbortReason)[:2]),
        seconds=st.sampled_from([1.0, 61.0]),
    )
    def trip(self, which: int, reason: AbortReason, seconds: float) -> None:
        """A node that has what is new gets into trouble, and nobody hears of it; the operator acts."""
        newest = max(self.sim.truth.revisions.values(), key=lambda each: each.number, default=None)
        having = [] if newest is None else sorted(self.sim.having(newest.name))
        if having:
            self.sim.answer(having[which % len(having)], trips=reason)
        self.sim.wait(seconds)
        self.reconcile(None)

    @rule(crash_after=st.none() | st.integers(0, 6))
    def reconcile(self, crash_after: int | None) -> None:
        sim = self.sim
        before = sim.in_change()
        tripped = self.tripped_canaries()
        held = {name for name, each in sim.truth.tier_nodes.items() if each.policy in sim.truth.policies}
        governing = resolve.resolve(sim.view.snapshot()).governing
        sim.reconcile(crash_after)
        self.check_change(before)
        self.check_emptied(held, governing)
        for revision, (having, canary) in tripped.items():
            # Of a canary that is lost, or seems to be, others take the place: no more than it has nodes.
            added = sim.having(revision) - having
            assert len(added) <= canary, f"a wave began though the canary of {revision} tripped: {added}"
            assert sim.truth.revisions[revision].marks.soaked_at is None

    def check_change(self, before: set[str]) -> None:
        """Who was put in change, beyond those who were already, is within what the policy allows."""
        after = self.sim.in_change()
        for name, governed in self.governed().items():
            if (after - before) & governed:
                most = self.sim.view.policies[name].rollout.max_unavailable.of(len(governed))
                assert len(after & governed) <= most, f"{sorted(after & governed)} are in change at once"

    def check_emptied(self, held: set[str], governing: Mapping[str, str | None]) -> None:
        """Who had a policy that is there lost it to none but for its labels, or by a rollback."""
        sim = self.sim
        given_up = {each.policy for each in sim.truth.revisions.values() if each.marks.abort is not None}
        for name in held & set(sim.truth.tier_nodes) & set(sim.view.nodes):
            if sim.truth.tier_nodes[name].policy is None:
                # Held, and let go: the policy that was overlooked is one that no longer selects it.
                governor = governing.get(name)
                assert governor is None or governor in given_up, f"{name} was emptied"

    def governed(self) -> dict[str, set[str]]:
        found = resolve.resolve(self.sim.view.snapshot())
        return {name: set(found.nodes_of(name)) for name in self.sim.view.policies}

    def tripped_canaries(self) -> dict[str, tuple[set[str], int]]:
        """Revisions on whose canary something has tripped that aborts, in truth: who has them, how many try."""
        found = {}
        for revision in self.sim.truth.revisions.values():
            owner = self.sim.view.policies.get(revision.policy)
            if owner is None or revision.marks.soaked_at or revision.marks.completed_at:
                continue
            if revision.name != revisions.revision_name(owner):
                continue
            having = [self.sim.truth.tier_nodes[name] for name in self.sim.having(revision.name)]
            members = self.governed()[owner.name]
            if any(
                each.name in members and health.trips(each) & set(owner.rollout.abort_on) for each in having
            ):
                found[revision.name] = {each.name for each in having}, owner.rollout.canary.of(len(members))
        return found

    @rule(name=names, trips=st.none() | st.sampled_from(list(AbortReason)[:2]), quiet=st.booleans())
    def answer(self, name: str, trips: AbortReason | None, quiet: bool) -> None:
        if name in self.sim.truth.tier_nodes:
            self.sim.answer(name, trips=trips, quiet=quiet)

    @rule(kind=st.sampled_from(list(Kind)), name=names, other=policies)
    def deliver(self, kind: Kind, name: str, other: str) -> None:
        self.sim.deliver(kind, other if kind is Kind.POLICY else name)

    @rule(kind=st.sampled_from(list(Kind)), some=st.sets(st.integers(0, 7)))
    def overlook(self, kind: Kind, some: set[int]) -> None:
        """A listing is empty, or cut short."""
        known = self.sim.view.of(kind)
        for number, name in enumerate(sorted(known)):
            if number in some:
                del known[name]

    @rule()
    def deliver_everything(self) -> None:
        self.sim.deliver_all()

    @rule(seconds=st.sampled_from([1.0, 30.0, 61.0, 300.0, 700.0, 2000.0]), heard=st.booleans())
    def wait(self, seconds: float, heard: bool) -> None:
        self.sim.wait(seconds)
        if heard:
            self.sim.hear_all()
            for name in NAMES:
                self.sim.deliver(Kind.TIER_NODE, name)

    @rule(name=policies, back=st.booleans())
    def edit(self, name: str, back: bool) -> None:
        """The settings change, or change back."""
        if (found := self.sim.truth.policies.get(name)) is not None:
            self.version += 0 if back else 1
            version = max(1, self.version - 1) if back else self.version
            changed = policy(name, version=version, rollout=self.rollout, selector=found.selector)
            self.sim.truth.policies[name] = replace(
                changed, priority=found.priority, uid=found.uid, status=found.status, paused=found.paused
            )

    @rule(name=policies, paused=st.booleans())
    def pause(self, name: str, paused: bool) -> None:
        if (found := self.sim.truth.policies.get(name)) is not None:
            self.sim.truth.policies[name] = replace(found, paused=paused)

    @rule(pool=st.sampled_from([None, "a", "b"]), priority=st.sampled_from([50, 200]))
    def overlap(self, pool: str | None, priority: int) -> None:
        """Another policy selects some of the same nodes."""
        self.version += 1
        self.sim.truth.policies["q"] = policy(
            "q", version=self.version, rollout=self.rollout, selector=selecting(pool), priority=priority,
            uid=f"uid-q-{self.version}",
        )  # fmt: skip

    @rule(name=policies)
    def delete(self, name: str) -> None:
        if self.sim.truth.policies.pop(name, None) is not None:
            for each in [each for each in self.sim.truth.revisions.values() if each.policy == name]:
                del self.sim.truth.revisions[each.name]

    @rule(name=names, pool=st.sampled_from(["a", "b"]), is_ready=st.booleans())
    def change_node(self, name: str, pool: str, is_ready: bool) -> None:
        self.sim.truth.nodes[name] = node(name, pool, is_ready=is_ready, since=self.sim.now)

    @precondition(lambda self: len(self.sim.truth.nodes) > 2)
    @rule(name=names)
    def remove_node(self, name: str) -> None:
        self.sim.truth.nodes.pop(name, None)

    @rule(name=names)
    def remove_tier_node(self, name: str) -> None:
        self.sim.truth.tier_nodes.pop(name, None)

    def teardown(self) -> None:
        """When nothing more happens and everybody answers, the cluster settles, and stays as it is."""
        sim = self.sim
        for name in list(sim.truth.policies):
            sim.truth.policies[name] = replace(sim.truth.policies[name], paused=False)
        for name, found in sim.truth.nodes.items():
            sim.truth.nodes[name] = replace(found, is_ready=True)
        still = 0
        for _ in range(SETTLED_WITHIN):
            for name in sim.truth.tier_nodes:
                sim.answer(name, quiet=False)
            sim.deliver_all()
            before = sim.in_change()
            still = 0 if sim.reconcile().writes else still + 1
            self.check_change(before)
            if still == 3:
                break
            # Longer than a soak.
            sim.wait(61)
        else:
            raise AssertionError(f"not settled within {SETTLED_WITHIN} reconciles")
        self.check_settled()
        for seconds in (1, PROGRESS_DEADLINE.total_seconds(), SILENCE.total_seconds() * 100):
            sim.wait(seconds)
            sim.hear_all()
            sim.deliver_all()
            assert sim.reconcile().writes == 0, "it does not stay as it is"

    def check_settled(self) -> None:
        governing = resolve.resolve(self.sim.truth.snapshot()).governing
        assert set(self.sim.truth.tier_nodes) == set(self.sim.truth.nodes)
        for name, owner in governing.items():
            self.check_node(self.sim.truth.tier_nodes[name], owner)

    def check_node(self, found: TierNode, owner: str | None) -> None:
        if owner is None:
            assert (found.policy, found.revision, found.settings) == (None, None, None)
            return
        wanted = self.sim.truth.policies[owner]
        known = [each for each in self.sim.truth.revisions.values() if each.policy_uid == wanted.uid]
        target = next(each for each in known if each.name == revisions.revision_name(wanted))
        if target.marks.abort is None:
            assert found.revision == target.name
            assert found.settings == wanted.settings
        elif wanted.rollout.auto_rollback:
            assert found.revision != target.name, "it was to be rolled back"


@given(
    canary=st.integers(1, 3),
    more=st.integers(0, 3),
    steps=st.lists(
        st.tuples(st.sets(names), st.booleans(), st.sampled_from([0.0, 30.0, 61.0]), st.integers(-2, 2)),
        max_size=8,
    ),
)
@settings(max_examples=300, deadline=None)
def test_no_wave_begins_before_its_canary_is_fine(
    canary: int, more: int, steps: list[tuple[set[str], bool, float, int]]
) -> None:
    """Agents answer or not, news arrive or not, and canaries trip: whatever the operator has heard of it."""
    sim = Simulation()
    for name in NAMES:
        sim.truth.nodes[name] = node(name)
    sim.deliver_all()
    sim.reconcile()
    for name in NAMES:
        sim.answer(name)
    sim.truth.policies["p"] = policy("p", rollout=rollout(canary, canary + more))
    sim.deliver_all()
    for answering, heard, seconds, tripping in steps:
        for name in sorted(answering):
            sim.answer(name, quiet=False)
        having = sorted(name for name in NAMES if sim.truth.tier_nodes[name].policy == "p")
        if tripping >= 0 and having:
            sim.answer(having[tripping % len(having)], trips=AbortReason.PING_PONG)
        if heard:
            sim.deliver_all()
        sim.wait(seconds)
        fine = all(
            sim.truth.tier_nodes[name].is_applied and not health.trips(sim.truth.tier_nodes[name])
            for name in having
        )
        before = {each.name for each in sim.truth.revisions.values() if each.marks.soaked_at}
        sim.reconcile()
        begun = {each.name for each in sim.truth.revisions.values() if each.marks.soaked_at} - before
        assert fine or not begun, f"a wave began, but the canary is {having}"
        if not (before or begun):
            assert sum(each.policy == "p" for each in sim.truth.tier_nodes.values()) <= canary


TestCluster = Cluster.TestCase
TestCluster.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
