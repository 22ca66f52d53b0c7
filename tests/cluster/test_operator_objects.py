"""The operator among objects that make no sense, or are others by the time that it acts on them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import faults, operators
from tests.cluster.agents import API, Agents
from tests.cluster.faults import Proxy
from tests.cluster.operators import FAST, NODES, Audit, Objects

pytestmark = pytest.mark.cluster

_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ANYTHING = {"x-kubernetes-preserve-unknown-fields": True}


@contextmanager
def without_validation(objects: Objects, *plurals: str) -> Iterator[None]:
    """The API server takes whatever is a spec or a status of these kinds, for as long as the block runs."""
    paths = [f"{_CRDS}/{plural}.thermocline.dev" for plural in plurals]
    whole = {path: objects.server.ask("GET", path).body for path in paths}
    try:
        for path, crd in whole.items():
            weak = copy.deepcopy(crd)
            properties = weak["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
            properties |= {"spec": _ANYTHING, "status": _ANYTHING}
            put(objects, path, weak)
        yield
    finally:
        for path, crd in whole.items():
            current = objects.server.ask("GET", path).body
            current["spec"] = crd["spec"]
            put(objects, path, current)


def put(objects: Objects, path: str, body: Any) -> None:
    answer = objects.server.ask("PUT", path, json.dumps(body), kind="application/json")
    assert answer.code == 200, answer.body


def write_past_validation(objects: Objects, plural: str, manifests: Sequence[dict[str, Any]]) -> None:
    """Write objects that the API server refuses as its CRDs stand, and know that they are kept."""
    kind = {"memorytiernodes": "MemoryTierNode", "memorytierpolicies": "MemoryTierPolicy"}[plural]

    def is_taken(manifest: dict[str, Any]) -> bool:
        body = {"apiVersion": "thermocline.dev/v1alpha1", "kind": kind, **manifest}
        name, path = manifest["metadata"]["name"], f"{API}/{plural}"
        made = objects.server.ask("POST", path, json.dumps(body), kind="application/json")
        if "status" in manifest:
            text = json.dumps({"status": manifest["status"]})
            objects.server.ask("PATCH", f"{path}/{name}/status", text, kind="application/merge-patch+json")
        found = objects.server.ask("GET", f"{path}/{name}").body
        parts = [part for part in ("spec", "status") if part in manifest]
        return made.code in (201, 409) and all(found.get(part) == manifest[part] for part in parts)

    assert not any(map(is_taken, manifests)), "the API server refuses them"
    with without_validation(objects, plural):
        for manifest in manifests:
            objects.wait("the API server takes it", lambda manifest=manifest: is_taken(manifest))  # type: ignore[misc]
    # Whoever changes a CRD has the API server begin anew with its objects.
    objects.wait("they are served", lambda: objects.server.ask("GET", f"{API}/{plural}").code == 200)


def test_nodes_that_make_no_sense_keep_no_other_from_being_served(
    objects: Objects, played: Agents, audit: Audit, tmp_path: Path
) -> None:
    bad: dict[str, dict[str, Any]] = {
        "n1": {"spec": "text"},
        "n2": {
            "spec": {"paused": False},
            "status": {"counters": {"promotedBytes": "many"}, "conditions": []},
        },
    }
    played.silent |= set(bad)
    manifests: list[dict[str, Any]] = [{"metadata": {"name": name}, **parts} for name, parts in bad.items()]
    write_past_validation(objects, "memorytiernodes", manifests)
    log = tmp_path / "operator.log"
    with operators.running(objects.server.kubeconfig, log):
        audit.mark()
        objects.add_nodes(*NODES)
        objects.policy("default", rollout={**FAST, "maxUnavailable": 1})
        good = set(NODES) - set(bad)
        objects.wait("all others have it", lambda: all(
            objects.tier_nodes().get(name, {}).get("status", {}).get("policy") == "default" for name in good
        ))  # fmt: skip
        objects.wait("they are named", lambda: (
            objects.condition("default", "Degraded").get("message", "").count("makes no sense") == len(bad)
        ))  # fmt: skip
    message = objects.condition("default", "Degraded")["message"]
    assert (
        "n1: has a MemoryTierNode that makes no sense: its spec cannot be read: 'text' is no object"
        in message
    )
    assert "n2: has a MemoryTierNode that makes no sense: its status cannot be read: 'many'" in message
    assert "MemoryTierNode n1 makes no sense" in log.read_text()
    written = audit.writes_by_name("memorytiernodes")
    assert {name: written[name] for name in good} == dict.fromkeys(good, 2), "made, and given the revision"


@pytest.mark.usefixtures("played")
def test_a_policy_that_makes_no_sense_keeps_no_other_from_being_served(
    objects: Objects, audit: Audit, tmp_path: Path
) -> None:
    manifests: list[dict[str, Any]] = [
        {"metadata": {"name": "of-text"}, "spec": "text"},
        {"metadata": {"name": "of-words"}, "spec": {"mode": "Nonsense", "priority": 900}},
    ]
    write_past_validation(objects, "memorytierpolicies", manifests)
    log = tmp_path / "operator.log"
    with operators.running(objects.server.kubeconfig, log):
        objects.settle(*NODES)
        audit.mark()
        objects.policy("default", rollout=FAST)
        objects.wait_ready("default")
        objects.wait("it says so", lambda: objects.status("of-words").get("phase") == "Invalid")
    assert audit.writes_by_name("memorytiernodes") == dict.fromkeys(NODES, 1)
    assert {each["spec"]["policy"] for each in objects.tier_nodes().values()} == {"default"}
    # The API server itself can give no status to one whose spec is no object.
    for name in ("of-text", "of-words"):
        assert f"MemoryTierPolicy {name} makes no sense" in log.read_text()


@pytest.mark.usefixtures("played")
@pytest.mark.parametrize("is_new", [True, False], ids=["made", "changed"])
def test_a_node_that_cannot_be_written_keeps_no_other_from_being_served(
    objects: Objects, proxy: Proxy, tmp_path: Path, is_new: bool
) -> None:
    refused = ["n1"] if is_new else []

    def forbid(method: str, path: str) -> int | None:
        """As an admission policy would: one node, that which comes first when none is named."""
        if method != "PATCH" or f"{API}/memorytiernodes/" not in path:
            return None
        name = path.partition("?")[0].rpartition("/")[2]
        if not refused:
            refused.append(name)
        return 403 if name in refused else None

    log = tmp_path / "operator.log"
    with operators.running(proxy.kubeconfig(tmp_path / "kubeconfig"), log):
        if is_new:
            proxy.fault = forbid
            objects.add_nodes("n1")
            objects.settle(*NODES[1:])
        else:
            objects.settle(*NODES)
            proxy.fault = forbid
        objects.policy("default", rollout={**FAST, "maxUnavailable": 1})
        objects.wait("all others have it", lambda: sum(
            each.get("status", {}).get("policy") == "default" for each in objects.tier_nodes().values()
        ) == len(NODES) - 1)  # fmt: skip
        assert f"PATCH {API}/memorytiernodes/{refused[0]}" in log.read_text()
        proxy.fault = faults.none
        objects.wait_ready("default")


def touched(objects: Objects) -> None:
    """Somebody changes n1's object."""
    body = json.dumps({"metadata": {"labels": {"somebody": "was-here"}}})
    path = f"{API}/memorytiernodes/n1"
    assert objects.server.ask("PATCH", path, body, kind="application/merge-patch+json").code == 200


def replaced(objects: Objects) -> None:
    """Somebody deletes n1's object, and makes another of the name."""
    assert objects.server.ask("DELETE", f"{API}/memorytiernodes/n1").code == 200
    body = {"apiVersion": "thermocline.dev/v1alpha1", "kind": "MemoryTierNode", "metadata": {"name": "n1"},
            "spec": {}}  # fmt: skip
    made = objects.server.ask("POST", f"{API}/memorytiernodes", json.dumps(body), kind="application/json")
    assert made.code == 201


@pytest.mark.parametrize("change", [touched, replaced])
def test_an_object_is_deleted_only_as_it_was_when_that_was_decided(
    objects: Objects,
    played: Agents,
    proxy: Proxy,
    audit: Audit,
    tmp_path: Path,
    change: Callable[[Objects], None],
) -> None:
    with operators.running(proxy.kubeconfig(tmp_path / "kubeconfig"), tmp_path / "operator.log"):
        objects.settle(*NODES)
        played.silent.add("n1")
        audit.mark()
        kept: list[Any] = []

        def meanwhile(method: str, path: str) -> None:
            """Between the decision and the delete, the node is back, and its object is another."""
            if method == "DELETE" and path.endswith("/memorytiernodes/n1") and not kept:
                objects.add_nodes("n1")
                change(objects)
                kept.append(objects.tier_nodes()["n1"])

        proxy.fault = meanwhile
        assert objects.server.ask("DELETE", "/api/v1/nodes/n1").code == 200
        objects.wait("it was to be deleted", lambda: kept)
        proxy.fault = faults.none
        # Whoever was refused goes on: the node is a node as any other.
        played.silent.clear()
        played.report("n1")
        objects.policy("default", rollout=FAST)
        objects.wait_ready("default")
        assert objects.tier_nodes()["n1"]["metadata"]["uid"] == kept[0]["metadata"]["uid"]
    deletes = [
        each["responseStatus"]["code"]
        for each in audit.requests()
        if each["verb"] == "delete" and each["objectRef"]["resource"] == "memorytiernodes"
    ]
    assert deletes == [409]
