"""The chart in force before a real API server: what its tokens may do is enough, and no more, and what a release is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.agents import API
from tests.cluster.charts import (
    CHART,
    MATRIX,
    NAMESPACE,
    kubeconfig,
    objects_of,
    render,
    run,
    sets,
)
from tests.cluster.operators import Objects
from tests.cluster.test_agent_cluster import agent, follow, give, status
from thermocline_agent.cluster.api import Api, ApiError, configure

pytestmark = pytest.mark.cluster


@pytest.fixture
def installed(objects: Objects, helm: Path) -> Iterator[Objects]:
    """Its roles and its policy, in force; no pods, for there are no nodes."""
    objects.server.kubectl("create", "namespace", NAMESPACE)
    wanted = {
        "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Lease",
        "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
    }  # fmt: skip
    found = [each for each in objects_of(render(helm, ())) if each["kind"] in wanted]
    text = yaml.safe_dump_all(found)
    done = objects.server.kubectl("apply", "-f", "-", text=text)
    assert done.status == 0, done.err
    yield objects
    objects.server.kubectl("delete", "--ignore-not-found", "-f", "-", text=text)


def test_an_agents_token_is_enough_for_its_own_node_and_for_no_more(
    installed: Objects, tmp_path: Path
) -> None:
    objects = installed
    objects.add_nodes("n1", "n2")
    give(objects, "n1")
    give(objects, "n2")
    own = kubeconfig(objects, tmp_path / "own", "thermocline-agent", "n1")
    with agent(own) as client:
        objects.wait("it follows", lambda: client.current().revision == "r1")
        objects.wait("it knows namespaces", lambda: client._register.namespaces.found)
        follow(client, 1)
        objects.wait("it reports", lambda: status(objects).get("revision") == "r1")

    def write(node: str, config: Path = own) -> str:
        """What the API server says to a status of the node; nothing when it takes it."""
        manifest = {"apiVersion": "thermocline.dev/v1alpha1", "kind": "MemoryTierNode",
                    "metadata": {"name": node}, "status": {"policy": "stolen"}}  # fmt: skip
        try:
            Api(configure(config)).apply(f"{API}/memorytiernodes/{node}/status", manifest)
        except ApiError as err:
            return str(err)
        return ""

    assert write("n1") == ""
    objects.wait("the policy is in force", lambda: write("n2"), 60)
    # What was written before that stays as it is.
    before = status(objects, "n2")
    assert "this token is of node 'n1', not of 'n2'" in write("n2")
    assert "this token is of node '', not of 'n1'" in write(
        "n1", kubeconfig(objects, tmp_path / "none", "thermocline-agent")
    )
    for words in (
        ("patch", "mtn", "n1", "--type=merge", "-p", '{"spec":{"paused":true}}'),
        ("annotate", "mtn", "n1", "a=b"),
        ("delete", "mtn", "n1"),
        ("delete", "mtn", "--all"),
        ("get", "mtp"),
        ("get", "secrets", "-A"),
        ("get", "nodes"),
        ("get", "pod", "x", "-n", "default"),
    ):
        done = objects.server.kubectl(f"--kubeconfig={own}", *words)
        assert done.status != 0, words
        assert "orbidden" in done.err, words
    # More than an agent asks for: docs/security.md says what that means.
    assert objects.server.kubectl(f"--kubeconfig={own}", "get", "pods", "-A", "-o", "yaml").status == 0
    assert status(objects, "n2") == before
    assert set(objects.tier_nodes()) == {"n1", "n2"}


def test_what_an_agent_may_not_do_the_policy_forbids_even_with_a_wider_role(
    installed: Objects, tmp_path: Path
) -> None:
    objects = installed
    objects.add_nodes("n1", "n2")
    give(objects, "n1")
    give(objects, "n2")
    own = kubeconfig(objects, tmp_path / "own", "thermocline-agent", "n1")
    wide = objects.server.kubectl(
        "create", "clusterrolebinding", "too-wide", "--clusterrole=cluster-admin",
        f"--serviceaccount={NAMESPACE}:thermocline-agent",
    )  # fmt: skip
    assert wide.status == 0, wide.err
    try:
        for words in (
            ("patch", "mtn", "n1", "--type=merge", "-p", '{"spec":{"paused":true}}'),
            ("delete", "mtn", "n1", "--wait=false"),
            ("delete", "mtn", "--all", "--wait=false"),
        ):
            objects.wait("it is forbidden", lambda: "an agent writes the status" in objects.server.kubectl(
                f"--kubeconfig={own}", *words, "--dry-run=server").err, 60)  # noqa: B023  # fmt: skip
            assert objects.server.kubectl(f"--kubeconfig={own}", *words).status != 0
        assert set(objects.tier_nodes()) == {"n1", "n2"}
    finally:
        objects.server.kubectl("delete", "clusterrolebinding", "too-wide")


def test_the_operators_token_is_enough(installed: Objects, tmp_path: Path) -> None:
    """Its whole work, by its own role: tests/cluster/test_operator.py has it as an administrator."""
    from tests.cluster import agents, operators  # noqa: PLC0415 - fixtures of these names are in use above

    objects = installed
    config = kubeconfig(objects, tmp_path / "operator", "thermocline-operator")
    log = tmp_path / "log"
    with agents.playing(objects.server), operators.running(config, log, ("--namespace", NAMESPACE)):
        objects.settle("n1", "n2")
        objects.policy("default", rollout=operators.FAST)
        objects.wait_ready("default")
        objects.wait("it tells", lambda: "Complete" in objects.events("default"))
        assert objects.server.ask("GET", f"{API}/memorytiernodes/n1").body["spec"]["policy"] == "default"
        assert objects.server.kubectl("delete", "node", "n1").status == 0
        objects.wait("its object goes with it", lambda: set(objects.tier_nodes()) == {"n2"})
    said = log.read_text()
    assert "orbidden" not in said
    objects.server.kubectl("delete", "controllerrevisions", "--all", "-n", NAMESPACE)


def test_helms_test_looks_where_the_daemon_set_wants_agents(
    installed: Objects, helm: Path, tmp_path: Path
) -> None:
    """By the operator's token. Nobody schedules here: the test makes the pods, and counts as the controller would."""
    from tests.cluster import agents, operators  # noqa: PLC0415 - fixtures of these names are in use above

    objects, server = installed, installed.server
    rendered = list(objects_of(render(helm, MATRIX["affinity"])))
    (wanted,) = (each for each in rendered if each["kind"] == "DaemonSet")
    (asking,) = (each for each in rendered if each["metadata"]["name"] == "thermocline-check")
    config = kubeconfig(objects, tmp_path / "operator", "thermocline-operator")

    def put(manifest: Any) -> None:
        done = server.kubectl("apply", "-f", "-", text=yaml.safe_dump(manifest))
        assert done.status == 0, done.err

    def count(nodes: int) -> None:
        status = {"status": {"desiredNumberScheduled": nodes, "currentNumberScheduled": nodes,
                             "numberMisscheduled": 0, "numberReady": 0}}  # fmt: skip
        done = server.kubectl("patch", "daemonset", "thermocline-agent", "-n", NAMESPACE, "--subresource=status",
                              "--type=merge", "-p", json.dumps(status))  # fmt: skip
        assert done.status == 0, done.err

    def check() -> subprocess.CompletedProcess[str]:
        words = [word.replace("4m", "1s") for word in asking["spec"]["containers"][0]["args"]]
        return subprocess.run(
            [sys.executable, "-m", "thermocline_operator", *words, "--kubeconfig", config, "--namespace", NAMESPACE],
            env={**os.environ, "PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    template = wanted["spec"]["template"]
    metadata = {**template["metadata"], "name": "agent-n1", "namespace": NAMESPACE}
    try:
        put(wanted)
        with agents.playing(server), operators.running(config, tmp_path / "log", ("--namespace", NAMESPACE)):
            objects.settle("n1", "n2")
            assert "agents run nowhere" in check().stdout
            put({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                 "spec": {**template["spec"], "nodeName": "n1"}})  # fmt: skip
            count(1)
            objects.wait("all is well", lambda: check().returncode == 0, 60)
            told = check().stdout
            assert "node n1: its agent reports" in told
            assert "n2" not in told
            count(2)
            done = check()
            assert done.returncode == 1
            assert "has pods on 1 of 2 nodes" in done.stdout
    finally:
        server.kubectl("delete", "daemonset,pods", "--all", "-n", NAMESPACE, "--force", "--grace-period=0")
        server.kubectl("delete", "controllerrevisions", "--all", "-n", NAMESPACE)


def test_a_release_leaves_the_lease_to_its_operator_and_takes_it_along(
    objects: Objects, helm: Path, tmp_path: Path
) -> None:
    """Upgrades and rollbacks write beside an operator that acts, and it makes no lease that would be left."""
    from tests.cluster import operators  # noqa: PLC0415 - fixtures of this name are in use above

    server, path = objects.server, f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
    base = ("-n", NAMESPACE, "--kubeconfig", server.kubeconfig)

    def do(*words: str | Path) -> None:
        done = run(helm, *words, *base)
        assert done.status == 0, done.err

    def lease() -> Any:
        (found,) = server.ask("GET", path).body["items"]
        return found

    # The CRDs are there, and of no release, as those that another release kept are not of this one.
    install: list[str | Path] = ["install", "thermocline", CHART, "--create-namespace", *sets()]
    refused = run(helm, *install, *base)
    assert "cannot be imported into the current release" in refused.err
    do(*install, "--take-ownership")
    try:
        assert not lease().get("spec")
        config = kubeconfig(objects, tmp_path / "operator", "thermocline-operator")
        with operators.running(config, tmp_path / "log", ("--namespace", NAMESPACE, "--identity", "me")):
            objects.wait("it acts", lambda: lease().get("spec", {}).get("holderIdentity") == "me")
            do("upgrade", "thermocline", CHART, "--reset-then-reuse-values", "--set", "image.tag=new")
            do("rollback", "thermocline")
            renewed = lease()["spec"]["renewTime"]
            objects.wait("it goes on", lambda: lease()["spec"]["renewTime"] > renewed)
            assert lease()["spec"]["leaseTransitions"] == 0
            # As while it is uninstalled, when pods end last of all.
            server.ask("DELETE", f"{path}/thermocline-operator")
            objects.wait("it may make none", lambda: "orbidden" in (tmp_path / "log").read_text())
            assert server.ask("GET", path).body["items"] == []
            do("upgrade", "thermocline", CHART, "--reset-then-reuse-values")
            objects.wait("it acts again", lambda: lease().get("spec", {}).get("holderIdentity") == "me")
        do("uninstall", "thermocline")
        assert server.ask("GET", path).body["items"] == []
    finally:
        run(helm, "uninstall", "thermocline", "--ignore-not-found", *base)
