"""The corpus, judged offline. tests/cluster/test_crds.py has it judged by an API server."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests import corpus
from tests.corpus import Case
from thermocline_agent import manifest
from thermocline_api.node import MemoryTierNode
from thermocline_api.policy import MemoryTierPolicy
from thermocline_api.problem import Problem
from thermocline_api.schema import PLURALS, UNCHECKED
from thermocline_api.structural import Node

VALID = corpus.valid()
INVALID = corpus.invalid()
BOUNDS = (
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "maxProperties",
)


def judged(case: Case) -> list[Problem]:
    """All that is wrong with a case, but for the remark that rules were left out."""
    schema = manifest.schema(case.kind)
    found = schema.check_status(case.value["status"]) if case.is_status else schema.check(case.value)
    return [problem for problem in found if UNCHECKED not in problem.message]


@pytest.mark.parametrize("case", VALID, ids=str)
def test_what_is_valid_is_taken(case: Case) -> None:
    schema = manifest.schema(case.kind)
    assert schema.check(case.value) == ()
    assert schema.check_status(case.value.get("status", {})) == ()


@pytest.mark.parametrize("case", INVALID, ids=str)
def test_what_is_not_is_refused_with_the_sentence(case: Case) -> None:
    assert case.expected
    assert {str(problem) for problem in judged(case)} == case.expected


@pytest.mark.parametrize("case", [case for case in VALID if case.kind == "MemoryTierPolicy"], ids=str)
def test_a_policy_survives_the_way_to_python_and_back(case: Case) -> None:
    schema = manifest.schema(case.kind)
    policy = MemoryTierPolicy.read(schema, case.value)
    again = policy.manifest()
    assert schema.check(again) == ()
    assert schema.check_status(again["status"]) == ()
    assert MemoryTierPolicy.read(schema, again) == policy


@pytest.mark.parametrize("case", [case for case in VALID if case.kind == "MemoryTierNode"], ids=str)
def test_a_node_survives_the_way_to_python_and_back(case: Case) -> None:
    schema = manifest.schema(case.kind)
    node = MemoryTierNode.read(schema, case.value)
    again = node.manifest()
    assert schema.check(again) == ()
    assert schema.check_status(again["status"]) == ()
    assert MemoryTierNode.read(schema, again) == node


def test_names_tell_cases_apart() -> None:
    names = [str(case) for case in (*VALID, *INVALID)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", PLURALS)
def test_every_bound_and_every_rule_has_a_case(kind: str) -> None:
    root = manifest.schema(kind).root
    wanted = set(bounds(root, ""))
    if kind == "MemoryTierNode":
        # Its settings are a policy's, as test_schema.py sees to, and so are their cases.
        wanted = {bound for bound in wanted if not bound[0].startswith("spec.settings.")}
        wanted -= {bound for bound in wanted if bound[0] == "spec.settings.rules"}
    found = {
        (place_of(problem), problem.keyword)
        for case in INVALID
        if case.kind == kind
        for problem in judged(case)
    }
    assert len(wanted) > 60
    assert wanted - found == set()


def bounds(node: Node, place: str) -> Iterator[tuple[str, str]]:
    """Each bound of a schema, by its place, such as spec.rules[].name, and its keyword."""
    yield from ((place, keyword) for keyword in BOUNDS if keyword in node)
    yield from ((f"{place}.{key}".lstrip("."), "required") for key in node.get("required", ()))
    if node.get("x-kubernetes-list-type") in ("set", "map"):
        yield f"{place}[]", "x-kubernetes-list-type"
    if node.get("format") == "date-time":
        yield place, "type"
    for rule in node.get("x-kubernetes-validations", ()):
        yield f"{place}{rule.get('fieldPath', '')}", rule["rule"]
    below = {f".{key}": child for key, child in node.get("properties", {}).items()}
    below |= {end: node[key] for key, end in (("items", "[]"), ("additionalProperties", ".*")) if key in node}
    for end, child in below.items():
        yield from bounds(child, f"{place}{end}".lstrip("."))


def place_of(problem: Problem) -> str:
    """The place in the schema of what a problem is about."""
    place = re.sub(r"\[[0-9]+\]", "[]", problem.field)
    return re.sub(r"(matchLabels)\.\w+$", r"\1.*", place)
