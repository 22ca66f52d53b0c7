"""The CRDs themselves: that what judges offline understands all of them, and that the two agree."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.commands import CHECKOUT
from thermocline_agent import manifest
from thermocline_api import structural
from thermocline_api.problem import InvalidManifest
from thermocline_api.schema import PLURALS, Schema, children, crd_text, rules_below
from thermocline_api.structural import Node
from thermocline_api.twins import TWINS

SHARED = ("mode", "tiers", "hotness", "migration", "watermarks", "guards", "rules", "onDelete")


def crd(kind: str) -> dict[str, Any]:
    """The CRD of a kind."""
    found: dict[str, Any] = yaml.safe_load(crd_text(kind))
    return found


def nodes(node: Node, place: str = "") -> Iterator[tuple[str, Node]]:
    """All schemas below one, by where they are; what is above spec and status has no bounds."""
    yield place, node
    for key, child in node.get("properties", {}).items():
        if f"{place}.{key}" not in (".apiVersion", ".kind", ".metadata"):
            yield from nodes(child, f"{place}.{key}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from nodes(node[key], f"{place}[]")


@pytest.mark.parametrize("kind", PLURALS)
def test_the_packaged_crd_is_the_one_in_crds(kind: str) -> None:
    assert crd_text(kind) == (CHECKOUT / "crds" / f"{PLURALS[kind]}.yaml").read_text()


@pytest.mark.parametrize("kind", PLURALS)
def test_names(kind: str) -> None:
    spec = crd(kind)["spec"]
    assert spec["names"]["plural"] == PLURALS[kind]
    assert spec["names"]["kind"] == kind
    assert crd(kind)["metadata"]["name"] == f"{PLURALS[kind]}.{spec['group']}"
    assert spec["scope"] == "Cluster"


@pytest.mark.parametrize("kind", PLURALS)
def test_every_keyword_is_understood(kind: str) -> None:
    for place, node in nodes(manifest.schema(kind).root):
        assert set(node) <= structural.KEYWORDS, place
        assert node.get("format") in (None, "date-time"), place
        pattern = node.get("pattern", "^$")
        assert pattern.startswith("^"), place
        assert pattern.endswith("$"), place
        assert "|" not in pattern, place


@pytest.mark.parametrize("kind", PLURALS)
def test_everything_is_bounded(kind: str) -> None:
    """Without bounds the API server would not take the rules, for they might cost too much."""
    for place, node in nodes(manifest.schema(kind).root):
        if node.get("type") == "string" or node.get("x-kubernetes-int-or-string"):
            assert {"maxLength", "enum", "format"} & set(node), place
        elif node.get("type") == "array":
            assert "maxItems" in node, place
            assert "x-kubernetes-list-type" in node, place
        elif node.get("type") == "integer":
            assert "minimum" in node, place
        elif "additionalProperties" in node:
            assert "maxProperties" in node, place


@pytest.mark.parametrize("kind", PLURALS)
def test_every_field_of_spec_is_described(kind: str) -> None:
    for place, node in nodes(manifest.schema(kind).root["properties"]["spec"]):
        if not place.endswith("[]"):
            assert node.get("description", "").endswith("."), place


@pytest.mark.parametrize("kind", PLURALS)
def test_every_rule_says_what_to_write(kind: str) -> None:
    for rule in rules_below(manifest.schema(kind).root):
        assert set(rule) <= {"rule", "message", "fieldPath"}
        assert any(word in rule["message"] for word in ("write", "name each", "give", "move it", "remove"))


def test_every_rule_has_a_twin_and_every_twin_a_rule() -> None:
    rules = {rule["rule"] for kind in PLURALS for rule in rules_below(manifest.schema(kind).root)}
    assert rules == set(TWINS)


def test_a_rule_without_a_twin_is_refused() -> None:
    changed = crd("MemoryTierNode")
    root = changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    root["properties"]["spec"]["x-kubernetes-validations"][0]["rule"] = "has(self.policy)"
    with pytest.raises(ValueError, match=r"no twin of the rule 'has\(self.policy\)': add one"):
        Schema.of(changed)


def test_a_node_is_given_what_a_policy_says() -> None:
    policy = manifest.schema("MemoryTierPolicy").root["properties"]["spec"]
    node = manifest.schema("MemoryTierNode").root["properties"]["spec"]["properties"]["settings"]
    assert node["properties"] == {key: policy["properties"][key] for key in SHARED}
    assert node["x-kubernetes-validations"] == policy["x-kubernetes-validations"]


@pytest.mark.parametrize("kind", PLURALS)
def test_every_default_is_valid(kind: str) -> None:
    for place, node in nodes(manifest.schema(kind).root):
        if "default" in node:
            value = Schema(kind, node).defaulted({"x": node["default"]})["x"]
            assert list(structural.check(node, value if value != {} else {})) == [], place


def test_defaults_are_at_every_depth() -> None:
    read = manifest.schema("MemoryTierPolicy").read({"metadata": {"name": "a"}, "spec": {}})
    assert read["spec"]["guards"]["pingPong"] == {"window": "60s", "maxPercent": 10, "action": "Backoff"}
    assert read["spec"]["rules"] == []
    assert "perPodPerMinute" not in read["spec"]["migration"]


def test_what_is_read_shares_nothing() -> None:
    schema = manifest.schema("MemoryTierPolicy")
    given = {"metadata": {"name": "a"}, "spec": {"tiers": {"source": "Auto"}}}
    before = copy.deepcopy(given)
    one, other = schema.read(given), schema.read(given)
    one["spec"]["hotness"]["sources"].clear()
    one["spec"]["tiers"]["source"] = "Kernel"
    assert other["spec"]["hotness"]["sources"]
    assert given == before


def test_reading_tells_all_problems() -> None:
    with pytest.raises(InvalidManifest) as caught:
        manifest.schema("MemoryTierPolicy").read(
            {"metadata": {}, "spec": {"priority": -1, "onDelete": "Keep"}}
        )
    assert [problem.field for problem in caught.value.problems] == [
        "metadata.name", "spec.priority", "spec.onDelete", "",
    ]  # fmt: skip
    assert "spec.priority: Invalid value: -1: spec.priority in body should be" in str(caught.value)


def test_reading_judges_status_but_takes_what_newer_agents_tell() -> None:
    schema = manifest.schema("MemoryTierNode")
    newer = {"metadata": {"name": "a"}, "status": {"mode": "Observe", "weather": "fine"}}
    assert schema.read(newer)["status"]["mode"] == "Observe"
    for status in ({"mode": "Dream"}, ["Observe"]):
        with pytest.raises(InvalidManifest, match="status"):
            schema.read({"metadata": {"name": "a"}, "status": status})


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ("default", 'metadata: cannot be "default": write an object, such as {name: default}'),
        ({"name": 1}, "metadata.name: cannot be 1: write a text"),
        (
            {"name": "a", "labels": {"x": True}},
            'metadata.labels.x: cannot be true: write a text, such as "true" in quotes',
        ),
        ({"name": "a", "labels": ["x"]}, 'metadata.labels: cannot be ["x"]: write an object'),
        ({"name": "a", "lables": {}}, 'metadata.lables: unknown field "metadata.lables"'),
    ],
)
def test_metadata(metadata: Any, sentence: str) -> None:
    found = manifest.schema("MemoryTierPolicy").check({"metadata": metadata, "spec": {}})
    assert [str(problem) for problem in found] == [sentence]


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ('a"b\\', r'"a\"b\\"'),
        ("\n\t\x01\x7f", r'"\n\t\x01\x7f"'),
        ("é\u200b\U0001f600", '"é\\u200b\U0001f600"'),
    ],
)
def test_texts_are_quoted_as_in_go(value: str, quoted: str) -> None:
    assert structural.quoted(value) == quoted


def test_children_are_all_that_is_below() -> None:
    node = {"properties": {"a": {"type": "string"}}, "items": {"type": "integer"}}
    assert list(children(node)) == [{"type": "string"}, {"type": "integer"}]
