"""What a reconcile says of what failed: the loop tries again soon, or not for a minute."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from thermocline_api.schema import Schema, crd_text
from thermocline_operator.apply import Api, ApiError, Gone
from thermocline_operator.cache import Cache
from thermocline_operator.clock import Clock
from thermocline_operator.lease import Lease
from thermocline_operator.reconcile import Outcome, Reconciler
from thermocline_operator.state import Kind

META = {"uid": "1", "resourceVersion": "1", "generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z"}


@dataclass
class Server:
    """An API server that does not answer some of what it is asked."""

    unanswered: str = ""
    namespace: str = "ns"
    applied: list[str] = field(default_factory=list)

    def get(self, kind: Kind, name: str) -> Any:
        if self.unanswered == "GET":
            raise ApiError("a bad day")
        raise Gone(f"no {kind} {name}")

    def apply(self, kind: Kind, name: str, manifest: dict[str, Any], subresource: str | None = None) -> Any:
        if self.unanswered == f"{kind}/{subresource}":
            raise ApiError("a bad day")
        if name == self.unanswered:
            raise OverflowError("what nobody thought of")
        self.applied.append(name)
        return manifest | {"metadata": META | manifest["metadata"] | {"name": name}}

    def post_event(self, *_: Any) -> None:
        return None


def reconcile(server: Server) -> Outcome:
    cache = Cache(Schema.of(yaml.safe_load(crd_text("MemoryTierPolicy"))))
    manifest = {"apiVersion": "thermocline.dev/v1alpha1", "kind": "MemoryTierPolicy", "spec": {}}
    cache.put(Kind.POLICY, manifest | {"metadata": META | {"name": "default"}})
    for name in ("n1", "n2", "n3"):
        cache.put(Kind.NODE, {"metadata": META | {"name": name}})
    reconciler = Reconciler(
        cast("Api", server),
        cache,
        cast("Lease", SimpleNamespace(is_held=True, identity="one")),
        Clock(),
    )
    try:
        return reconciler.reconcile()
    finally:
        reconciler.close()


def test_nothing_fails_when_all_is_answered() -> None:
    outcome = reconcile(Server())
    assert outcome.failed == 0
    assert outcome.written > 0


@pytest.mark.parametrize("unanswered", ["GET", "MemoryTierPolicy/status", "ControllerRevision/None"])
def test_what_was_not_answered_counts_as_failed(unanswered: str) -> None:
    assert reconcile(Server(unanswered)).failed > 0


def test_what_nobody_thought_of_costs_one_write() -> None:
    server = Server("n2")
    assert reconcile(server).failed == 1
    assert {"n1", "n3", "default"} <= set(server.applied)
