"""What `thermocline-operator check` tells of nodes and their agents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from thermocline_operator import check as checks
from thermocline_operator import lease
from thermocline_operator.apply import Answer, ApiError, Gone
from thermocline_operator.check import Wanted, findings
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
    (told,) = findings([node("n1")], tier_nodes, None, NOW)
    assert (told.works, told.sentence) == (works, sentence)


def test_a_node_that_is_not_ready_is_told_and_fails_nothing() -> None:
    (told,) = findings([node("n1", ready=False)], {"n1": tier_node("n1", heard=None)}, None, NOW)
    assert told.works
    assert told.sentence == "node n1 is not ready"


def test_only_nodes_that_have_agents_are_looked_at() -> None:
    wanted = Wanted("agents", frozenset({"n1"}), 1)
    (told,) = findings([node("n1"), node("n2")], {"n1": tier_node("n1")}, wanted, NOW)
    assert told.works
    assert told.sentence.startswith("node n1")


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (None, "there are no nodes: agents run nowhere"),
        (Wanted("agents", frozenset(), 0), "DaemonSet agents fits no node: agents run nowhere"),
        (
            Wanted("agents", frozenset(), 2),
            "DaemonSet agents has pods on 0 of 2 nodes: describe it",
        ),
    ],
)
def test_no_agent_at_all_is_a_failure(wanted: Wanted | None, sentence: str) -> None:
    (told,) = findings([node("n1")] if wanted else [], {}, wanted, NOW)
    assert not told.works
    assert told.sentence == sentence


def test_a_node_that_lacks_its_pod_is_a_failure_beside_those_that_have_theirs() -> None:
    wanted = Wanted("agents", frozenset({"n1"}), 2)
    missing, told = findings([node("n1"), node("n2")], {"n1": tier_node("n1")}, wanted, NOW)
    assert not missing.works
    assert "1 of 2" in missing.sentence
    assert told.works


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


def test_an_api_server_that_does_not_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    well = [checks.Finding(works=True, sentence="operator me acts")]
    answers = iter([[], well, []])

    def look(*_: Any) -> list[checks.Finding]:
        if not (answer := next(answers)):
            raise ApiError("status 503")
        return answer

    monkeypatch.setattr(checks, "_look", look)
    monkeypatch.setattr(checks, "_PAUSE_SECONDS", 0)
    said: list[str] = []
    api: Any = None
    assert checks.check(api, None, 60, said.append)
    assert not checks.check(api, None, -1, said.append)
    assert said == ["ok    operator me acts", "FAIL  the API server does not answer: status 503"]


def test_words_that_mean_nothing_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", "--timeout=soon"])
    assert "soon" in capsys.readouterr().err
