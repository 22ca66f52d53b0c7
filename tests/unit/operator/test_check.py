"""What `thermocline-operator check` tells of nodes and their agents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from thermocline_operator import lease
from thermocline_operator.apply import Answer, Gone
from thermocline_operator.check import findings
from thermocline_operator.cli import main
from thermocline_operator.reading import read_node, read_tier_node
from thermocline_operator.state import Node, TierNode

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LINUX = {"kubernetes.io/os": "linux"}


def stamp(seconds_ago: float) -> str:
    return (NOW - timedelta(seconds=seconds_ago)).isoformat().replace("+00:00", "Z")


def node(name: str, *, ready: bool = True, labels: dict[str, str] | None = None) -> Node:
    meta = {"name": name, "uid": name, "labels": labels or LINUX, "creationTimestamp": stamp(3600)}
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": stamp(3600)}
    return read_node({"metadata": meta, "status": {"conditions": [condition]}})


def tier_node(name: str, *, heard: float | None = 5, reason: str = "Found") -> TierNode:
    raw: dict[str, Any] = {
        "metadata": {"name": name, "uid": name, "creationTimestamp": stamp(3600)}, "spec": {"paused": False}
    }  # fmt: skip
    if heard is not None:
        raw["metadata"]["managedFields"] = [{"subresource": "status", "time": stamp(heard)}]
        status = "True" if reason == "Found" else "False"
        condition = {"type": "TiersFound", "status": status, "reason": reason, "message": "why",
                     "lastTransitionTime": stamp(60)}  # fmt: skip
        raw["status"] = {"conditions": [condition]}
    return read_tier_node(raw)


@pytest.mark.parametrize(
    ("found", "works", "sentence"),
    [
        (tier_node("n1"), True, "node n1: its agent reports, and has two tiers"),
        (tier_node("n1", reason="NoSlowTier"), True, "node n1: its agent reports NoSlowTier: why"),
        (tier_node("n1", heard=None), False, "node n1 has no agent that reports"),
        (tier_node("n1", heard=3600), False, "node n1 has an agent that fell silent"),
        (None, False, "node n1 has no MemoryTierNode yet"),
    ],
)
def test_a_node_is_told_by_its_agents_report(found: TierNode | None, works: bool, sentence: str) -> None:
    tier_nodes = {} if found is None else {"n1": found}
    (told,) = findings([node("n1")], tier_nodes, LINUX, NOW)
    assert (told.works, told.sentence) == (works, sentence)


def test_a_node_that_is_not_ready_is_told_and_fails_nothing() -> None:
    (told,) = findings([node("n1", ready=False)], {"n1": tier_node("n1", heard=None)}, LINUX, NOW)
    assert told.works
    assert told.sentence == "node n1 is not ready"


def test_only_nodes_that_have_agents_are_looked_at() -> None:
    nodes = [node("n1", labels={**LINUX, "pool": "cxl"}), node("n2")]
    (told,) = findings(nodes, {"n1": tier_node("n1")}, {**LINUX, "pool": "cxl"}, NOW)
    assert told.sentence.startswith("node n1")


def test_no_node_at_all_is_a_failure() -> None:
    (told,) = findings([node("n1")], {}, {"pool": "cxl"}, NOW)
    assert not told.works
    assert told.sentence == "no node has the labels pool=cxl: agents run nowhere"


class Server:
    """An API server that knows one lease, or none."""

    namespace = "n"

    def __init__(self, spec: dict[str, Any] | None) -> None:
        self.spec = spec

    def ask(self, *_: Any) -> Answer:
        if self.spec is None:
            raise Gone("none")
        return Answer({"spec": self.spec}, NOW)


@pytest.mark.parametrize(
    ("spec", "holder"),
    [
        ({"holderIdentity": "me", "renewTime": stamp(5)}, "me"),
        ({"holderIdentity": "me", "renewTime": stamp(-20)}, "me"),
        ({"holderIdentity": "me", "renewTime": stamp(120)}, None),
        ({"holderIdentity": "", "renewTime": stamp(1)}, None),
        ({}, None),
        (None, None),
    ],
)
def test_an_operator_acts_while_it_renews_the_lease(spec: dict[str, Any] | None, holder: str | None) -> None:
    server: Any = Server(spec)
    assert lease.holder(server, NOW) == holder


@pytest.mark.parametrize(("word", "said"), [("--selector=a", "write KEY=VALUE"), ("--timeout=soon", "soon")])
def test_words_that_mean_nothing_are_refused(
    word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["check", word])
    assert said in capsys.readouterr().err
