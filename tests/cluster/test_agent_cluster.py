"""The agent's side of Kubernetes against a real API server: watches, statuses, bad days. Nodes are objects here."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import faults
from tests.cluster.agents import API
from tests.cluster.faults import AWAY, CUT, EMPTY, SILENT, Proxy
from tests.cluster.operators import Audit, Objects
from thermocline_agent.cluster.api import FIELD_MANAGER, Api, configure
from thermocline_agent.cluster.client import NodeClient, Options
from thermocline_agent.cluster.watch import Patience
from thermocline_agent.manifest import schema
from thermocline_agent.report import Report, RoundReport
from thermocline_api.conditions import Condition, Status
from thermocline_api.node import AgentMode, Counters, NodeStatus
from thermocline_api.settings import Mode

pytestmark = pytest.mark.cluster

CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/memorytiernodes.thermocline.dev"
SETTINGS = {"mode": "Enforce", "rules": [{"name": "everything"}]}
SOON = Patience(server_seconds=600, silence_seconds=3.0)


def give(objects: Objects, name: str, revision: str | None = "r1", **spec: Any) -> None:
    """What the operator would write."""
    if revision is not None:
        spec = {"policy": "default", "revision": revision, "settings": SETTINGS, **spec}
    body = {"apiVersion": "thermocline.dev/v1alpha1", "kind": "MemoryTierNode",
            "metadata": {"name": name}, "spec": {"paused": False, **spec}}  # fmt: skip
    path = f"{API}/memorytiernodes/{name}?fieldManager=thermocline-operator&force=true"
    answer = objects.server.ask("PATCH", path, json.dumps(body), kind="application/apply-patch+yaml")
    assert answer.code in (200, 201), answer.body


@contextmanager
def agent(
    kubeconfig: Path, name: str = "n1", ttl: float = 900.0, patience: Patience | None = None
) -> Iterator[NodeClient]:
    """A node's side of Kubernetes, for as long as the block runs."""
    client = NodeClient(
        Api(configure(kubeconfig)), schema("MemoryTierNode"), Options(name, ttl, patience or Patience())
    )
    client.start()
    try:
        yield client
    finally:
        client.close()


def follow(client: NodeClient, number: int, *, tripped: bool = False) -> None:
    """What a loop does each round: ask, and report."""
    now = client.current()
    mode = AgentMode(now.settings.mode) if now.settings else AgentMode.OBSERVE
    at = datetime.now(UTC)
    status = NodeStatus(
        observed_generation=now.generation,
        policy=now.policy,
        revision=now.revision,
        mode=AgentMode.PAUSED if now.paused else mode,
        counters=Counters(since=at, rounds=number),
        conditions=(
            Condition("GuardTripped", Status(str(tripped)), "PingPong" if tripped else "Quiet", "", at),
        ),
    )
    client.publish(Report(at, 1.0, status, RoundReport(number)))


def status(objects: Objects, name: str = "n1") -> dict[str, Any]:
    found: dict[str, Any] = objects.tier_nodes()[name].get("status", {})
    return found


def condition(objects: Objects, kind: str) -> dict[str, Any]:
    return next((each for each in status(objects).get("conditions", []) if each["type"] == kind), {})


def test_it_follows_its_own_object_and_knows_its_own_pods(objects: Objects, audit: Audit) -> None:
    server = objects.server
    give(objects, "n1")
    give(objects, "n2", "other")
    for name, node in (("mine", "n1"), ("theirs", "n2")):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"kind": "batch"}},
               "spec": {"nodeName": node, "containers": [{"name": "c", "image": "none"}],
                        "automountServiceAccountToken": False}}  # fmt: skip
        server.kubectl("create", "serviceaccount", "default")
        made = server.kubectl("apply", "-f", "-", text=json.dumps(pod))
        assert made.status == 0, made.err
    try:
        with agent(server.kubeconfig) as client:
            objects.wait("it follows", lambda: client.current().revision == "r1")
            objects.wait("it knows the pod", client.pods)
            (pod_,) = client.pods().values()
            assert (pod_.namespace, pod_.name, pod_.labels) == ("default", "mine", {"kind": "batch"})
            assert pod_.namespace_labels == {"kubernetes.io/metadata.name": "default"}
            assert server.kubectl("label", "namespace", "default", "tier=web").status == 0
            objects.wait("it knows the label", lambda: [
                each for each in client.pods().values() if each.namespace_labels.get("tier") == "web"
            ])  # fmt: skip
            assert server.kubectl("delete", "pod", "mine", "--force", "--grace-period=0").status == 0
            objects.wait("it knows that the pod is gone", lambda: not client.pods())
            give(objects, "n2", "another")
            give(objects, "n1", "r2")
            objects.wait("it follows an edit", lambda: client.current().revision == "r2")
            asked = audit.requests(FIELD_MANAGER)
            assert [each["verb"] for each in asked].count("list") == 3
            uris = {each["requestURI"].partition("?")[0]: each["requestURI"] for each in asked}
            assert "fieldSelector=metadata.name%3Dn1" in uris[f"{API}/memorytiernodes"]
            assert "fieldSelector=spec.nodeName%3Dn1" in uris["/api/v1/pods"]
    finally:
        server.kubectl("label", "namespace", "default", "tier-")
        server.kubectl("delete", "pod", "mine", "theirs", "--force", "--grace-period=0", "--ignore-not-found")


def test_a_change_is_written_once_and_counters_seldom(objects: Objects, audit: Audit) -> None:
    give(objects, "n1")
    with agent(objects.server.kubeconfig) as client:
        objects.wait("it follows", lambda: client.current().revision == "r1")
        audit.mark()
        for number in range(1, 31):
            follow(client, number, tripped=number > 20)
            time.sleep(0.1)
        objects.wait("the last is told", lambda: condition(objects, "GuardTripped").get("status") == "True")
        give(objects, "n1", "r2")
        objects.wait("it follows", lambda: client.current().revision == "r2")
        follow(client, 31, tripped=True)
        objects.wait("it says so", lambda: status(objects)["revision"] == "r2")
        time.sleep(1)
        writes = [
            each["verb"] for each in audit.requests(FIELD_MANAGER) if each["verb"] not in ("watch", "list")
        ]
    assert writes == ["patch"] * 3, "the first, a guard that tripped, another revision"
    found = status(objects)
    assert found["agentVersion"]
    assert condition(objects, "Accepted")["status"] == "True"
    managers = {each["manager"] for each in objects.tier_nodes()["n1"]["metadata"]["managedFields"]}
    assert managers == {"thermocline-operator", "thermocline-agent"}


def test_a_later_agent_goes_on_with_the_times_of_conditions(objects: Objects) -> None:
    give(objects, "n1")
    times = []
    for number in (1, 2):
        with agent(objects.server.kubeconfig) as client:
            objects.wait("it follows", lambda: client.current().revision == "r1")
            follow(client, number, tripped=True)
            objects.wait("it tells", lambda: status(objects).get("counters", {}).get("rounds") == number)  # noqa: B023
        times.append(condition(objects, "GuardTripped")["lastTransitionTime"])
        time.sleep(1.5)
    assert times[0] == times[1]


def test_a_spec_past_validation_is_refused_and_the_old_one_stays(objects: Objects) -> None:
    give(objects, "n1")
    whole = objects.server.ask("GET", CRD).body
    weak = copy.deepcopy(whole)
    root = weak["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del root["properties"]["settings"]["properties"]["watermarks"]["x-kubernetes-validations"]
    wrong = {**SETTINGS, "watermarks": {"demoteBelow": "20%", "demoteUntil": "10%"}}

    def served() -> bool:
        body = {"apiVersion": "thermocline.dev/v1alpha1", "kind": "MemoryTierNode", "metadata": {"name": "n1"},
                "spec": {"policy": "default", "revision": "r2", "settings": wrong}}  # fmt: skip
        path = f"{API}/memorytiernodes/n1?fieldManager=thermocline-operator&force=true"
        answer = objects.server.ask("PATCH", path, json.dumps(body), kind="application/apply-patch+yaml")
        return answer.code == 200

    assert not served(), "the API server refuses it"
    with agent(objects.server.kubeconfig) as client:
        objects.wait("it follows", lambda: client.current().revision == "r1")
        try:
            assert objects.server.ask("PUT", CRD, json.dumps(weak), kind="application/json").code == 200
            objects.wait("the API server takes it", served, 30)
        finally:
            current = objects.server.ask("GET", CRD).body
            current["spec"] = whole["spec"]
            assert objects.server.ask("PUT", CRD, json.dumps(current), kind="application/json").code == 200
        objects.wait("it refuses", lambda: client.current().problem is not None)
        # Whoever changes a CRD has the API server begin anew with its objects.
        objects.wait(
            "they are served", lambda: objects.server.ask("GET", f"{API}/memorytiernodes").code == 200
        )
        assert client.current().revision == "r1"
        follow(client, 1)
        objects.wait("it says so", lambda: condition(objects, "Accepted").get("status") == "False")
        said = condition(objects, "Accepted")
        assert said["reason"] == "Invalid"
        assert "write a demoteUntil that is larger" in said["message"]
        assert status(objects)["revision"] == "r1"
        give(objects, "n1", "r3")
        objects.wait("it follows what is right again", lambda: client.current().revision == "r3")
        assert client.current().problem is None


def test_while_the_api_server_is_away_the_policy_holds_up_to_the_ttl(
    objects: Objects, proxy: Proxy, audit: Audit, tmp_path: Path
) -> None:
    give(objects, "n1")
    with agent(proxy.kubeconfig(tmp_path / "kubeconfig"), ttl=4.0) as client:
        objects.wait("it follows", lambda: client.current().revision == "r1")
        audit.mark()
        proxy.fault = lambda *_: AWAY
        proxy.drop()
        time.sleep(1)
        now = client.current()
        assert now.settings is not None
        assert (now.settings.mode, now.problem) == (Mode.ENFORCE, None)
        objects.wait("it only observes", lambda: client.current().problem, 10)
        now = client.current()
        assert now.settings is not None
        assert (now.settings.mode, now.revision) == (Mode.OBSERVE, "r1")
        assert "has not been heard for" in str(now.problem)
        give(objects, "n1", "r2")
        proxy.fault = faults.none
        # It goes on from where its watch ended, without a list.
        objects.wait("it is back", lambda: client.current().revision == "r2", 90)
        now = client.current()
        assert now.settings is not None
        assert (now.settings.mode, now.problem) == (Mode.ENFORCE, None)
        assert "list" not in [each["verb"] for each in audit.requests(FIELD_MANAGER)]


def test_paused_is_heard_at_once_and_a_policy_that_goes_ends_all(objects: Objects) -> None:
    give(objects, "n1", settings={**SETTINGS, "onDelete": "PromoteBack"})
    with agent(objects.server.kubeconfig) as client:
        objects.wait("it follows", lambda: client.current().revision == "r1")
        give(objects, "n1", paused=True, settings={**SETTINGS, "onDelete": "PromoteBack"})
        began = time.monotonic()
        objects.wait("it stops", lambda: client.current().paused)
        assert time.monotonic() - began < 2
        give(objects, "n1", settings={**SETTINGS, "onDelete": "PromoteBack"})
        objects.wait("it goes on", lambda: not client.current().paused)
        give(objects, "n1", None)
        objects.wait("it knows", lambda: client.current().policy is None)
        back = client.current().settings
        assert back is not None
        assert [rule.placement for rule in back.rules] == ["PinFast"]
        follow(client, 0)
        objects.wait("it says so", lambda: condition(objects, "Accepted").get("reason") == "BringingBack")
        for number in range(1, 6):
            follow(client, number)
        assert client.current().settings is None, "nothing more comes back"
        # The object itself may go, too: nothing holds it.
        give(objects, "n1", "r2")
        objects.wait("it follows", lambda: client.current().revision == "r2")
        assert objects.server.kubectl("delete", "mtn", "n1", "--timeout=10s").status == 0
        objects.wait("it follows nobody", lambda: client.current().settings is None)
        give(objects, "n1", "r3")
        objects.wait("it follows another object", lambda: client.current().revision == "r3")
        follow(client, 7)
        objects.wait("it reports to that", lambda: status(objects).get("revision") == "r3")


@pytest.mark.parametrize("how", [410, 429, 500, CUT, AWAY])
def test_it_gets_through_what_fails(objects: Objects, proxy: Proxy, tmp_path: Path, how: int | str) -> None:
    give(objects, "n1")
    with agent(proxy.kubeconfig(tmp_path / "kubeconfig")) as client:
        objects.wait("it follows", lambda: client.current().revision == "r1")
        for number in (2, 3):
            left = [3]

            def fault(_method: str, _path: str, left: list[int] = left) -> int | str | None:
                left[0] -= 1
                return how if left[0] >= 0 else None

            proxy.fault = fault
            proxy.drop()
            give(objects, "n1", f"r{number}")
            objects.wait("it follows", lambda: client.current().revision == f"r{number}")  # noqa: B023
            follow(client, number)
            objects.wait("it tells", lambda: status(objects).get("revision") == f"r{number}")  # noqa: B023
        assert proxy.faults >= 4


def test_a_list_that_lacks_its_object_takes_nothing_away(
    objects: Objects, proxy: Proxy, tmp_path: Path
) -> None:
    give(objects, "n1")
    with agent(proxy.kubeconfig(tmp_path / "kubeconfig")) as client:
        objects.wait("it follows", lambda: client.current().revision == "r1")
        lists, expired = [0], [True]

        def fault(method: str, path: str) -> int | str | None:
            if "/memorytiernodes?" not in path or method != "GET":
                return None
            if "watch=true" in path:
                return 410 if expired and expired.pop() else None
            lists[0] += 1
            return EMPTY

        proxy.fault = fault
        proxy.drop()
        objects.wait("it lists", lambda: lists[0])
        for _ in range(20):
            assert client.current().revision == "r1"
            time.sleep(0.1)


def test_a_silent_watch_is_noticed(objects: Objects, proxy: Proxy, tmp_path: Path) -> None:
    give(objects, "n1")
    with agent(proxy.kubeconfig(tmp_path / "kubeconfig"), patience=SOON, ttl=6.0) as client:
        objects.wait("it follows", lambda: client.current().revision == "r1")
        proxy.fault = lambda _, path: SILENT if "watch=true" in path else None
        proxy.drop()
        time.sleep(0.5)
        give(objects, "n1", "r2")
        # A list tells what the watch does not.
        objects.wait("it follows", lambda: client.current().revision == "r2", 30)
        # Where not even lists come any more, a watch that is taken is no sign of life.
        proxy.fault = lambda _, path: SILENT if "watch=true" in path else AWAY
        objects.wait("it only observes", lambda: client.current().problem, 30)
