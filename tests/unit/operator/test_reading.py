"""What the API server says, read; and what cannot be read, which is never guessed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from thermocline_api.codec import read_time
from thermocline_api.conditions import Condition, Status
from thermocline_api.policy import Phase, PolicyStatus
from thermocline_api.rollout import AbortReason
from thermocline_api.schema import Schema, crd_text
from thermocline_operator import reading
from thermocline_operator.cache import Cache, Unreadable
from thermocline_operator.decide import NodeWrite
from thermocline_operator.revisions import digest
from thermocline_operator.state import Abort, Doubt, Given, Kind, Marks, Revision, Trip

SCHEMA = Schema.of(yaml.safe_load(crd_text("MemoryTierPolicy")))
NODES = Schema.of(yaml.safe_load(crd_text("MemoryTierNode")))
TIME = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def meta(name: str = "a", version: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "uid": f"uid-{name}", "resourceVersion": str(version), "generation": 1,
        "creationTimestamp": "2026-01-02T03:04:05Z", **more,
    }  # fmt: skip


def raw_policy(spec: Any, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "thermocline.dev/v1alpha1", "kind": "MemoryTierPolicy", "metadata": meta(), "spec": spec, **more,
    }  # fmt: skip


def raw_tier_node(version: int = 1, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "thermocline.dev/v1alpha1", "kind": "MemoryTierNode",
        "metadata": meta("n", version), "spec": spec,
    }  # fmt: skip


def test_settings_are_the_policys_own_words_with_defaults() -> None:
    found = reading.read_policy(raw_policy({"priority": 7, "hotness": {"interval": "90s"}}), SCHEMA)
    assert (found.priority, found.paused, found.problem) == (7, False, None)
    assert found.settings["hotness"]["interval"] == "90s"
    assert found.settings["onDelete"] == "LeaveInPlace"
    assert not {"priority", "paused", "nodeSelector", "rollout"} & set(found.settings)


def test_what_is_no_setting_makes_no_new_revision() -> None:
    one = reading.read_policy(raw_policy({}), SCHEMA)
    other = reading.read_policy(
        raw_policy({"priority": 7, "paused": True, "rollout": {"soak": "1h"}}), SCHEMA
    )
    assert one.digest == other.digest
    assert reading.read_policy(raw_policy({"mode": "Observe"}), SCHEMA).digest == one.digest
    assert reading.read_policy(raw_policy({"hotness": {"interval": "90s"}}), SCHEMA).digest != one.digest


@pytest.mark.parametrize(
    ("spec", "priority"),
    [
        ({"mode": "Enforce", "priority": 7}, 7),
        ({"mode": 8}, 1000),
        ({"priority": "high"}, 1000),
        (None, 1000),
    ],
)
def test_a_policy_written_past_validation_has_a_problem(spec: Any, priority: int) -> None:
    found = reading.read_policy(raw_policy(spec), SCHEMA)
    assert found.problem is not None
    assert (found.priority, found.settings) == (priority, {})


def test_a_status_that_cannot_be_read_is_none_and_no_problem() -> None:
    found = reading.read_policy(raw_policy({}, status={"phase": "Perfect"}), SCHEMA)
    assert (found.problem, found.status) == (None, PolicyStatus())
    node = {**raw_tier_node(), "status": {"conditions": [{"type": "Migrating"}]}}
    assert reading.read_tier_node(node).report is None


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"spec": "text"}, "its spec cannot be read: 'text' is no object"),
        ({"spec": {"policy": 5}}, "its spec cannot be read: '5' is not of type str"),
        ({"status": {"counters": {"promotedBytes": "many"}}}, "its status cannot be read: 'many' is not of type int"),
        ({"status": {"mode": "Later"}}, "its status cannot be read: 'Later' is not a valid AgentMode"),
        ({"status": {"conditions": [{"type": "Migrating"}]}}, "its status cannot be read: it lacks 'status'"),
    ],
)  # fmt: skip
def test_a_node_that_cannot_be_read_says_what_of_it(more: dict[str, Any], problem: str) -> None:
    found = reading.read_tier_node(raw_tier_node(policy="p") | more)
    assert (found.problem, found.report) == (problem, None)
    assert found.policy == (None if "spec" in more else "p")


def test_an_agent_was_heard_when_its_status_last_changed() -> None:
    node = {**raw_tier_node(), "status": {"mode": "Observe"}}
    node["metadata"]["managedFields"] = [
        {"manager": "thermocline-operator", "time": "2026-01-02T09:00:00Z"},
        {"manager": "thermocline-agent", "subresource": "status", "time": "2026-01-02T05:00:00Z"},
    ]
    report = reading.read_tier_node(node).report
    assert report is not None
    assert report.heard_at == datetime(2026, 1, 2, 5, tzinfo=UTC)


def test_notes_are_read_as_they_were_written() -> None:
    given = Given(TIME, {"GuardTripped": TIME}, 3, TIME)
    settings = reading.read_policy(raw_policy({}), SCHEMA).settings
    write = NodeWrite("n", "p", "p-1", paused=True, settings=settings, digest="d", given=given)
    manifest = reading.tier_node_manifest(write)
    assert NODES.check(manifest) == ()
    manifest["metadata"] |= meta("n")
    found = reading.read_tier_node(manifest)
    assert (found.policy, found.revision, found.paused, found.given) == ("p", "p-1", True, given)
    marks = Marks(TIME, TIME, TIME, TIME, Abort(TIME, (Trip("n", AbortReason.OOM_KILLS),), 12))
    revision = Revision("p-1", "p", "uid-p", 4, {"mode": "Observe"}, digest({"mode": "Observe"}), marks)
    stored = reading.revision_manifest(revision, "ns")
    stored["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    assert reading.read_revision(stored) == revision


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": 1}', '{"at": "noon"}', "null"])
def test_notes_that_cannot_be_read_are_none(text: str) -> None:
    node = raw_tier_node()
    node["metadata"]["annotations"] = {"thermocline.dev/given": text}
    assert reading.read_tier_node(node).given is None
    stored = reading.revision_manifest(Revision("p-1", "p", "uid", 1, {}, ""), "ns")
    stored["metadata"]["annotations"] = {"thermocline.dev/rollout": text}
    assert reading.read_revision(stored).marks == Marks()


def test_an_empty_node_is_one() -> None:
    manifest = reading.tier_node_manifest(NodeWrite("n"))
    assert NODES.check(manifest) == ()
    assert manifest["spec"] == {"paused": False}


def test_a_status_is_one_that_the_api_takes() -> None:
    policy = reading.read_policy(raw_policy({}), SCHEMA)
    condition = Condition("Ready", Status.TRUE, "AllNodesReady", "", TIME, 1)
    manifest = reading.policy_status_manifest(policy, PolicyStatus(1, Phase.READY, conditions=(condition,)))
    assert SCHEMA.check_status(manifest["status"]) == ()


class TestCache:
    """What news do to what is known."""

    def test_old_news_are_passed_over(self) -> None:
        cache = Cache(SCHEMA)
        changes: list[int] = []
        cache.on_change = lambda: changes.append(1)
        assert cache.put(Kind.TIER_NODE, raw_tier_node(5, paused=True))
        assert not cache.put(Kind.TIER_NODE, raw_tier_node(4))
        assert not cache.put(Kind.TIER_NODE, raw_tier_node(5))
        assert cache.snapshot().tier_nodes["n"].paused
        cache.remove(Kind.TIER_NODE, "n", version=4)
        assert "n" in cache.snapshot().tier_nodes
        assert len(changes) == 1

    def test_what_was_read_to_be_certain_is_taken_even_if_it_is_older(self) -> None:
        cache = Cache(SCHEMA)
        cache.put(Kind.TIER_NODE, raw_tier_node(5, paused=True))
        seen = cache.known(Kind.TIER_NODE, "n")
        assert cache.settle(Kind.TIER_NODE, "n", raw_tier_node(4), seen)
        assert not cache.snapshot().tier_nodes["n"].paused

    def test_what_a_watch_brought_meanwhile_is_not_undone_by_what_was_read(self) -> None:
        cache = Cache(SCHEMA)
        cache.put(Kind.TIER_NODE, raw_tier_node(5))
        seen = cache.known(Kind.TIER_NODE, "n")
        cache.put(Kind.TIER_NODE, raw_tier_node(6, paused=True))
        assert not cache.settle(Kind.TIER_NODE, "n", raw_tier_node(5), seen)
        assert not cache.settle(Kind.TIER_NODE, "n", None, seen)
        assert cache.snapshot().tier_nodes["n"].paused

    def test_an_answer_from_before_it_went_brings_nothing_back(self) -> None:
        cache = Cache(SCHEMA)
        cache.put(Kind.TIER_NODE, raw_tier_node(5))
        cache.remove(Kind.TIER_NODE, "n", version=7)
        assert not cache.put(Kind.TIER_NODE, raw_tier_node(6))
        assert not cache.settle(Kind.TIER_NODE, "n", raw_tier_node(6), None)
        assert cache.snapshot().tier_nodes == {}
        assert cache.put(Kind.TIER_NODE, raw_tier_node(8))

    def test_what_changes_nothing_that_matters_wakes_nobody(self) -> None:
        cache = Cache(SCHEMA)
        node = {"metadata": meta("n", 1), "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        assert cache.put(Kind.NODE, node)
        assert not cache.put(Kind.NODE, {**node, "metadata": meta("n", 2, annotations={"a": "b"})})
        assert cache.version(Kind.NODE, "n") == 2

    def test_what_is_gone_is_gone(self) -> None:
        cache = Cache(SCHEMA)
        cache.put(Kind.POLICY, raw_policy({}))
        cache.remove(Kind.POLICY, "a", version=2)
        assert cache.snapshot([Doubt(Kind.POLICY, "a")]).policies == {}

    def test_what_is_no_object_is_refused(self) -> None:
        cache = Cache(SCHEMA)
        with pytest.raises(Unreadable):
            cache.put(Kind.NODE, {"metadata": {"name": "n"}})
        with pytest.raises(Unreadable):
            cache.put(Kind.REVISION, {"metadata": meta("somebody-elses"), "data": {}, "revision": 1})
        assert cache.snapshot().revisions == {}


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"])
def test_a_time_that_is_none_of_utc_makes_no_sense(time: str) -> None:
    raw = raw_tier_node()
    condition = {"type": "GuardTripped", "status": "True", "reason": "Pressure", "message": "",
                 "lastTransitionTime": time}  # fmt: skip
    raw["status"] = {"conditions": [condition]}
    found = reading.read_tier_node(raw)
    assert found.report is None
    assert found.problem is not None
    assert "out of range" in found.problem


def test_times_are_of_utc() -> None:
    assert read_time("2026-01-02T04:04:05.678+01:00").isoformat() == TIME.isoformat()
    assert read_time("2026-01-02T03:04:05.678") == TIME


@pytest.mark.parametrize(("said", "paused"), [(True, True), ("yes", False), (None, False)])
def test_a_pause_is_read_of_a_policy_that_has_a_problem(said: Any, paused: bool) -> None:
    found = reading.read_policy(raw_policy({"mode": "Nonsense", "paused": said}), SCHEMA)
    assert found.problem is not None
    assert found.paused is paused
