"""Manifests with random mistakes: each is a valid one in which a few values were replaced, removed or doubled."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

from thermocline_api.structural import Node, child_of

# What people write where something else belongs, and what is just inside or outside of some bound. Nothing like 10.0:
# kubectl makes 10 of it, and so does what reads our files.
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 7, 100, 101, 1000, 1001, 10**6, 2**40, 2**63, 1.5, "", " ", "0", "1", "-1",
    "0%", "1%", "5%", "8%", "25%", "99%", "100%", "101%", "5.5%", "%", "1bp", "10bp", "10000bp", "10001bp",
    "0s", "1ms", "1s", "9.999s", "10s", "10m", "10m1ms", "1h", "24h", "24h1s", "1h1h", "1.5m", "1d", "1s ", "99999h",
    "1Ki", "1Mi", "1048575", "1048577", "999k", "1e6", "1E7", "1Ti", "1025Gi", "64Ti", "1Pi", "100m", "9m", "0.01",
    "64.1", "1Mi ", "1mi", "+5Mi", ".5Gi", "5.Gi", "1e-400", "x" * 64, "a/b/c", "a//b", "/a", "a/", "a/../b", "é",
    "Tier", "PinFast", "Ignore", "Manual", "Enforce", "Observe", "DryRun", "In", "Exists", "tier", "Tier/x", "a b",
    [], [None], [0], [1, 1], ["Damon"], ["Damon", "Damon"], ["a", "a"], 1e21, 123456.75, 1e-7,
    {}, {"a": "b"}, {"a": 1}, {"-": "b"}, {"a": "-"},
)  # fmt: skip


def mutated(chance: random.Random, manifest: dict[str, Any], root: Node) -> dict[str, Any]:
    """A copy of a manifest, with one to three mistakes in its spec."""
    found = copy.deepcopy(manifest)
    for _ in range(chance.randint(1, 3)):
        if isinstance(found.get("spec"), dict):
            _mutate(chance, found, root)
    return found


def _mutate(chance: random.Random, manifest: dict[str, Any], root: Node) -> None:
    parent, key, node = chance.choice(list(_places(manifest["spec"], root["properties"]["spec"])))
    what = chance.random()
    if what < 0.1:
        if isinstance(parent, list) or key in parent:
            del parent[key]
    elif what < 0.2 and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[key]))
    elif what < 0.25 and isinstance(parent, dict):
        parent[f"{key}x"] = 1
    elif what < 0.45 and "enum" in node:
        parent[key] = chance.choice(node["enum"])
    else:
        parent[key] = copy.deepcopy(chance.choice(VALUES))


def _places(value: Any, node: Node) -> Iterator[tuple[Any, Any, Node]]:
    """Every field there is or could be, by what holds it, and its schema."""
    if isinstance(value, dict):
        for key in sorted({*value, *node.get("properties", {})}):
            child = child_of(node, key) or {}
            yield value, key, child
            yield from _places(value.get(key), child)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield value, index, node.get("items", {})
            yield from _places(item, node.get("items", {}))
