"""The operator and two real agents, on two nodes of the lab that have CXL memory: a policy's life from end to end."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cluster import node_agents, operators
from tests.cluster.node_agents import NAMESPACE, NodeAgents
from tests.cluster.operators import Audit, Objects
from tests.cluster.running import Cluster
from thermocline_agent.cluster.api import FIELD_MANAGER

# A quarter of an hour by itself: `pytest -m long tests/cluster/test_agents_in_lab.py`.
pytestmark = [pytest.mark.cluster, pytest.mark.long]

NODES = ("patched", "stock")
# Two halves of what it holds, each hot for a while and then not touched at all.
ALTERNATES = """
import time
halves = [bytearray(b"x" * (24 << 20)) for _ in range(2)]
print("holding", flush=True)
while True:
    for half in halves:
        until = time.monotonic() + 40
        while time.monotonic() < until:
            for at in range(0, len(half), 4096):
                half[at] = 1
            time.sleep(0.2)
"""
ROLLOUT = {"canary": 1, "maxUnavailable": 1, "soak": "5s"}
SELECTOR = {"matchLabels": {"pool": "cxl"}}
# Of the two kernels only the patched one has idle page tracking.
HOTNESS = {"sources": ["IdlePage", "Damon"], "interval": "2s", "cpuLimit": "1"}
# Emulated machines stall all the time, and pages shall come and go.
GUARDS = {
    "memoryPressure": {"someAvg60": "10000bp", "fullAvg10": "10000bp"},
    "pingPong": {"maxPercent": 100},
    "minUsefulnessPercent": 0,
}
# A share that holds one half and not both.
RULES = [
    {
        "name": "tests",
        "podSelector": {"matchLabels": {"run": "alternates"}},
        "coldAfter": "4s",
        "hotRounds": 1,
        "fastShare": {"max": "36Mi"},
    }
]
# Two emulated machines on two busy cores: what takes seconds on real ones may take minutes.
SECONDS = 900.0


@pytest.fixture(scope="module")
def lab(cluster: Cluster) -> Iterator[Objects]:
    """The cluster's API server, with our CRDs and roles, and a workload on each node."""
    server = node_agents.server_of(cluster)
    objects = Objects(server)
    for node in NODES:
        cluster.kubectl("label", "node", node, "pool=cxl", "--overwrite")
        cluster.run(f"alternates-{node}", node, ALTERNATES, ready=True)
        cluster.kubectl("label", "pod", f"alternates-{node}", "run=alternates", "--overwrite")
    yield objects
    for words in ("mtp", "mtn", f"controllerrevisions -n {NAMESPACE}", "pods", "events"):
        server.kubectl("delete", "--all", "--wait=false", *words.split())


@pytest.fixture(scope="module")
def agents(lab: Objects, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeAgents]:
    """The operator, and an agent on each node that has reported."""
    log = tmp_path_factory.mktemp("operator") / "log"
    configs = {node: node_agents.kubeconfig(lab.server, node) for node in NODES}
    with (
        operators.running(lab.server.kubeconfig, log, ("--namespace", NAMESPACE)),
        node_agents.running(cluster, configs) as found,
    ):
        lab.wait("both report", lambda: all(mode(lab, node) == "Observe" for node in NODES), SECONDS)
        yield found


def mode(objects: Objects, node: str) -> str | None:
    """What the node's agent says that it does."""
    found: str | None = objects.tier_nodes().get(node, {}).get("status", {}).get("mode")
    return found


def condition(objects: Objects, node: str, kind: str) -> dict[str, str]:
    conditions = objects.tier_nodes()[node].get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def ready(objects: Objects) -> bool:
    found = objects.server.ask("GET", "/apis/thermocline.dev/v1alpha1/memorytierpolicies/default").body
    told = found.get("status", {})
    return (told.get("observedGeneration"), told.get("phase")) == (found["metadata"]["generation"], "Ready")


def test_a_policys_life(lab: Objects, agents: NodeAgents) -> None:
    audit = Audit(lab.server.audit_log)
    audit.mark()
    began = time.monotonic()
    # Apply: a canary, a soak, a wave, ready.
    lab.policy("default", nodeSelector=SELECTOR, rollout=ROLLOUT, hotness=HOTNESS, guards=GUARDS, rules=RULES)
    lab.wait("it is ready", lambda: ready(lab), SECONDS)
    lab.wait("it is told", lambda: "Complete" in lab.events("default"))
    stages = [each for each in lab.events("default") if each in ("Canary", "Soaking", "Wave", "Complete")]
    assert stages == ["Canary", "Soaking", "Wave", "Complete"]
    assert [mode(lab, node) for node in NODES] == ["Enforce", "Enforce"]
    status = lab.tier_nodes()["patched"]["status"]
    assert status["engine"] == "PhysicalCall"
    assert status["source"] == "IdlePage"
    assert {each["type"]: each["status"] for each in status["conditions"]}["Accepted"] == "True"
    assert condition(lab, "stock", "TiersFound")["status"] == "True"
    given = audit.writes_by_name("memorytiernodes")
    assert {node: given[node] for node in NODES} == dict.fromkeys(NODES, 1)
    assert audit.lists() == []
    # Edit: another revision, everywhere.
    first = lab.revisions()["patched"]
    lab.patch("default", {"hotness": {**HOTNESS, "interval": "3s"}})
    lab.wait("the edit is everywhere", lambda: ready(lab) and lab.revisions()["patched"] != first, SECONDS)
    asked = audit.requests(FIELD_MANAGER)
    assert [each["verb"] for each in asked].count("list") == 0, "they listed when they started, and not again"
    for node in NODES:
        own = [each for each in asked if each["objectRef"].get("name") == node]
        assert {each["verb"] for each in own} <= {"patch", "watch"}
        changes = [each for each in own if each["verb"] == "patch"]
        assert all(each["responseStatus"]["code"] == 200 for each in changes)
        # Two revisions, and what few conditions changed; counters once a minute at most.
        assert 2 <= len(changes) <= 10 + (time.monotonic() - began) / 60, len(changes)
    # Pages move, by the kernel's own count, until it is paused.
    for node in NODES:
        start = agents.migrated_pages(node)
        lab.wait(f"pages move on {node}", lambda: agents.migrated_pages(node) > start + 256, SECONDS)  # noqa: B023
    lab.patch("default", {"paused": True})
    lab.wait("both say so", lambda: all(mode(lab, node) == "Paused" for node in NODES), SECONDS)
    time.sleep(3)
    before = {node: lab.tier_nodes()[node]["status"]["counters"]["rounds"] for node in NODES}
    moved = {node: agents.migrated_pages(node) for node in NODES}
    time.sleep(20)
    assert {node: agents.migrated_pages(node) for node in NODES} == moved
    lab.wait("rounds go on", lambda: all(
        lab.tier_nodes()[node]["status"]["counters"]["rounds"] > before[node] for node in NODES
    ), SECONDS)  # fmt: skip
    lab.patch("default", {"paused": False})
    lab.wait("both go on", lambda: all(mode(lab, node) == "Enforce" for node in NODES), SECONDS)


@pytest.mark.usefixtures("agents")
def test_a_canary_that_trips_is_rolled_back_and_the_other_is_left_alone(lab: Objects) -> None:
    lab.policy("default", nodeSelector=SELECTOR, rollout=ROLLOUT, hotness=HOTNESS, guards=GUARDS, rules=RULES)
    lab.wait("it is ready", lambda: ready(lab), SECONDS)
    good = {lab.revisions()[node] for node in NODES}
    assert len(good) == 1
    audit = Audit(lab.server.audit_log)
    audit.mark()
    # Not one page may come back.
    lab.policy(
        "default",
        nodeSelector=SELECTOR,
        rollout={**ROLLOUT, "soak": "1h"},
        hotness=HOTNESS,
        guards={**GUARDS, "pingPong": {"window": "10m", "maxPercent": 0, "action": "Stop"}},
        rules=RULES,
    )
    lab.wait(
        "it is rolled back", lambda: lab.condition("default", "RolledBack").get("status") == "True", SECONDS
    )
    assert lab.condition("default", "RolledBack")["reason"] == "PingPong"
    given = audit.writes_by_name("memorytiernodes")
    (canary,) = [node for node in NODES if given[node]]
    assert given[canary] == 2, "given it, and given the good one again"
    assert {lab.revisions()[node] for node in NODES} == good
    lab.wait("it applies the good one", lambda: {
        lab.tier_nodes()[node]["status"].get("revision") for node in NODES
    } == good, SECONDS)  # fmt: skip


def test_a_policy_that_goes_leaves_nodes_observing(lab: Objects, agents: NodeAgents) -> None:
    lab.policy("default", nodeSelector=SELECTOR, rollout=ROLLOUT, hotness=HOTNESS, guards=GUARDS, rules=RULES)
    lab.wait("it is ready", lambda: ready(lab), SECONDS)
    assert lab.server.kubectl("delete", "mtp", "default", "--timeout=10s").status == 0
    lab.wait("both observe", lambda: all(mode(lab, node) == "Observe" for node in NODES), SECONDS)
    assert all("policy" not in lab.tier_nodes()[node]["status"] for node in NODES)
    assert condition(lab, "patched", "Migrating")["reason"] == "NoPolicy"
    moved = {node: agents.migrated_pages(node) for node in NODES}
    time.sleep(20)
    assert {node: agents.migrated_pages(node) for node in NODES} == moved


def test_an_agents_log_tells_of_no_failure(agents: NodeAgents) -> None:
    for node in NODES:
        said = agents.log(node)
        assert "Traceback" not in said
        assert "orbidden" not in said
