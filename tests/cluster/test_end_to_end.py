"""The product, end to end: the chart installed, a policy applied, and pages moved, by the kernel's own figures."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.cluster.running import Cluster
from tests.demo import workload
from tests.demo.stage import SECONDS, SYSTEM, Gauge, Stage

# Half an hour on two cores: `pytest -m long tests/cluster/test_end_to_end.py`.
pytestmark = [pytest.mark.cluster, pytest.mark.long]

NODES = ("patched", "stock")
# No rule of the policy is about it.
BYSTANDER = """
import time
held = bytearray(b"x" * (8 << 20))
print("holding", flush=True)
time.sleep(86400)
"""
# Its pods are left alone by default, whatever a rule selects.
EXEMPT = "kube-system"
# Of every namespace, and what our chart has besides in none.
KUBERNETES_OWN = {"configmap/kube-root-ca.crt", "serviceaccount/default"}
GLOBAL_KINDS = (
    "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,"
    "customresourcedefinitions,priorityclasses"
)
OURS = "app.kubernetes.io/part-of=thermocline"


@pytest.fixture(scope="module")
def stage(cluster: Cluster) -> Iterator[Stage]:
    """A cluster with the chart installed, and the workloads with redis' values on slow memory."""
    found = Stage(cluster)
    found.install()
    yield found
    cluster.lab("kubectl", "delete", "namespace", workload.NAMESPACE, "--ignore-not-found", "--wait=false")


def vmstat(cluster: Cluster, node: str) -> dict[str, int]:
    text = cluster.console(node, "cat", "/proc/vmstat")
    return {name: int(count) for name, count in (line.split() for line in text.splitlines())}


def fast_and_slow(cluster: Cluster, node: str, pod: str, namespace: str) -> list[int]:
    """Anonymous bytes of a pod on nodes 0 and 1, by its cgroup's memory.numa_stat."""
    uid = cluster.get("pod", pod, "-n", namespace)["metadata"]["uid"]
    line = cluster.console(
        node, "sh", "-c", f"grep -h '^anon ' /sys/fs/cgroup/kubepods/*/pod{uid}/memory.numa_stat"
    )
    by_node = dict(word.split("=") for word in line.split()[1:])
    return [int(by_node.get(f"N{number}", 0)) for number in (0, 1)]


def capabilities(stage: Stage, node: str) -> dict[tuple[str, str], bool]:
    told = stage.tier_node(node)["status"]["capabilities"]
    return {(each["kind"], each["name"]): each["available"] for each in told}


def test_agents_tell_what_their_nodes_can_do(stage: Stage) -> None:
    cluster = stage.cluster
    for node in (*NODES, "dram"):
        cluster.wait(partial(stage.condition, node, "TiersFound"), f"{node}'s report", SECONDS)
    assert {node: stage.condition(node, "TiersFound")["status"] for node in NODES} == dict.fromkeys(
        NODES, "True"
    )
    assert stage.condition("dram", "TiersFound")["reason"] == "NoSlowTier"
    assert capabilities(stage, "patched")["Engine", "PhysicalCall"], "the call goes through the pod's seccomp"
    assert not capabilities(stage, "stock")["Engine", "PhysicalCall"]
    assert capabilities(stage, "stock")["Engine", "Damon"], "DAMON is written to from the pod"
    pods = cluster.get("pods", "-n", SYSTEM)["items"]
    assert {
        pod["metadata"]["name"]: pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods
    } == (dict.fromkeys((pod["metadata"]["name"] for pod in pods), 0))


def test_helms_test_passes(stage: Stage) -> None:
    done = stage.cluster.lab(
        "helm", "test", "thermocline", "-n", SYSTEM, "--logs", "--timeout", "10m", timeout_seconds=700
    )
    assert done.status == 0, done.out.decode() + done.err
    assert "node patched: its agent reports, and has two tiers" in done.text
    assert "node dram: its agent reports NoSlowTier" in done.text


def test_the_operator_is_let_into_a_restricted_namespace(stage: Stage) -> None:
    cluster = stage.cluster
    cluster.kubectl("create", "namespace", "restricted")
    cluster.kubectl("label", "namespace", "restricted", "pod-security.kubernetes.io/enforce=restricted")
    try:
        for owner, refused in (
            ("deployment/thermocline-operator", False),
            ("daemonset/thermocline-agent", True),
        ):
            spec = cluster.get(owner, "-n", SYSTEM)["spec"]["template"]["spec"]
            spec = {**spec, "serviceAccountName": "default"}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "restricted"},
                   "spec": spec}  # fmt: skip
            overrides = json.dumps(pod)
            done = cluster.lab("kubectl", "run", "x", "-n", "restricted", "--image=x", "--dry-run=server",
                               f"--overrides={overrides}", "--override-type=merge")  # fmt: skip
            assert ("violates PodSecurity" in done.err) is refused, done.err
            assert (done.status != 0) is refused, done.err
    finally:
        cluster.kubectl("delete", "namespace", "restricted", "--wait=false")


def moved(gauge: Gauge, counter: str) -> int:
    """By how much a counter of the kernel grew since the first reading."""
    assert gauge.last is not None
    return gauge.last.counters[counter] - gauge.readings[0].counters[counter]


def test_a_policy_brings_hot_values_to_dram_and_keeps_the_batch_job_to_its_share(stage: Stage) -> None:
    cluster = stage.cluster
    for node in NODES:
        cluster.run(f"bystander-{node}", node, BYSTANDER, ready=True)
        # The batch job's rule would have half of it go.
        cluster.run(f"exempt-{node}", node, BYSTANDER, ready=True, namespace=EXEMPT, labels="kind=batch")
    before = vmstat(cluster, "dram")["pgmigrate_success"]
    stage.start_workloads()
    for node in NODES:
        placed = stage.place(node)
        assert placed["pages"] >= workload.VALUES * 0.9
        assert placed["slow"] >= placed["pages"] * 0.98
    with stage.watching() as gauges:
        cluster.wait(lambda: all(gauge.last for gauge in gauges.values()), "readings", SECONDS)
        stage.apply(workload.policy("DryRun"))
        for node in NODES:
            cluster.wait(partial(stage.follows, node, "DryRun"), f"DryRun on {node}", SECONDS)
            cluster.wait(partial(stage.plan, node), f"{node}'s plan", SECONDS)
        for gauge in gauges.values():
            assert gauge.last is not None
            assert gauge.last.hot <= 0.05, "DryRun moves nothing"
            assert gauge.last.batch[1] == 0, "DryRun moves nothing"
        stage.apply(workload.policy("Enforce"))
        deadline = time.monotonic() + SECONDS
        share = workload.BATCH_SHARE_PERCENT / 100
        for node, gauge in gauges.items():
            while gauge.last is None or gauge.last.hot < 0.9 or abs(gauge.last.batch_share - share) > 0.05:
                assert time.monotonic() < deadline, f"{node}: {gauge.last}\n{cluster.kubectl('get', 'mtn')}"
                time.sleep(2)
        hot_pages = workload.VALUES // workload.HOT_EVERY
        assert moved(gauges["patched"], "move_phy_pages_success") >= hot_pages
        assert "move_phy_pages_success" not in gauges["stock"].readings[0].counters
        assert moved(gauges["stock"], "pgmigrate_success") >= hot_pages
    assert stage.tier_node("patched")["status"]["engine"] == "PhysicalCall"
    assert stage.tier_node("stock")["status"]["engine"] == "Damon"
    for node in NODES:
        for pod, namespace in ((f"bystander-{node}", "default"), (f"exempt-{node}", EXEMPT)):
            fast, slow = fast_and_slow(cluster, node, pod, namespace)
            assert (fast >= 8 << 20, slow) == (True, 0), f"no rule is about {pod}, so it lost nothing"
    after = vmstat(cluster, "dram")
    assert (after["move_phy_pages_success"], after["pgmigrate_success"]) == (0, before)
    assert stage.condition("dram", "TiersFound")["reason"] == "NoSlowTier"


def is_gone(cluster: Cluster, node: str) -> bool:
    """Whether no process of ours is left on a node."""
    return not re.search("thermocline-(agent|operator)", cluster.console(node, "ps", "-eo", "args"))


def left_in_namespace(cluster: Cluster) -> set[str]:
    """Objects in the chart's namespace that are not in every one, Events apart: those end by themselves."""
    kinds = cluster.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    listed = ",".join(kind for kind in kinds if not kind.startswith("events"))
    return set(cluster.kubectl("get", listed, "-n", SYSTEM, "-o", "name").split()) - KUBERNETES_OWN


def test_nothing_is_left_when_it_is_uninstalled(stage: Stage) -> None:
    cluster = stage.cluster
    pods = cluster.get("pods", "-n", SYSTEM)["items"]
    uids = [pod["metadata"]["uid"] for pod in pods]
    done = cluster.lab("helm", "uninstall", "thermocline", "-n", SYSTEM, "--wait", "--timeout", "10m")
    assert done.status == 0, done.err
    # Helm keeps what `helm test` has made, for people to read its log.
    cluster.kubectl("delete", "pod", "thermocline-check", "-n", SYSTEM, "--ignore-not-found")
    kept = cluster.get("crds", "-l", OURS)["items"]
    assert len(kept) == 2, "crds.keep"
    cluster.kubectl("delete", "crd", *(each["metadata"]["name"] for each in kept))
    cluster.wait(lambda: not cluster.get(GLOBAL_KINDS, "-l", OURS)["items"], "objects to go", SECONDS)
    cluster.wait(lambda: not left_in_namespace(cluster), "objects of the namespace to go", SECONDS)
    assert "thermocline.dev" not in cluster.kubectl("api-versions")
    for node in (*NODES, "dram"):
        cluster.wait(partial(is_gone, cluster, node), f"processes of {node} to end", SECONDS)
        admin = "/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds"
        assert cluster.console(node, "cat", admin) == "0\n"
        # An empty folder, which a pod cannot remove from its node: it is mounted there.
        assert cluster.console(node, "ls", "-A", "/run/thermocline") == ""
        assert "thermocline" not in cluster.console(node, "cat", "/proc/net/unix")
        groups = cluster.console(node, "find", "/sys/fs/cgroup/kubepods", "-type", "d")
        assert not [uid for uid in uids if uid in groups]
