"""The operator against a real API server: nodes are objects that tests write, and agents are played."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path

import pytest

from tests import corpus
from tests.cluster import operators
from tests.cluster.agents import Agents
from tests.cluster.operators import FAST, NAMESPACE, NODES, Audit, Objects

pytestmark = pytest.mark.cluster


@pytest.mark.usefixtures("operator", "played")
def test_a_policy_reaches_its_nodes_by_a_canary_and_waves(objects: Objects, audit: Audit) -> None:
    objects.settle(*NODES)
    audit.mark()
    objects.policy("default", rollout=FAST)
    objects.wait_ready("default")
    status = objects.status("default")
    assert status["nodes"] == {"matched": 5, "updated": 5, "ready": 5, "degraded": 0, "aborted": 0}
    assert set(objects.revisions().values()) == {status["revisions"]["target"]}
    assert status["revisions"]["current"] == status["revisions"]["lastGood"] == status["revisions"]["target"]
    reasons = objects.events("default")
    stages = [each for each in reasons if each in ("Canary", "Soaking", "Wave", "Complete")]
    assert stages == ["Canary", "Soaking", "Wave", "Complete"]
    # What the API server's own log says: one write to each node, and no list.
    assert audit.writes_by_name("memorytiernodes") == dict.fromkeys(NODES, 1)
    assert audit.lists() == []
    # Nothing of a user's is written to but a status.
    assert audit.writes_by_name("memorytierpolicies") == audit.writes_by_name("nodes") == {}
    policies = objects.server.kubectl("get", "mtp", "--no-headers").text.split()
    assert policies[:7] == ["default", "Enforce", "5", "5", "90", "Ready", policies[6]]
    rows = objects.server.kubectl("get", "mtn", "--no-headers").text.splitlines()
    assert [row.split()[:3] for row in rows] == [[name, "default", "Enforce"] for name in NODES]
    described = objects.server.kubectl("describe", "mtp", "default").text
    assert "5 of 5 nodes are ready." in described
    assert "Complete" in described.partition("Events:")[2]


@pytest.mark.usefixtures("operator")
def test_a_node_that_goes_in_the_middle_of_a_wave_is_not_waited_for(objects: Objects, played: Agents) -> None:
    objects.settle(*NODES)
    objects.policy("default", rollout={**FAST, "maxUnavailable": 1, "soak": "10s"})

    def having() -> set[str]:
        return {name for name, revision in objects.revisions().items() if revision is not None}

    objects.wait("a canary has it", having)
    canary = having()
    played.silent = set(NODES) - canary
    objects.wait("one of the others was given it", lambda: len(having()) == 2)
    objects.wait("it says so", lambda: objects.condition("default", "Progressing")["reason"] == "Wave")
    (gone,) = having() - canary
    assert objects.server.ask("DELETE", f"/api/v1/nodes/{gone}").code == 200
    objects.wait("the next one was given it", lambda: gone not in having() and len(having()) == 2)
    played.silent.clear()
    for name in having():
        played.report(name)
    objects.wait_ready("default")
    assert set(objects.tier_nodes()) == set(NODES) - {gone}


@pytest.mark.usefixtures("operator")
def test_a_canary_that_trips_is_rolled_back_and_the_others_are_left_alone(
    objects: Objects, played: Agents, audit: Audit
) -> None:
    objects.settle(*NODES)
    objects.policy("default", rollout=FAST)
    objects.wait_ready("default")
    good = objects.status("default")["revisions"]["lastGood"]
    played.trips = dict.fromkeys(NODES, ("7Mi", "PingPong"))
    audit.mark()
    objects.patch("default", {"migration": {"promoteBandwidth": "7Mi"}})
    objects.wait("rolled back", lambda: objects.condition("default", "RolledBack").get("status") == "True")
    written = audit.writes_by_name("memorytiernodes")
    assert list(written.values()) == [2], "one canary, there and back"
    assert set(objects.revisions().values()) == {good}
    condition = objects.condition("default", "RolledBack")
    (canary,) = written
    assert condition["reason"] == "PingPong"
    assert f"PingPong on {canary}" in condition["message"]
    status = objects.status("default")
    assert status["phase"] == "RolledBack"
    assert status["revisions"]["lastGood"] == good != status["revisions"]["target"]
    assert "RollingBack" in objects.events("default")
    # Corrected, it is rolled out.
    objects.patch("default", {"migration": {"promoteBandwidth": "8Mi"}})
    objects.wait_ready("default")
    assert set(objects.revisions().values()) == {objects.status("default")["revisions"]["target"]}


@pytest.mark.usefixtures("operator")
def test_without_a_good_revision_a_canary_that_trips_only_observes(objects: Objects, played: Agents) -> None:
    objects.settle(*NODES)
    played.trips = dict.fromkeys(NODES, ("7Mi", "Pressure"))
    objects.policy("default", rollout=FAST, migration={"promoteBandwidth": "7Mi"})
    objects.wait("rolled back", lambda: objects.condition("default", "RolledBack").get("status") == "True")
    assert set(objects.revisions().values()) == {None}


@pytest.mark.usefixtures("operator", "played")
def test_paused_reaches_all_nodes_at_once_and_stops_a_rollout(objects: Objects) -> None:
    objects.settle(*NODES)
    objects.policy("default", rollout={**FAST, "soak": "1h"})
    objects.wait(
        "the canary soaks", lambda: objects.condition("default", "Progressing").get("reason") == "Soaking"
    )
    objects.patch("default", {"paused": True})
    objects.wait(
        "all are paused", lambda: all(each["spec"]["paused"] for each in objects.tier_nodes().values())
    )
    objects.wait("agents say so", lambda: all(
        each["status"]["mode"] == "Paused" for each in objects.tier_nodes().values()
    ))  # fmt: skip
    objects.patch("default", {"rollout": {"soak": "0s"}})
    objects.wait("the phase says so", lambda: objects.status("default").get("phase") == "Paused")
    assert sum(revision is not None for revision in objects.revisions().values()) == 1
    objects.patch("default", {"paused": False})
    objects.wait_ready("default")
    assert not any(each["spec"]["paused"] for each in objects.tier_nodes().values())


@pytest.mark.usefixtures("operator", "played")
def test_an_edit_in_the_middle_of_a_rollout_wins(objects: Objects, audit: Audit) -> None:
    objects.settle(*NODES)
    objects.policy("default", rollout={**FAST, "soak": "1h"})
    objects.wait(
        "the canary soaks", lambda: objects.condition("default", "Progressing").get("reason") == "Soaking"
    )
    first = objects.status("default")["revisions"]["target"]
    audit.mark()
    objects.patch("default", {"hotness": {"interval": "30s"}, "rollout": {"soak": "0s"}})
    objects.wait_ready("default")
    revisions = set(objects.revisions().values())
    assert revisions == {objects.status("default")["revisions"]["target"]}
    assert revisions != {first}
    assert audit.writes_by_name("memorytiernodes") == dict.fromkeys(NODES, 1)


@pytest.mark.usefixtures("operator", "played")
def test_a_deleted_policy_leaves_its_nodes_observing(objects: Objects) -> None:
    objects.settle(*NODES)
    objects.policy("default", rollout=FAST)
    objects.wait_ready("default")
    assert objects.server.kubectl("delete", "mtp", "default", "--timeout=10s").status == 0
    objects.wait("nodes are let go", lambda: set(objects.revisions().values()) == {None})
    objects.wait(
        "agents know", lambda: not any("policy" in each["status"] for each in objects.tier_nodes().values())
    )


@pytest.mark.usefixtures("operator", "played")
def test_the_governing_policy_is_named_by_those_that_lose(objects: Objects) -> None:
    objects.settle(*NODES)
    objects.policy("default", rollout=FAST)
    objects.wait_ready("default")
    objects.policy("urgent", rollout={**FAST, "canary": 5, "maxUnavailable": 5}, priority=900)
    objects.wait_ready("urgent")
    objects.wait("default knows", lambda: objects.status("default").get("phase") == "Superseded")
    condition = objects.condition("default", "Superseded")
    assert "urgent governs 5 nodes (priority 900 against 100)" in condition["message"]
    assert {each["spec"]["policy"] for each in objects.tier_nodes().values()} == {"urgent"}
    assert objects.server.kubectl("delete", "mtp", "urgent").status == 0
    objects.wait_ready("default")
    assert {each["spec"]["policy"] for each in objects.tier_nodes().values()} == {"default"}


@pytest.mark.usefixtures("operator", "played")
def test_nodes_come_go_and_change_their_labels(objects: Objects) -> None:
    objects.settle("n1", "n2")
    objects.policy("pool", rollout=FAST, nodeSelector={"matchLabels": {"pool": "cxl"}})
    objects.wait("no node is governed", lambda: objects.status("pool").get("phase") == "Pending")
    assert objects.server.kubectl("label", "node", "n1", "n2", "pool=cxl").status == 0
    objects.wait_ready("pool")
    objects.add_nodes("n3", labels={"pool": "cxl"})
    objects.wait("the new one has it", lambda: objects.revisions().get("n3") is not None)
    assert objects.server.kubectl("delete", "node", "n1").status == 0
    objects.wait("its object goes with it", lambda: set(objects.tier_nodes()) == {"n2", "n3"})
    assert objects.server.kubectl("label", "node", "n2", "pool-").status == 0
    objects.wait("it is let go", lambda: objects.revisions()["n2"] is None)
    objects.wait("it is not counted", lambda: objects.status("pool")["nodes"] == {
        "matched": 1, "updated": 1, "ready": 1, "degraded": 0, "aborted": 0
    })  # fmt: skip


@pytest.mark.usefixtures("operator", "played")
@pytest.mark.parametrize("path", corpus.EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_applied(objects: Objects, path: Path) -> None:
    objects.add_nodes("n1", "n2", labels={"pool": "shared" if path.stem == "team-shares" else "cxl"})
    applied = objects.server.kubectl("apply", "-f", path)
    assert applied.status == 0, applied.err
    (name,) = [each["metadata"]["name"] for each in objects.items("memorytierpolicies")]
    # They soak for ten minutes, as they should; this one at once.
    paused = path.stem == "emergency-stop"
    objects.patch(name, {"rollout": {"soak": "0s"}})
    objects.wait(
        "all nodes have it",
        lambda: None not in objects.revisions().values() and len(objects.revisions()) == 2,
    )
    objects.wait("it says so", lambda: objects.status(name).get("phase") == ("Paused" if paused else "Ready"))
    for node in objects.tier_nodes().values():
        assert node["spec"]["paused"] is paused


@pytest.mark.usefixtures("played")
@pytest.mark.parametrize(
    ("kills", "nodes", "unavailable"), [(3, 12, 2), pytest.param(50, 200, 1, marks=pytest.mark.long)]
)
def test_killed_at_any_point_it_goes_on_and_does_nothing_twice(
    objects: Objects, audit: Audit, tmp_path: Path, kills: int, nodes: int, unavailable: int
) -> None:
    chance = random.Random(7)  # noqa: S311 - not for secrets
    log = tmp_path / "operator.log"
    # The same name for all, so that none waits until its predecessor's lease has run out.
    words = ("--identity", "the-same")
    names = [f"n{number:03d}" for number in range(nodes)]
    with operators.running(objects.server.kubeconfig, log, words):
        objects.settle(*names)

    def given() -> int:
        return sum(revision is not None for revision in objects.revisions().values())

    audit.mark()
    objects.policy("default", rollout={"canary": 1, "maxUnavailable": unavailable, "soak": "0s"})
    for number in range(kills):
        life = tmp_path / f"operator-{number}.log"
        with operators.running(objects.server.kubeconfig, life, words):
            # Two in three are killed as soon as their share of the nodes has the revision, which is all along the
            # rollout; the others at any moment of their start.
            if number % 3:
                share = nodes * number // kills
                objects.wait("it goes on", lambda share=share: given() >= share)  # type: ignore[misc]
            else:
                time.sleep(chance.uniform(0.0, 2.0))
    with operators.running(objects.server.kubeconfig, log, words):
        objects.wait_ready("default", 900)
    assert audit.writes_by_name("memorytiernodes") == dict.fromkeys(names, 1)


@pytest.mark.usefixtures("played")
def test_a_second_replica_waits_for_the_lease(objects: Objects, audit: Audit, tmp_path: Path) -> None:
    kubeconfig = objects.server.kubeconfig
    with (
        operators.running(kubeconfig, tmp_path / "one.log", ("--identity", "one")) as one,
        contextlib.ExitStack() as stack,
    ):
        objects.settle(*NODES)
        stack.enter_context(operators.running(kubeconfig, tmp_path / "two.log", ("--identity", "two")))
        objects.policy("default", rollout=FAST)
        objects.wait_ready("default")
        assert "acting" not in (tmp_path / "two.log").read_text()
        assert one.end() == 0
        objects.policy("default", rollout=FAST, hotness={"interval": "30s"})
        objects.wait_ready("default")
        assert "acting" in (tmp_path / "two.log").read_text()
    assert audit.writes_by_name("memorytiernodes") == dict.fromkeys(NODES, 3), "made, and given two revisions"


@pytest.mark.usefixtures("played")
def test_everything_can_be_deleted_while_the_operator_is_gone(objects: Objects, tmp_path: Path) -> None:
    with operators.running(objects.server.kubeconfig, tmp_path / "operator.log"):
        objects.settle(*NODES)
        objects.policy("default", rollout=FAST)
        objects.wait_ready("default")
    for words in (("mtp", "--all"), ("mtn", "--all"), ("controllerrevisions", "--all", "-n", NAMESPACE)):
        done = objects.server.kubectl("delete", *words, "--timeout=10s")
        assert done.status == 0, done.err
    assert objects.tier_nodes() == {}


@pytest.mark.usefixtures("played")
def test_once_makes_one_pass(objects: Objects, tmp_path: Path) -> None:
    objects.add_nodes(*NODES)
    one = operators.start(objects.server.kubeconfig, tmp_path / "log", "--once")
    assert one.process.wait(60) == 0, one.log.read_text()
    assert set(objects.tier_nodes()) == set(NODES)
    again = operators.start(objects.server.kubeconfig, tmp_path / "again", "--once")
    assert again.process.wait(60) == 0
    assert again.log.read_text().endswith("0 writes\n")
