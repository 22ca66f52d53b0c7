"""Rollouts where something is silent, away or not known: what is done, and what is not, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.operator.rollouts import NAMES, begun, done, edit, having, stage, turn
from tests.unit.operator.simulation import node, policy, rollout
from thermocline_api.conditions import find
from thermocline_api.policy import Phase
from thermocline_api.rollout import AbortReason
from thermocline_operator.health import PROGRESS_DEADLINE
from thermocline_operator.state import Kind


def test_a_trip_that_no_watch_told_of_stops_the_wave() -> None:
    sim = begun()
    sim.reconcile()
    turn(sim, seconds=1)
    (canary,) = having(sim, 1)
    sim.answer(canary, trips=AbortReason.PRESSURE)
    sim.wait(61)
    sim.reconcile()
    assert having(sim, 1) <= {canary}
    assert stage(sim) == "RollingBack"


def test_a_node_that_never_answers_does_not_block_for_ever() -> None:
    sim = begun(rollout=rollout(most=1))
    sim.reconcile()
    turn(sim, seconds=1)
    turn(sim)
    (quiet,) = sim.in_change()
    sim.truth.nodes[quiet] = node(quiet, is_ready=False, since=sim.now)
    for _ in range(4):
        turn(sim, quiet, seconds=1)
        assert len(having(sim, 1)) == 2
    sim.wait(PROGRESS_DEADLINE.total_seconds())
    for _ in range(12):
        sim.hear_all()
        turn(sim, quiet, seconds=1)
    assert having(sim, 1) == set(NAMES)
    status = sim.truth.policies["p"].status
    assert (stage(sim), status.phase) == ("Complete", Phase.DEGRADED)
    degraded = find(status.conditions, "Degraded")
    assert degraded is not None
    assert degraded.message == f"{quiet}: is not ready."


def test_a_revision_that_ready_nodes_never_apply_goes_no_further() -> None:
    sim = begun(rollout=rollout(most=2))
    sim.reconcile()
    for _ in range(6):
        sim.wait(PROGRESS_DEADLINE.total_seconds() + 1)
        sim.hear_all()
        sim.deliver_all()
        sim.reconcile()
    assert len(having(sim, 1)) == 2
    assert stage(sim) == "ProgressDeadlineExceeded"
    edit(sim, 2)
    sim.reconcile()
    done(sim)
    assert having(sim, 2) == set(NAMES), "a corrected one gets through, to those that were stuck too"


def test_a_pause_needs_no_record_of_the_rollout() -> None:
    sim = begun()
    done(sim)
    sim.truth.policies["p"] = replace(sim.truth.policies["p"], paused=True)
    sim.deliver_all()
    sim.view.revisions.clear()
    sim.can_read = False
    before = dict(sim.truth.tier_nodes)
    sim.reconcile()
    assert sim.truth.tier_nodes == {name: replace(each, paused=True) for name, each in before.items()}
    sim.truth.policies["p"] = replace(sim.truth.policies["p"], paused=False)
    sim.deliver(Kind.POLICY, "p")
    sim.view.revisions.clear()
    sim.reconcile()
    assert all(each.paused for each in sim.truth.tier_nodes.values())


def test_an_unknown_policy_is_asked_for_before_its_nodes_are_taken() -> None:
    sim = begun()
    done(sim)
    # A listing that was empty, or cut short.
    sim.view.policies.clear()
    sim.reconcile()
    assert having(sim, 1) == set(NAMES)
    assert "p" in sim.view.policies
    del sim.truth.policies["p"]
    sim.view.policies.clear()
    sim.reconcile()
    assert {each.policy for each in sim.truth.tier_nodes.values()} == {None}


def test_an_unknown_node_keeps_its_object_until_it_is_certainly_gone() -> None:
    sim = begun()
    done(sim)
    sim.view.nodes.clear()
    sim.reconcile()
    assert set(sim.truth.tier_nodes) == set(NAMES)
    del sim.truth.nodes["n0"]
    sim.reconcile()
    assert "n0" in sim.truth.tier_nodes, "nobody has told yet"
    sim.view.nodes.pop("n0")
    sim.reconcile()
    assert set(sim.truth.tier_nodes) == set(NAMES) - {"n0"}


@pytest.mark.parametrize("can_read", [True, False])
@pytest.mark.parametrize("kind", list(Kind))
def test_a_listing_that_was_empty_changes_nothing(kind: Kind, can_read: bool) -> None:
    sim = begun()
    done(sim)
    edit(sim, 2)
    sim.reconcile()
    (canary,) = having(sim, 2)
    sim.answer(canary, trips=AbortReason.ERRORS)
    sim.deliver_all()
    sim.reconcile()
    sim.answer(canary)
    done(sim, 3)
    before = sim.truth.snapshot()
    sim.deliver_all()
    sim.view.of(kind).clear()
    sim.can_read = can_read
    assert sim.reconcile().writes == 0
    after = sim.truth.snapshot()
    assert (after.tier_nodes, after.revisions) == (before.tier_nodes, before.revisions)


def test_a_policy_that_breaks_the_schema_leaves_its_nodes_alone() -> None:
    sim = begun()
    done(sim)
    sim.truth.policies["p"] = replace(sim.truth.policies["p"], problem="spec.mode: nonsense")
    sim.truth.policies["low"] = policy("low", version=3, priority=1)
    sim.deliver_all()
    done(sim, 3)
    assert having(sim, 1) == set(NAMES)
    assert sim.truth.policies["p"].status.phase is Phase.INVALID
    sim.truth.policies["high"] = policy("high", version=4, priority=900)
    sim.deliver_all()
    done(sim)
    assert having(sim, 4) == set(NAMES)


def test_what_is_lost_follows_when_the_rest_is_done() -> None:
    sim = begun()
    sim.truth.nodes["n0"] = node("n0", is_ready=False, since=sim.now - 2 * PROGRESS_DEADLINE)
    sim.deliver_all()
    while stage(sim) != "Complete" if sim.truth.policies["p"].status.conditions else True:
        sim.reconcile()
        assert sim.truth.tier_nodes["n0"].policy is None
        turn(sim, "n0")
    turn(sim, "n0")
    assert sim.truth.tier_nodes["n0"].policy == "p"
    assert stage(sim) == "Complete"


def test_a_node_that_makes_no_sense_keeps_none_from_being_served() -> None:
    sim = begun(rollout=rollout(most=1))
    sim.truth.tier_nodes["n0"] = replace(sim.truth.tier_nodes["n0"], report=None, problem="its spec is none")
    for _ in range(14):
        turn(sim, "n0")
    assert having(sim, 1) >= set(NAMES) - {"n0"}
    degraded = find(sim.truth.policies["p"].status.conditions, "Degraded")
    assert degraded is not None
    assert degraded.message == "n0: has a MemoryTierNode that makes no sense: its spec is none."


def test_a_node_that_cannot_be_written_keeps_none_from_being_served() -> None:
    sim = begun(rollout=rollout(most=1))
    # Whoever comes first.
    sim.unwritable = {write.name for write in sim.decide().nodes}
    assert len(sim.unwritable) == 1
    for _ in range(14):
        turn(sim)
    assert having(sim, 1) == set(NAMES) - sim.unwritable
    sim.unwritable = set()
    turn(sim)
    turn(sim)
    assert having(sim, 1) == set(NAMES)
    assert stage(sim) == "Complete"


def test_a_node_whose_object_cannot_be_made_keeps_none_from_being_served() -> None:
    sim = begun(rollout=rollout(most=1))
    sim.truth.nodes["new"] = node("new")
    sim.unwritable = {"new"}
    for _ in range(14):
        turn(sim)
    assert having(sim, 1) == set(NAMES)
    sim.unwritable = set()
    for _ in range(3):
        turn(sim)
    assert having(sim, 1) == {*NAMES, "new"}


def test_who_joins_later_is_served_beside_one_that_never_applies() -> None:
    sim = begun(rollout=rollout(most=1))
    done(sim, turns=30)
    assert stage(sim) == "Complete"
    sim.truth.nodes["silent"] = node("silent")
    turn(sim, "silent")
    turn(sim, "silent", seconds=2 * PROGRESS_DEADLINE.total_seconds())
    turn(sim, "silent")
    assert sim.truth.tier_nodes["silent"].policy == "p"
    sim.truth.nodes["joins"] = node("joins")
    for _ in range(6):
        turn(sim, "silent")
    assert sim.truth.tier_nodes["joins"].policy == "p"


def test_a_revision_that_cannot_be_read_is_told() -> None:
    sim = begun()
    done(sim)
    before = dict(sim.truth.tier_nodes)
    sim.view.revisions.clear()
    sim.can_read = False
    sim.reconcile()
    assert sim.truth.tier_nodes == before
    status = sim.truth.policies["p"].status
    told = find(status.conditions, "Progressing")
    assert told is not None
    assert (told.reason, status.phase) == ("RevisionUnreadable", Phase.DEGRADED)
    (name,) = sim.truth.revisions
    assert f"ControllerRevision {name} may be there, but cannot be read" in told.message
    sim.can_read = True
    done(sim, 2)
    assert stage(sim) == "Complete"
    assert sim.truth.policies["p"].status.phase is Phase.READY


def test_a_policy_that_breaks_the_schema_can_be_paused() -> None:
    sim = begun()
    done(sim)
    before = dict(sim.truth.tier_nodes)
    sim.truth.policies["p"] = replace(sim.truth.policies["p"], paused=True, problem="spec.mode: nonsense")
    sim.deliver_all()
    sim.reconcile()
    assert sim.truth.tier_nodes == {name: replace(each, paused=True) for name, each in before.items()}


def test_nodes_that_applied_it_and_fell_silent_do_not_stop_a_wave() -> None:
    sim = begun(rollout=rollout(most=2))
    while len(having(sim, 1)) < 4:
        turn(sim)
    turn(sim)
    silent = sorted(name for name in having(sim, 1) if sim.truth.tier_nodes[name].is_applied)[:2]
    for _ in range(30):
        sim.wait(PROGRESS_DEADLINE.total_seconds() / 2)
        for name in set(NAMES) - set(silent):
            sim.answer(name)
        sim.deliver_all()
        sim.reconcile()
    assert having(sim, 1) == set(NAMES)
    status = sim.truth.policies["p"].status
    assert (stage(sim), status.phase) == ("Complete", Phase.DEGRADED)
    degraded = find(status.conditions, "Degraded")
    assert degraded is not None
    assert all(f"{name}: has an agent that fell silent" in degraded.message for name in silent)


def test_lost_nodes_are_part_of_what_may_be_unavailable() -> None:
    sim = begun(rollout=rollout(most=3))
    for name in ("n0", "n1"):
        sim.truth.nodes[name] = node(name, is_ready=False, since=sim.now - 2 * PROGRESS_DEADLINE)
    sim.deliver_all()
    most = 0
    for _ in range(12):
        sim.reconcile()
        most = max(most, len(sim.in_change() - {"n0", "n1"}))
        turn(sim, "n0", "n1")
    assert most == 1, "two of the three that may be unavailable are"
    assert having(sim, 1) >= set(NAMES) - {"n0", "n1"}
