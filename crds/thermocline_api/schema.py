"""The schema of one kind: what the API server would say of a manifest, and what it would make of it.

A schema is read from the CRD, as any YAML parser yields it; crd_text has the text. So the CRD is the only
place where fields, bounds, defaults and sentences stand. What is checked is what a create or an update sends,
strictly (kubectl's default); status, which only its own subresource takes, is left to `check_status`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any, Final

from thermocline_api import metadata, structural
from thermocline_api.problem import InvalidManifest, Problem
from thermocline_api.structural import Node
from thermocline_api.twins import TWINS

GROUP: Final = "thermocline.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
# Kinds, by the plural that names their CRD.
PLURALS: Final = {"MemoryTierPolicy": "memorytierpolicies", "MemoryTierNode": "memorytiernodes"}
# What the API server adds when it left rules out because of other mistakes.
UNCHECKED: Final = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


def crd_text(kind: str) -> str:
    """The CRD of a kind, as YAML."""
    return (resources.files("thermocline_api") / f"{PLURALS[kind]}.yaml").read_text()


@dataclass(frozen=True, slots=True)
class Schema:
    """A kind and its openAPIV3Schema. Make one by `of`."""

    kind: str
    root: Node = field(hash=False)

    @classmethod
    def of(cls, crd: Mapping[str, Any]) -> Schema:
        """The schema in a CRD. Raises ValueError for a rule that has no twin in twins.py."""
        (version,) = crd["spec"]["versions"]
        root = version["schema"]["openAPIV3Schema"]
        for rule in rules_below(root):
            if rule["rule"] not in TWINS:
                raise ValueError(f"twins.py has no twin of the rule {rule['rule']!r}: add one")
        return cls(crd["spec"]["names"]["kind"], root)

    def check(self, manifest: Mapping[str, Any]) -> tuple[Problem, ...]:
        """What is wrong with a manifest; nothing when the API server would take it."""
        given = copy.deepcopy(dict(manifest))
        problems = [*_prune(self.root, given), *metadata.check(given)]
        # metadata has been judged, and to a create or an update status is nothing.
        given = {**given, "metadata": {}}
        given.pop("status", None)
        return _judge(problems, self.root, _defaulted(self.root, given))

    def check_status(self, status: Any) -> tuple[Problem, ...]:
        """What is wrong with a status, without its object."""
        root = {"type": "object", "properties": {"status": self.root["properties"]["status"]}}
        given = {"status": copy.deepcopy(status)}
        return _judge(_prune(root, given), root, _defaulted(root, given), top="status")

    def read(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """The manifest with all defaults, as the API server would return it. Raises InvalidManifest.

        Its status is judged too, for somebody will read it, but may have fields that are not known here: who wrote
        it may be newer.
        """
        without = {key: value for key, value in manifest.items() if key != "status"}
        problems = list(self.check(without))
        if (status := manifest.get("status")) is not None:
            problems += (each for each in self.check_status(status) if each.keyword != "unknown")
        if problems:
            raise InvalidManifest(problems)
        return self.defaulted(manifest)

    def defaulted(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """A manifest, known to be valid, with all defaults."""
        found: dict[str, Any] = _defaulted(self.root, copy.deepcopy(dict(manifest)))
        return found


def rules_below(node: Node) -> Iterator[Mapping[str, Any]]:
    """All x-kubernetes-validations of a schema and what is below it."""
    yield from node.get("x-kubernetes-validations", ())
    for child in children(node):
        yield from rules_below(child)


def children(node: Node) -> Iterator[Node]:
    """The schemas right below one."""
    yield from node.get("properties", {}).values()
    yield from (node[key] for key in ("items", "additionalProperties") if key in node)


def _judge(
    before: Iterable[Problem], root: Node, value: dict[str, Any], *, top: str = ""
) -> tuple[Problem, ...]:
    """What is wrong with a value, after what was found before.

    The server's sentences about bounds name fields as seen from `top`.
    """
    node, part = (structural.child_of(root, top) or {}, value[top]) if top else (root, value)
    problems = list(before)
    problems += (
        replace(found, field=".".join(filter(None, (top, found.field))))
        for found in structural.check(node, part)
    )
    problems += structural.check_unique(root, value)
    if any(problem.keyword in structural.BLOCKING for problem in problems):
        return (*problems, Problem("", f"Invalid value: null: {UNCHECKED}"))
    return (*problems, *_check_rules(root, value, ""))


def _check_rules(node: Node, value: Any, path: str) -> Iterator[Problem]:
    for rule in node.get("x-kubernetes-validations", ()):
        if not TWINS[rule["rule"]](value):
            where = f"{path}{rule.get('fieldPath', '')}"
            # The server shows the value that the rule is about, unless it is an object or an array.
            shown = "" if node.get("type") in ("object", "array") else f": {structural.shown(value)}"
            yield Problem(where, f"Invalid value{shown}: {rule['message']}", rule["rule"])
    if isinstance(value, Mapping):
        for key, child in value.items():
            if (found := structural.child_of(node, key)) is not None:
                yield from _check_rules(found, child, structural.below(node, path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check_rules(node["items"], item, f"{path}[{index}]")


def _prune(root: Node, manifest: dict[str, Any]) -> tuple[Problem, ...]:
    """Remove what the schema does not know; each such field is a problem, as it is to a strict server."""
    unknown = sorted(_pruned(root, manifest, ""))
    return tuple(Problem(path, f'unknown field "{path}"', "unknown") for path in unknown)


def _pruned(node: Node, value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key in list(value):
            child = structural.child_of(node, key)
            where = f"{path}.{key}" if path else key
            if where == "metadata":
                continue
            if child is None:
                del value[key]
                yield where
            else:
                yield from _pruned(child, value[key], where)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _pruned(node.get("items", {}), item, f"{path}[{index}]")


def _defaulted(node: Node, value: Any) -> Any:
    """The value with defaults in place of what is missing or null; a null without a default is dropped."""
    if isinstance(value, Mapping):
        kept = {key: child for key, child in value.items() if child is not None}
        for key, child in node.get("properties", {}).items():
            if "default" in child and key not in kept:
                kept[key] = copy.deepcopy(child["default"])
        return {key: _defaulted(structural.child_of(node, key) or {}, child) for key, child in kept.items()}
    if isinstance(value, list):
        return [_defaulted(node.get("items", {}), item) for item in value]
    return value
