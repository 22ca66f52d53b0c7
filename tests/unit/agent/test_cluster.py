"""The agent's side of Kubernetes, without one: what is followed, what is written, which pods are known, when to ask."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermocline_agent.cluster import pods, standing, writing
from thermocline_agent.cluster.api import ApiError, Expired, Missing, refusal
from thermocline_agent.cluster.backoff import MOST_SECONDS, Backoff
from thermocline_agent.cluster.objects import Raw, is_newer
from thermocline_agent.cluster.standing import LEAVING_SECONDS, Standing, assignment, gone, left, told
from thermocline_agent.cluster.writing import MOST_BYTES, SOON_SECONDS, STEADY_SECONDS, Written, decide
from thermocline_agent.manifest import schema
from thermocline_api.conditions import Condition, Status
from thermocline_api.node import (
    AgentMode,
    Capability,
    CapabilityKind,
    Counters,
    NodeStatus,
    NumaNode,
    Tier,
    TierName,
)
from thermocline_api.report import TopPod
from thermocline_api.rule import Placement
from thermocline_api.settings import Mode

SCHEMA = schema("MemoryTierNode")
TTL = 900.0
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RULES = [
    {"name": "own", "cgroups": ["system.slice/**"], "placement": "Ignore"},
    {"name": "sink", "podSelector": {"matchLabels": {"kind": "batch"}}, "placement": "PreferSlow"},
    {"name": "all", "placement": "Tier", "coldAfter": "30s", "fastShare": {"max": "50%"}},
]


def node(generation: int = 1, *, uid: str = "u", paused: bool = False, **settings: Any) -> Raw:
    spec: dict[str, Any] = {"paused": paused}
    if settings:
        spec |= {"policy": "default", "revision": f"default-{generation}", "settings": settings}
    meta = {"name": "n1", "uid": uid, "generation": generation, "resourceVersion": "7", "managedFields": []}
    return {
        "apiVersion": "thermocline.dev/v1alpha1",
        "kind": "MemoryTierNode",
        "metadata": meta,
        "spec": spec,
    }


ENFORCE: dict[str, Any] = {"mode": "Enforce", "rules": RULES}


def test_what_the_object_says_is_followed() -> None:
    found = told(Standing(), node(3, **ENFORCE), SCHEMA, 0.0)
    now = assignment(found, 0.0, TTL, 1.0)
    assert (now.policy, now.revision, now.generation) == ("default", "default-3", 3)
    assert now.settings is not None
    assert now.settings.mode is Mode.ENFORCE
    assert [rule.name for rule in now.settings.rules] == ["own", "sink", "all"]
    assert (now.paused, now.problem) == (False, None)


def test_what_is_wrong_leaves_in_force_what_was_before() -> None:
    before = told(Standing(), node(3, **ENFORCE), SCHEMA, 0.0)
    wrong = node(4, mode="Enforce", rules=RULES, watermarks={"demoteBelow": "20%", "demoteUntil": "10%"})
    now = assignment(told(before, wrong, SCHEMA, 1.0), 0.0, TTL, 1.0)
    assert now.settings == assignment(before, 0.0, TTL, 1.0).settings
    assert (now.revision, now.generation) == ("default-3", 4)
    assert now.problem is not None
    assert now.problem.startswith("spec.settings.watermarks.demoteUntil: ")
    assert "write a demoteUntil that is larger" in now.problem
    corrected = assignment(told(before, node(5, **ENFORCE), SCHEMA, 2.0), 0.0, TTL, 2.0)
    assert (corrected.revision, corrected.problem) == ("default-5", None)


@pytest.mark.parametrize(("stop", "is_paused"), [(True, True), ("yes", False)])
def test_the_order_to_stop_is_followed_even_from_a_spec_that_is_wrong(stop: Any, *, is_paused: bool) -> None:
    before = told(Standing(), node(3, **ENFORCE), SCHEMA, 0.0)
    wrong = {**node(4), "spec": {"paused": stop, "policy": "default"}}
    now = assignment(told(before, wrong, SCHEMA, 1.0), 0.0, TTL, 1.0)
    assert now.paused is is_paused
    assert now.problem is not None


@pytest.mark.parametrize("spec", [None, [], "x", {"settings": 3}, {"settings": {"rules": [{}]}}, {"more": 1}])
def test_no_spec_is_so_wrong_that_it_is_not_refused(spec: Any) -> None:
    before = told(Standing(), node(3, **ENFORCE), SCHEMA, 0.0)
    now = assignment(told(before, {**node(4), "spec": spec}, SCHEMA, 1.0), 0.0, TTL, 1.0)
    assert now.revision == "default-3" or (spec is None and now.settings is None)


def test_nothing_is_enforced_until_the_api_server_was_heard_and_after_the_ttl() -> None:
    assert assignment(Standing(), None, TTL, 0.0).settings is None
    assert "since the agent started" in str(assignment(Standing(), None, TTL, 0.0).problem)
    found = told(Standing(), node(3, **ENFORCE), SCHEMA, 0.0)
    for unheard, mode in ((TTL, Mode.ENFORCE), (TTL + 1, Mode.OBSERVE)):
        now = assignment(found, unheard, TTL, 5000.0)
        assert now.settings is not None
        assert now.settings.mode is mode
        assert now.revision == "default-3"
        assert (now.problem is None) is (mode is Mode.ENFORCE)


def test_when_the_policy_goes_nothing_moves() -> None:
    found = told(Standing(), node(3, **ENFORCE), SCHEMA, 0.0)
    for after in (told(found, node(4), SCHEMA, 1.0), gone(found, 1.0)):
        now = assignment(after, 0.0, TTL, 1.0)
        assert (now.settings, now.policy, now.revision) == (None, None, None)


def test_promote_back_pins_what_was_governed_until_all_is_back_or_time_is_up() -> None:
    found = told(Standing(), node(3, **ENFORCE, onDelete="PromoteBack"), SCHEMA, 0.0)
    after = told(found, node(4), SCHEMA, 100.0)
    now = assignment(after, 0.0, TTL, 101.0)
    assert now.settings is not None
    assert now.policy is None
    assert [rule.placement for rule in now.settings.rules] == [
        Placement.IGNORE, Placement.PIN_FAST, Placement.PIN_FAST,
    ]  # fmt: skip
    assert now.settings.migration.demote_bytes_per_second == 0
    assert assignment(after, 0.0, TTL, 100.0 + LEAVING_SECONDS).settings is None
    assert assignment(left(after), 0.0, TTL, 101.0).settings is None
    # Another policy that comes meanwhile governs at once, and nothing is brought back after it.
    other = told(after, node(5, mode="Observe"), SCHEMA, 102.0)
    assert assignment(other, 0.0, TTL, 102.0).revision == "default-5"
    assert assignment(told(other, node(6), SCHEMA, 103.0), 0.0, TTL, 103.0).settings is None


@pytest.mark.parametrize("mode", ["Observe", "DryRun"])
def test_who_moved_nothing_brings_nothing_back(mode: str) -> None:
    found = told(Standing(), node(3, mode=mode, rules=RULES, onDelete="PromoteBack"), SCHEMA, 0.0)
    assert assignment(gone(found, 1.0), 0.0, TTL, 1.0).settings is None


def condition(kind: str = "Migrating", status: Status = Status.TRUE, reason: str = "Moving", message: str = "",
              at: datetime = NOW) -> Condition:  # fmt: skip
    return Condition(kind, status, reason, message, at)


def status(rounds: int = 1, *conditions: Condition, **fields: Any) -> NodeStatus:
    return NodeStatus(
        policy="default",
        mode=AgentMode.ENFORCE,
        counters=Counters(since=NOW, rounds=rounds),
        conditions=conditions or (condition(),),
        **fields,
    )


@pytest.mark.parametrize(
    "changed",
    [
        status(1, condition(status=Status.FALSE)),
        status(1, condition("GuardTripped", reason="PingPong")),
        status(1, condition(), condition("GuardTripped")),
        status(1, revision="new"),
        status(1, observed_generation=9),
        status(1, tiers=(Tier(TierName.FAST, (NumaNode(0),)),)),
    ],
)
def test_a_change_is_written_at_once(changed: NodeStatus) -> None:
    written = Written(status(1), 100.0, was_change=True, times=(100.0,))
    found = decide(changed, written, 100.5)
    assert (found.write, found.is_change) == (True, True)


@pytest.mark.parametrize(
    "counted",
    [
        status(2),
        status(1, condition(reason="Settled")),
        status(1, condition(message="in other words")),
        status(1, pods_matched=3),
        status(1, top_pods=(TopPod("a"),)),
        status(1, condition(at=NOW + timedelta(1))),
    ],
)
@pytest.mark.parametrize(("was_change", "pause"), [(True, SOON_SECONDS), (False, STEADY_SECONDS)])
def test_counters_wait(counted: NodeStatus, *, was_change: bool, pause: float) -> None:
    written = Written(status(1), 100.0, was_change=was_change)
    early = decide(counted, written, 100.0 + pause - 1)
    assert (early.write, early.is_change) == (False, False)
    assert early.wait_seconds == pytest.approx(1)
    assert decide(counted, written, 100.0 + pause).write
    assert not decide(counted, written, 100.0 + pause, chance=1.0).write
    assert not decide(status(1), written, 1e6).write, "nothing differs"


@given(st.lists(st.tuples(st.floats(0.1, 30.0), st.booleans()), max_size=300))
def test_writes_of_any_life_are_few(steps: list[tuple[float, bool]]) -> None:
    """Counters change all the time and a condition flaps: changes are told once, and counters once a minute."""
    now, tripped, rounds = 0.0, False, 0
    written: Written | None = None
    writes: list[tuple[float, bool]] = []
    changes = 1
    for pause, flips in steps:
        now, rounds, tripped, changes = now + pause, rounds + 1, tripped ^ flips, changes + flips
        current = status(rounds, condition("GuardTripped", Status.TRUE if tripped else Status.FALSE))
        found = decide(current, written, now)
        if found.write:
            writes.append((now, found.is_change))
            written = writing.after(written, current, now, is_change=found.is_change)
    assert sum(is_change for _, is_change in writes) <= changes
    for (before, _), (time, is_change) in itertools.pairwise(writes):
        assert is_change or time - before >= SOON_SECONDS
    for time, _ in writes:
        assert sum(time <= other < time + 60 for other, _ in writes) <= 6
    if written is not None:
        later = decide(status(rounds + 1, *written.status.conditions), written, now + 300)
        assert later.write, "five minutes without a word would be silence"


def test_a_steady_agent_writes_less_than_a_twentieth_of_its_kubelet() -> None:
    written, writes = Written(status(0), 0.0, was_change=True), 0
    for second in range(0, 86400, 10):
        current = status(second)
        if decide(current, written, float(second)).write:
            writes += 1
            written = writing.after(written, current, float(second), is_change=False)
    assert writes <= 86400 / 10 / 20


def test_conditions_keep_the_time_since_which_they_hold() -> None:
    later = NOW + timedelta(hours=1)
    found = writing.continued(status(2, condition(at=later, message="new words")), status(1))
    assert found.conditions == (condition(message="new words"),)
    found = writing.continued(status(2, condition(at=later, status=Status.FALSE)), status(1))
    assert found.conditions[0].last_transition_time == later


def test_a_status_fits_and_is_taken_by_the_schema() -> None:
    text = "x" * 256
    huge = status(
        1,
        *(condition(f"Type{number}", message="m" * 1024) for number in range(7)),
        capabilities=tuple(
            Capability(CapabilityKind.SOURCE, name, available=False, reason="Missing", message=text)
            for name in ("Feed", "PerfMem", "Damon", "IdlePage", "Referenced")
        ),
        top_pods=tuple(TopPod(f"{number}{text[2:]}", "n" * 63, "r" * 63, 1, 2) for number in range(10)),
        tiers=tuple(
            Tier(
                TierName.SLOW,
                tuple(NumaNode(number, 1 << 40, 1 << 40, 100, 100, 9, 9, "mem0") for number in range(16)),
            )
            for _ in range(3)
        ),
    )
    data = writing.fitted(huge)
    assert len(json.dumps(data, separators=(",", ":")).encode()) <= MOST_BYTES
    assert SCHEMA.check_status(data) == ()
    assert [each["type"] for each in data["conditions"]] == [f"Type{number}" for number in range(7)]
    small = status(1)
    assert "…" not in json.dumps(writing.fitted(small))


def pod(uid: str = "u1", namespace: str = "web", **meta: Any) -> Raw:
    return {"metadata": {"uid": uid, "namespace": namespace, "name": f"pod-{uid}", **meta}}


def test_pods_are_known_by_what_rules_select() -> None:
    register = pods.Register()
    register.pods.replace((pod(labels={"kind": "batch"}), pod("u2", "other")))
    assert register.known() == {}, "a namespace's labels decide, and are not known yet"
    register.namespaces.replace(({"metadata": {"name": "web", "labels": {"tier": "frontend"}}},))
    (found,) = register.known().values()
    assert (found.uid, found.labels, found.namespace_labels) == (
        "u1",
        {"kind": "batch"},
        {"tier": "frontend"},
    )
    register.namespaces.put({"metadata": {"name": "other"}})
    assert set(register.known()) == {"u1", "u2"}
    register.pods.put(pod("u2", "other", labels={"app.kubernetes.io/part-of": "thermocline"}))
    assert register.known()["u2"].is_own
    register.pods.remove(pod("u1"))
    register.namespaces.remove({"metadata": {"name": "other"}})
    assert register.known() == {}


def test_a_static_pod_is_known_by_the_uid_of_its_cgroup() -> None:
    found = pods.read_pod(pod("api-uid", annotations={"kubernetes.io/config.hash": "0" * 32}))
    assert found.uid == "0" * 32


@pytest.mark.parametrize("meta", [{"labels": None}, {"labels": {"a": 1}}, {"labels": [], "annotations": "x"}])
def test_labels_that_are_none_are_none(meta: Any) -> None:
    assert pods.read_pod(pod(**meta)).labels == {}


@given(st.integers(1, 40), st.floats(0, 1), st.one_of(st.none(), st.floats(0, 1e6)))
def test_pauses_grow_to_a_bound_and_spread(failures: int, chance: float, asked: float | None) -> None:
    backoff = Backoff()
    for _ in range(failures):
        backoff = backoff.failed()
    pause = backoff.pause_seconds(chance, asked)
    assert 0.5 <= pause <= max(MOST_SECONDS, 600)
    assert pause >= min(asked or 0.0, 300.0)
    spread = backoff.pause_seconds(1.0) / backoff.pause_seconds(0.0)
    assert spread == pytest.approx(2)
    assert Backoff().pause_seconds(chance) == 0


@pytest.mark.parametrize(
    ("version", "known", "newer"),
    [
        ("10", "9", True),
        ("9", "10", False),
        ("9", "9", False),
        ("1", None, True),
        ("x", "y", True),
        ("x", "x", False),
    ],
)
def test_versions_are_numbers(version: str, known: str | None, *, newer: bool) -> None:
    assert is_newer(version, known) is newer


def test_refusals_are_told_apart() -> None:
    not_found = json.dumps({"kind": "Status", "reason": "NotFound", "message": "no such thing"}).encode()
    assert isinstance(refusal("GET /x", 404, not_found, {}), Missing)
    # A proxy's 404, or that of a CRD that is not there, does not say that the object is gone.
    assert not isinstance(refusal("GET /x", 404, b"404 page not found", {}), Missing)
    assert isinstance(refusal("GET /x", 410, b"", {}), Expired)
    throttled = refusal("GET /x", 429, b"", {"Retry-After": "7"})
    assert type(throttled) is ApiError
    assert throttled.pause_seconds == 7
    assert refusal("GET /x", 503, b"", {"Retry-After": "soon"}).pause_seconds is None


def test_settings_stay_equal_to_what_was_told() -> None:
    found = told(Standing(), node(3, **ENFORCE), SCHEMA, 0.0)
    assert replace(found, generation=4) == told(
        found, {**node(4, **ENFORCE), "spec": node(3, **ENFORCE)["spec"]}, SCHEMA, 9.0
    )
    assert standing.assignment(found, 0.0, TTL, 0.0) == standing.assignment(found, 1.0, TTL, 50.0)
