"""The loop: what it makes sure of before it acts, and now and then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from thermocline_api.schema import Schema, crd_text
from thermocline_operator import loop as loops
from thermocline_operator.apply import Api, ApiError, Gone
from thermocline_operator.cache import Cache
from thermocline_operator.clock import Clock
from thermocline_operator.lease import Lease
from thermocline_operator.loop import Loop
from thermocline_operator.reconcile import Reconciler
from thermocline_operator.state import Kind


def node(name: str, version: int) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name, "uid": f"uid-{name}", "resourceVersion": str(version), "labels": {"version": str(version)},
            "creationTimestamp": "2026-01-02T03:04:05Z",
        }
    }  # fmt: skip


@dataclass
class Server:
    """An API server that has nodes, and tells what it was asked."""

    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    read: list[tuple[Kind, str]] = field(default_factory=list)
    answers: bool = True

    def time(self) -> datetime:
        return datetime.now(UTC)

    def versions(self, kind: Kind) -> dict[str, int]:
        if kind is not Kind.NODE:
            return {}
        return {name: int(each["metadata"]["resourceVersion"]) for name, each in self.nodes.items()}

    def get(self, kind: Kind, name: str) -> Any:
        self.read.append((kind, name))
        if not self.answers:
            raise ApiError("a bad day")
        if name not in self.nodes:
            raise Gone(f"no {kind} {name}")
        return self.nodes[name]


@pytest.fixture
def server() -> Server:
    return Server({name: node(name, version) for name, version in (("same", 3), ("new", 7), ("back", 4))})


@pytest.fixture
def loop(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """A loop that knows nodes as they were before etcd was restored, and waits for no watch."""
    monkeypatch.setattr(loops, "_CATCH_UP_SECONDS", 0)
    cache = Cache(Schema.of(yaml.safe_load(crd_text("MemoryTierPolicy"))))
    for name, version in (("same", 3), ("new", 6), ("back", 9), ("gone", 8)):
        cache.put(Kind.NODE, node(name, version))
    held = cast("Lease", SimpleNamespace(is_held=True))
    reconciler = Reconciler(cast("Api", server), cache, held, Clock())
    yield Loop(reconciler)
    reconciler.close()


def known(loop: Loop) -> dict[str, str]:
    nodes = loop.reconciler.cache.snapshot().nodes
    return {name: each.labels["version"] for name, each in nodes.items()}


def test_what_differs_from_what_is_there_is_read_before_it_acts(server: Server, loop: Loop) -> None:
    loop._catch_up()
    assert known(loop) == {"same": "3", "new": "7", "back": "4"}
    assert sorted(name for _, name in server.read) == ["back", "gone", "new"]


def test_it_does_not_act_while_that_cannot_be_read(server: Server, loop: Loop) -> None:
    server.answers = False
    server.nodes["new"] = node("new", 6)
    with pytest.raises(ApiError, match="could not be read"):
        loop._catch_up()
    assert known(loop)["back"] == "9"


def test_in_time_every_silent_node_is_read_and_every_revision(server: Server, loop: Loop) -> None:
    cache = loop.reconciler.cache
    names = {f"n{number}" for number in range(150)}
    for name in names:
        cache.put(Kind.TIER_NODE, {**node(name, 1), "spec": {}})
    owner = {"kind": "MemoryTierPolicy", "name": "p", "uid": "uid-p"}
    raw = node("p-1", 1)
    raw["metadata"]["ownerReferences"] = [owner]
    cache.put(Kind.REVISION, {**raw, "data": {"settings": {}}, "revision": 1})
    server.answers = False
    for _ in range(30):
        loop._verified_at = float("-inf")
        loop._verify()
    assert {name for kind, name in server.read if kind is Kind.TIER_NODE} == names
    assert {name for kind, name in server.read if kind is Kind.REVISION} == {"p-1"}
