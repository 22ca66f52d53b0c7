"""Rollouts, step by step: each test is one thing that an admin is promised."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.operator.rollouts import NAMES, begun, done, edit, having, stage, turn
from tests.unit.operator.simulation import START, Simulation, node, policy, rollout, selecting
from thermocline_api.conditions import find
from thermocline_api.policy import Phase
from thermocline_api.rollout import AbortReason, NodeCount
from thermocline_operator.revisions import HISTORY, revision_name


def test_canary_soak_waves_complete() -> None:
    sim = begun()
    sim.reconcile()
    assert (stage(sim), len(having(sim, 1))) == ("Canary", 1)
    turn(sim, seconds=1)
    assert (stage(sim), len(having(sim, 1))) == ("Soaking", 1)
    turn(sim, seconds=58)
    assert (stage(sim), len(having(sim, 1))) == ("Soaking", 1)
    turn(sim, seconds=2)
    assert (stage(sim), len(having(sim, 1))) == ("Wave", 3)
    turn(sim, seconds=1)
    turn(sim, seconds=1)
    assert (stage(sim), len(having(sim, 1))) == ("Wave", 6)
    turn(sim, seconds=1)
    assert (stage(sim), sim.truth.policies["p"].status.phase) == ("Complete", Phase.READY)
    revisions = sim.truth.policies["p"].status.revisions
    assert revisions is not None
    assert revisions.current == revisions.target == revisions.last_good


def test_a_canary_that_has_not_applied_it_does_not_soak() -> None:
    sim = begun(rollout=rollout(canary=2, most=3))
    sim.reconcile()
    quick, slow = sorted(having(sim, 1))
    for _ in range(3):
        turn(sim, slow)
        assert stage(sim) == "Canary"
    turn(sim, seconds=1)
    assert stage(sim) == "Soaking"
    turn(sim, seconds=59)
    assert having(sim, 1) == {quick, slow}


def test_what_comes_back_to_all_nodes_is_tried_on_a_canary_again() -> None:
    sim = begun()
    done(sim)
    sim.truth.policies["stop"] = policy(
        "stop", version=0, priority=1000, rollout=rollout(canary=6, most=6, soak=0)
    )
    sim.deliver_all()
    done(sim, 4)
    assert having(sim, 0) == set(NAMES)
    del sim.truth.policies["stop"]
    sim.deliver_all()
    sim.reconcile()
    assert (stage(sim), len(having(sim, 1))) == ("Canary", 1)
    done(sim)
    assert having(sim, 1) == set(NAMES)


def test_a_wave_waits_for_the_slowest() -> None:
    sim = begun()
    sim.reconcile()
    turn(sim, seconds=1)
    turn(sim)
    slow = min(sim.in_change())
    given = len(having(sim, 1))
    turn(sim, slow, seconds=1)
    assert len(having(sim, 1)) == given + 1, "one of two places is taken"
    turn(sim, slow, seconds=1)
    assert sim.truth.tier_nodes[slow].report is not None
    assert slow in sim.in_change()
    assert len(sim.in_change()) == 2


def test_what_tripped_before_is_not_the_revisions_fault() -> None:
    sim = begun(2, rollout=rollout(canary=2, most=2))
    for name in NAMES[:2]:
        sim.answer(name, trips=AbortReason.PING_PONG)
    done(sim)
    assert stage(sim) == "Complete"
    # A guard that was quiet since is another matter.
    edit(sim, 2)
    sim.reconcile()
    sim.wait(5)
    sim.answer("n0", trips=AbortReason.PING_PONG)
    sim.deliver_all()
    sim.reconcile()
    assert stage(sim) == "RollingBack"


@pytest.mark.parametrize(("reason", "aborts"), [(AbortReason.PRESSURE, True), (AbortReason.PING_PONG, False)])
def test_only_what_abort_on_names_aborts(reason: AbortReason, aborts: bool) -> None:
    sim = begun(rollout=rollout(abort_on=(AbortReason.PRESSURE,)))
    sim.reconcile()
    (canary,) = having(sim, 1)
    sim.answer(canary, trips=reason)
    sim.deliver_all()
    sim.reconcile()
    assert (stage(sim) in ("RollingBack", "RolledBack")) is aborts


def test_an_oom_kill_since_the_revision_was_given_aborts() -> None:
    sim = begun()
    for name in NAMES:
        found = sim.truth.tier_nodes[name]
        assert found.report is not None
        sim.truth.tier_nodes[name] = replace(
            found, report=replace(found.report, oom_kills=3, counting_since=START)
        )
    sim.deliver_all()
    sim.reconcile()
    (canary,) = having(sim, 1)
    for kills, wanted in ((3, "Soaking"), (4, "RollingBack")):
        sim.answer(canary)
        found = sim.truth.tier_nodes[canary]
        assert found.report is not None
        report = replace(found.report, oom_kills=kills, counting_since=START)
        sim.truth.tier_nodes[canary] = replace(found, report=report)
        sim.deliver_all()
        sim.reconcile()
        assert stage(sim) == wanted


def test_a_rollback_without_a_good_revision_takes_only_what_was_given() -> None:
    sim = begun()
    sim.truth.policies["low"] = policy("low", version=9, priority=1)
    del sim.truth.policies["p"]
    sim.deliver_all()
    done(sim)
    assert having(sim, 9) == set(NAMES)
    sim.truth.policies["p"] = policy("p")
    sim.deliver_all()
    sim.reconcile()
    (canary,) = having(sim, 1)
    sim.answer(canary, trips=AbortReason.ERRORS)
    sim.deliver_all()
    sim.reconcile()
    done(sim, 4)
    assert stage(sim) == "RolledBack"
    assert having(sim, 9) == set(NAMES) - {canary}
    assert sim.truth.tier_nodes[canary].policy is None


def trip_canary(sim: Simulation, version: int) -> str:
    """The node that tries a version has trouble; returns it once the rollout is rolled back."""
    sim.reconcile()
    (canary,) = having(sim, version)
    sim.wait(5)
    sim.answer(canary, trips=AbortReason.PRESSURE)
    sim.deliver_all()
    sim.reconcile()
    done(sim, 4)
    assert stage(sim) == "RolledBack"
    return canary


def test_a_rollback_goes_to_what_was_complete_where_no_revision_was_good() -> None:
    sim = begun()
    # A guard that is tripped for good keeps a revision from being the last good one.
    sim.answer("n0", trips=AbortReason.PING_PONG)
    done(sim)
    told = sim.truth.policies["p"].status.revisions
    assert told is not None
    assert (stage(sim), told.last_good) == ("Complete", None)
    edit(sim, 2)
    trip_canary(sim, 2)
    assert having(sim, 1) == set(NAMES)


def test_a_rollback_of_a_policy_made_again_leaves_what_the_former_gave() -> None:
    sim = begun()
    done(sim)
    sim.truth.policies["p"] = policy("p", version=2, uid="another")
    # As the garbage collector does.
    sim.truth.revisions.clear()
    sim.deliver_all()
    canary = trip_canary(sim, 2)
    assert having(sim, 1) == set(NAMES) - {canary}
    assert sim.truth.tier_nodes[canary].policy is None


def test_a_rollback_leaves_no_node_what_was_given_up_before() -> None:
    sim = begun(rollout=rollout(canary=1, most=1))
    sim.reconcile()
    (first,) = having(sim, 1)
    sim.answer(first, trips=AbortReason.ERRORS)
    # It keeps for now what is given up.
    sim.unwritable = {first}
    sim.deliver_all()
    sim.reconcile()
    assert (stage(sim), having(sim, 1)) == ("RollingBack", {first})
    sim.unwritable = set()
    edit(sim, 2)
    sim.reconcile()
    (canary,) = having(sim, 2)
    sim.answer(canary, trips=AbortReason.ERRORS)
    sim.deliver_all()
    sim.reconcile()
    done(sim, 4)
    assert stage(sim) == "RolledBack"
    assert not having(sim, 1) | having(sim, 2)


def test_without_auto_rollback_nodes_stay_as_they_are() -> None:
    sim = begun(rollout=rollout(auto_rollback=False))
    sim.reconcile()
    (canary,) = having(sim, 1)
    sim.answer(canary, trips=AbortReason.ERRORS)
    sim.deliver_all()
    sim.reconcile()
    done(sim, 3)
    assert (stage(sim), having(sim, 1)) == ("Aborted", {canary})
    status = sim.truth.policies["p"].status
    assert status.phase is Phase.DEGRADED
    assert status.nodes is not None
    assert status.nodes.aborted == 1


def test_what_was_given_up_is_tried_again_only_after_something_else() -> None:
    sim = begun()
    done(sim)
    edit(sim, 2)
    sim.reconcile()
    (canary,) = having(sim, 2)
    sim.answer(canary, trips=AbortReason.ERRORS)
    sim.deliver_all()
    sim.reconcile()
    sim.answer(canary)
    done(sim, 4)
    assert having(sim, 1) == set(NAMES)
    done(sim, 3)
    assert having(sim, 1) == set(NAMES), "it is not tried again by itself"
    edit(sim, 1)
    done(sim, 2)
    edit(sim, 2)
    done(sim)
    assert having(sim, 2) == set(NAMES)


def test_going_back_to_the_last_good_needs_no_canary() -> None:
    sim = begun()
    done(sim)
    edit(sim, 2)
    sim.reconcile()
    turn(sim)
    turn(sim)
    assert 1 < len(having(sim, 2)) < 6
    edit(sim, 1)
    sim.reconcile()
    assert stage(sim) == "Wave"
    done(sim, 3)
    assert having(sim, 1) == set(NAMES)


def test_an_edit_in_mid_rollout_wins_and_gives_no_node_the_old_one() -> None:
    sim = begun()
    sim.reconcile()
    turn(sim, seconds=1)
    old = having(sim, 1)
    edit(sim, 2)
    for _ in range(12):
        turn(sim)
        assert having(sim, 1) <= old
    assert having(sim, 2) == set(NAMES)


def test_paused_goes_to_every_node_at_once_and_holds_a_rollout() -> None:
    sim = begun()
    sim.reconcile()
    sim.truth.policies["p"] = replace(sim.truth.policies["p"], paused=True)
    sim.deliver_all()
    sim.reconcile()
    assert all(each.paused for each in sim.truth.tier_nodes.values())
    done(sim)
    assert (stage(sim), len(having(sim, 1))) == ("Paused", 1)
    assert sim.truth.policies["p"].status.phase is Phase.PAUSED


def test_an_emergency_stop_pauses_also_what_it_has_not_reached() -> None:
    sim = begun()
    done(sim)
    sim.truth.nodes["n0"] = node("n0", is_ready=False, since=sim.now)
    sim.truth.policies["stop"] = policy(
        "stop", version=0, priority=1000, paused=True, rollout=rollout(canary=6, most=6, soak=0)
    )
    sim.deliver_all()
    sim.reconcile()
    assert all(each.paused for each in sim.truth.tier_nodes.values())
    assert having(sim, 0) == set(NAMES) - {"n0"}


def test_percentages_are_of_the_policys_own_nodes() -> None:
    half = rollout()
    half = replace(
        half, canary=NodeCount(30, is_percent=True), max_unavailable=NodeCount(50, is_percent=True)
    )
    sim = begun(rollout=half, selector=selecting("b"))
    for name in NAMES[:4]:
        sim.truth.nodes[name] = node(name, "b")
    sim.deliver_all()
    sim.reconcile()
    assert len(having(sim, 1)) == 2
    assert not having(sim, 1) & set(NAMES[4:])


def test_history_is_bounded_and_what_is_needed_is_kept() -> None:
    sim = begun(1, rollout=rollout(canary=1, most=1, soak=0))
    for version in range(1, HISTORY + 5):
        edit(sim, version)
        done(sim, 4)
    assert len(sim.truth.revisions) == HISTORY
    assert revision_name(sim.truth.policies["p"]) in sim.truth.revisions


def test_somebody_elses_change_of_settings_is_undone() -> None:
    sim = begun()
    done(sim)
    sim.truth.tier_nodes["n0"] = replace(sim.truth.tier_nodes["n0"], settings={"version": 7}, digest="other")
    sim.deliver_all()
    sim.reconcile()
    assert sim.truth.tier_nodes["n0"].settings == {"version": 1}


def test_the_older_of_equals_governs_and_then_the_first_by_name() -> None:
    sim = begun()
    for other, winner in (("a", "a"), ("z", "p")):
        sim = begun()
        sim.truth.policies[other] = policy(other, version=2)
        sim.deliver_all()
        sim.reconcile()
        assert {each.policy for each in sim.truth.tier_nodes.values()} == {None, winner}
    sim.truth.policies["z"] = replace(sim.truth.policies["z"], created_at=START.replace(year=2025))
    sim.deliver_all()
    done(sim)
    assert {each.policy for each in sim.truth.tier_nodes.values()} == {"z"}


def test_losers_name_the_winner() -> None:
    sim = begun()
    sim.truth.policies["older"] = policy("older", version=2, created_at=START.replace(year=2025))
    sim.deliver_all()
    sim.reconcile()
    status = sim.truth.policies["p"].status
    found = find(status.conditions, "Superseded")
    assert found is not None
    assert found.message == (
        "Of the nodes that this policy selects, older governs 6 nodes (the same priority 100, but older)."
    )
    assert status.phase is Phase.SUPERSEDED


def test_what_tripped_before_for_another_reason_hides_nothing() -> None:
    sim = begun(2, rollout=rollout(canary=2, most=2))
    for name in NAMES[:2]:
        sim.answer(name, trips=AbortReason.PING_PONG)
    sim.deliver_all()
    sim.reconcile()
    since = sim.now
    sim.wait(5)
    sim.answer("n0", trips=AbortReason.PRESSURE)
    found = sim.truth.tier_nodes["n0"]
    assert found.report is not None
    # The guard was tripped all the time: its condition's status, and so its time, is the same.
    conditions = tuple(replace(each, last_transition_time=since) for each in found.report.conditions)
    sim.truth.tier_nodes["n0"] = replace(found, report=replace(found.report, conditions=conditions))
    sim.deliver_all()
    sim.reconcile()
    assert stage(sim) == "RollingBack"


def test_all_that_trips_on_a_node_is_named() -> None:
    sim = begun(rollout=rollout(canary=2, most=2))
    sim.reconcile()
    one, other = sorted(having(sim, 1))
    sim.answer(one, trips=AbortReason.PING_PONG)
    found = sim.truth.tier_nodes[one]
    assert found.report is not None
    sim.truth.tier_nodes[one] = replace(found, report=replace(found.report, oom_kills=1))
    sim.answer(other, trips=AbortReason.PRESSURE)
    sim.deliver_all()
    sim.reconcile()
    status = sim.truth.policies["p"].status
    progressing = find(status.conditions, "Progressing")
    assert progressing is not None
    assert f"aborted by OOMKills and PingPong on {one}, Pressure on {other}." in progressing.message
    assert status.nodes is not None
    assert status.nodes.aborted == 2
