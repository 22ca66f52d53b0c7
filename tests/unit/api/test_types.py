"""The types against the schemas: the same fields, the same defaults, the same words."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import pytest

from thermocline_agent import manifest
from thermocline_api import conditions, node, policy, report, rollout, rule, selector, settings
from thermocline_api.codec import decode, encode
from thermocline_api.conditions import Condition, Status
from thermocline_api.rollout import NodeCount
from thermocline_api.rule import Placement, Rule, Share
from thermocline_api.selector import LabelSelector, Operator, Requirement

POLICY = manifest.schema("MemoryTierPolicy").root["properties"]
NODE = manifest.schema("MemoryTierNode").root["properties"]


def at(root: Any, path: str) -> Any:
    """The schema at a path such as spec.rules[]."""
    for key in path.replace("[]", ".[]").split("."):
        root = (
            root["items"] if key == "[]" else root["properties"][key] if "properties" in root else root[key]
        )
    return root


PLACES = [
    (policy.PolicySpec, at(POLICY, "spec")),
    (policy.PolicyStatus, at(POLICY, "status")),
    (policy.Revisions, at(POLICY, "status.revisions")),
    (policy.NodeCounts, at(POLICY, "status.nodes")),
    (report.Totals, at(POLICY, "status.totals")),
    (report.PolicyDryRun, at(POLICY, "status.dryRun")),
    (report.TopPod, at(POLICY, "status.dryRun.topPods[]")),
    (rollout.Rollout, at(POLICY, "spec.rollout")),
    (settings.Settings, at(NODE, "spec.settings")),
    (settings.Tiers, at(NODE, "spec.settings.tiers")),
    (settings.Hotness, at(NODE, "spec.settings.hotness")),
    (settings.Migration, at(NODE, "spec.settings.migration")),
    (settings.Watermarks, at(NODE, "spec.settings.watermarks")),
    (settings.Guards, at(NODE, "spec.settings.guards")),
    (settings.MemoryPressure, at(NODE, "spec.settings.guards.memoryPressure")),
    (settings.PingPong, at(NODE, "spec.settings.guards.pingPong")),
    (rule.Rule, at(NODE, "spec.settings.rules[]")),
    (rule.FastShare, at(NODE, "spec.settings.rules[].fastShare")),
    (selector.LabelSelector, at(NODE, "spec.settings.rules[].podSelector")),
    (selector.Requirement, at(NODE, "spec.settings.rules[].podSelector.matchExpressions[]")),
    (node.NodeSpec, at(NODE, "spec")),
    (node.NodeStatus, at(NODE, "status")),
    (node.Tier, at(NODE, "status.tiers[]")),
    (node.NumaNode, at(NODE, "status.tiers[].nodes[]")),
    (node.Capability, at(NODE, "status.capabilities[]")),
    (node.Counters, at(NODE, "status.counters")),
    (report.NodeDryRun, at(NODE, "status.dryRun")),
    (report.TopPod, at(NODE, "status.topPods[]")),
    (conditions.Condition, at(NODE, "status.conditions[]")),
]
ENUMS = [
    (settings.Mode, at(POLICY, "spec.mode")),
    (settings.TierSource, at(POLICY, "spec.tiers.source")),
    (settings.Source, at(POLICY, "spec.hotness.sources[]")),
    (settings.Source, at(NODE, "status.source")),
    (settings.Engine, at(POLICY, "spec.migration.engines[]")),
    (settings.Engine, at(NODE, "status.engine")),
    (settings.PingPongAction, at(POLICY, "spec.guards.pingPong.action")),
    (settings.KernelTiering, at(POLICY, "spec.guards.kernelTiering")),
    (settings.OnDelete, at(POLICY, "spec.onDelete")),
    (rule.Placement, at(POLICY, "spec.rules[].placement")),
    (rule.QosClass, at(POLICY, "spec.rules[].qosClasses[]")),
    (selector.Operator, at(POLICY, "spec.nodeSelector.matchExpressions[].operator")),
    (rollout.AbortReason, at(POLICY, "spec.rollout.abortOn[]")),
    (policy.Phase, at(POLICY, "status.phase")),
    (conditions.Status, at(POLICY, "status.conditions[].status")),
    (node.AgentMode, at(NODE, "status.mode")),
    (node.TierName, at(NODE, "status.tiers[].name")),
    (node.CapabilityKind, at(NODE, "status.capabilities[].kind")),
]


def wires(kind: type[Any]) -> set[str]:
    """The names of a record's fields on the wire, those that stand inside others included."""
    names = set()
    for field in dataclasses.fields(kind):
        if field.metadata["name"]:
            names.add(field.metadata["name"])
        else:
            names |= wires(type(field.default))
    return names


@pytest.mark.parametrize(("kind", "schema"), PLACES, ids=lambda value: getattr(value, "__name__", ""))
def test_fields_are_the_schemas(kind: type[Any], schema: Any) -> None:
    assert wires(kind) == set(schema["properties"])


@pytest.mark.parametrize(("kind", "schema"), ENUMS, ids=lambda value: getattr(value, "__name__", ""))
def test_words_are_the_schemas(kind: type[StrEnum], schema: Any) -> None:
    assert [str(word) for word in kind] == schema["enum"]


@pytest.mark.parametrize("kind", [policy.PolicyCondition, node.NodeCondition])
def test_types_of_conditions_are_told(kind: type[StrEnum]) -> None:
    root = POLICY if kind is policy.PolicyCondition else NODE
    told = at(root, "status.conditions")["description"].rstrip(".").replace(" and ", ", ").split(", ")
    assert [str(word) for word in kind] == told


def test_capabilities_are_sources_and_engines() -> None:
    names = at(NODE, "status.capabilities[].name")["enum"]
    assert set(names) == {*map(str, settings.Source), *map(str, settings.Engine)}


def test_defaults_are_the_schemas() -> None:
    schema = manifest.schema("MemoryTierPolicy")
    read = policy.MemoryTierPolicy.read(schema, {"metadata": {"name": "a"}, "spec": {}})
    assert read.spec == policy.PolicySpec()
    given = {"policy": "a", "revision": "b", "settings": {}}
    schema = manifest.schema("MemoryTierNode")
    read_node = node.MemoryTierNode.read(schema, {"metadata": {"name": "a"}, "spec": given})
    assert read_node.spec == node.NodeSpec(policy="a", revision="b", settings=settings.Settings())
    assert node.MemoryTierNode.read(schema, {"metadata": {"name": "a"}}).spec == node.NodeSpec()


def test_defaults_of_a_rule_are_those_that_it_tells() -> None:
    assert Rule(name="a").of_tier == (60.0, 2)
    assert "Absent, 60s." in at(POLICY, "spec.rules[].coldAfter")["description"]
    assert "Absent, 2." in at(POLICY, "spec.rules[].hotRounds")["description"]
    given = {"name": "a", "coldAfter": "5m", "hotRounds": 4}
    assert decode(Rule, given).of_tier == (300.0, 4)
    assert decode(Rule, given).placement is Placement.TIER


def test_what_is_missing_is_no_default() -> None:
    with pytest.raises(KeyError, match="name"):
        decode(Rule, {})


def test_what_is_none_is_not_written() -> None:
    assert encode(Rule(name="a")) == {"name": "a", "placement": "Tier"}
    assert encode(node.Counters(rounds=1)) == {"rounds": 1}


@pytest.mark.parametrize(
    ("share", "resident", "of"),
    [
        (Share(percent=10), 1000, 100),
        (Share(percent=0), 5, 0),
        (Share(percent=33), 100, 33),
        (Share(size_bytes=5), 3, 5),
    ],
)
def test_a_share_of_what_is_resident(share: Share, resident: int, of: int) -> None:
    assert share.of(resident) == of
    assert rule.read_share(rule.write_share(share)) == share


@pytest.mark.parametrize(
    ("count", "nodes", "of"),
    [
        (NodeCount(5, is_percent=True), 1000, 50), (NodeCount(5, is_percent=True), 3, 1),
        (NodeCount(25, is_percent=True), 5, 2), (NodeCount(100, is_percent=True), 7, 7),
        (NodeCount(3), 2, 2), (NodeCount(3), 9, 3), (NodeCount(5, is_percent=True), 0, 0), (NodeCount(1), 0, 0),
    ],
)  # fmt: skip
def test_a_count_of_nodes(count: NodeCount, nodes: int, of: int) -> None:
    assert count.of(nodes) == of
    assert rollout.read_count(rollout.write_count(count)) == count


@pytest.mark.parametrize(
    ("requirement", "matching"),
    [
        (Requirement(key="a", operator=Operator.IN, values=("1", "2")), [{"a": "1"}, {"a": "2", "b": ""}]),
        (Requirement(key="a", operator=Operator.NOT_IN, values=("1", "2")), [{}, {"a": "3"}]),
        (Requirement(key="a", operator=Operator.EXISTS), [{"a": "1"}, {"a": "2", "b": ""}, {"a": "3"}]),
        (Requirement(key="a", operator=Operator.DOES_NOT_EXIST), [{}]),
    ],
)
def test_requirements(requirement: Requirement, matching: list[dict[str, str]]) -> None:
    labels: list[dict[str, str]] = [{}, {"a": "1"}, {"a": "2", "b": ""}, {"a": "3"}]
    chosen = LabelSelector(match_expressions=(requirement,))
    assert [each for each in labels if chosen.matches(each)] == matching
    assert not chosen.is_empty


def test_a_selector_asks_for_all_of_it() -> None:
    chosen = decode(
        LabelSelector,
        {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]},
    )
    assert chosen.matches({"a": "1", "b": "2", "c": "3"})
    assert not chosen.matches({"a": "1"})
    assert not chosen.matches({"b": "2"})
    assert LabelSelector().is_empty
    assert LabelSelector().matches({})


THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOW = THEN + timedelta(hours=1)


def condition(status: Status, when: datetime, kind: str = "Ready") -> Condition:
    """A condition."""
    return Condition(type=kind, status=status, reason="Because", message="", last_transition_time=when)


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    old = [condition(Status.TRUE, THEN), condition(Status.TRUE, THEN, "Degraded")]
    new = [
        condition(Status.TRUE, NOW),
        condition(Status.FALSE, NOW, "Degraded"),
        condition(Status.TRUE, NOW, "New"),
    ]
    found = conditions.updated(old, new)
    assert [each.last_transition_time for each in found] == [THEN, NOW, NOW]
    assert conditions.updated(old, []) == ()
    assert conditions.find(found, "Degraded") == found[1]
    assert conditions.find(found, "Accepted") is None


def test_times_are_written_in_utc() -> None:
    away = THEN.astimezone(timezone(timedelta(hours=2)))
    written = encode(condition(Status.TRUE, away))
    assert written["lastTransitionTime"] == "2026-01-02T03:04:05Z"
    assert decode(Condition, written) == condition(Status.TRUE, THEN)
