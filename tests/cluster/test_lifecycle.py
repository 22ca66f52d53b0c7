"""What happens to an installed chart: an upgrade, a rollback, nodes that are drained and rebooted, and its end."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.running import Cluster
from tests.demo.stage import CHART, SECONDS, SYSTEM, Stage

# Half an hour on two cores: `pytest -m long tests/cluster/test_lifecycle.py`.
pytestmark = [pytest.mark.cluster, pytest.mark.long]

MIB = 1 << 20
# What one minute may move of it: enough is left to move for as long as these tests take.
PER_MINUTE_BYTES = 12 * MIB
HELD_BYTES = 192 * MIB
INTERVAL_SECONDS = 5
# thermocline_agent.budget: a pod's bucket keeps one folio, and gets the rest of the minute's bytes by and by.
KEPT_BYTES = 2 * MIB
RATE_BYTES = (PER_MINUTE_BYTES - KEPT_BYTES) / 60
HOLDS = f"""
import time
held = bytearray(b"x" * {HELD_BYTES})
print("holding", flush=True)
time.sleep(86400)
"""
POLICY: dict[str, Any] = {
    "apiVersion": "thermocline.dev/v1alpha1",
    "kind": "MemoryTierPolicy",
    "metadata": {"name": "sink"},
    "spec": {
        "mode": "Enforce",
        "hotness": {"sources": ["IdlePage", "Damon"], "interval": f"{INTERVAL_SECONDS}s", "cpuLimit": "1"},
        "migration": {"perPodPerMinute": str(PER_MINUTE_BYTES)},
        "guards": {"memoryPressure": {"someAvg60": "10000bp", "fullAvg10": "10000bp"}},
        "rules": [
            {"name": "held", "podSelector": {"matchLabels": {"run": "held"}}, "placement": "PreferSlow"}
        ],
        "rollout": {"canary": "100%", "maxUnavailable": "100%", "soak": "1s"},
    },
}


def previous_chart(folder: Path) -> Path:
    """The chart as an earlier release might have been: of a lower version, its CRD without a column."""
    chart = shutil.copytree(CHART, folder / "previous", symlinks=False)
    about = chart / "Chart.yaml"
    about.write_text(re.sub(r"(?m)^version: .*", "version: 0.0.9", about.read_text()))
    file = chart / "files/memorytierpolicies.yaml"
    crd = yaml.safe_load(file.read_text())
    del crd["spec"]["versions"][0]["additionalPrinterColumns"][-1]
    file.write_text(yaml.safe_dump(crd))
    return chart


def columns(stage: Stage) -> list[str]:
    """The columns of `kubectl get mtp`."""
    crd = stage.cluster.get("crd", "memorytierpolicies.thermocline.dev")
    return [each["name"] for each in crd["spec"]["versions"][0]["additionalPrinterColumns"]]


@pytest.fixture(scope="module")
def stage(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A cluster with an earlier chart installed, and a pod that holds memory on the patched node."""
    found = Stage(cluster)
    found.install(chart=previous_chart(tmp_path_factory.mktemp("chart")))
    cluster.run("held", "patched", HOLDS, ready=True)
    yield found
    cluster.kubectl("delete", "pod", "held", "--wait=false")


def moved_bytes(stage: Stage) -> int:
    """What move_phy_pages(2) has moved on the patched node since it booted."""
    text = stage.cluster.console("patched", "grep", "^move_phy_pages_success ", "/proc/vmstat")
    return int(text.split()[1]) * 4096


def agent_pods(stage: Stage) -> dict[str, Any]:
    """The agents' pods by node."""
    found = stage.cluster.get("pods", "-n", SYSTEM, "-l", "app.kubernetes.io/name=thermocline-agent")["items"]
    return {pod["spec"]["nodeName"]: pod for pod in found if "deletionTimestamp" not in pod["metadata"]}


def reports(stage: Stage, node: str, since: int) -> bool:
    """Whether the node's agent has counted rounds, fewer than that: a new one."""
    rounds = stage.tier_node(node).get("status", {}).get("counters", {}).get("rounds", 0)
    return bool(0 < rounds < since)


def started(pod: Any) -> float:
    """When a pod's container started, in seconds since 1970; the API server has whole ones."""
    at = pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    return datetime.fromisoformat(at).timestamp()


def test_an_upgrade_while_pages_move_spends_no_budget_twice(stage: Stage) -> None:
    cluster = stage.cluster
    stage.apply(POLICY)
    cluster.wait(lambda: moved_bytes(stage) > KEPT_BYTES, "pages to move", SECONDS)
    before = agent_pods(stage)["patched"]
    assert moved_bytes(stage) <= RATE_BYTES * (time.time() + 1 - started(before))
    old = columns(stage)
    stage.install("agent.podAnnotations.upgraded=yes")
    # Its CRDs move with it.
    assert len(columns(stage)) == len(old) + 1
    after = agent_pods(stage)["patched"]
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    between = moved_bytes(stage)
    cluster.wait(lambda: moved_bytes(stage) - between > KEPT_BYTES, "pages to move again", SECONDS)
    # Its bucket was empty when it started.
    assert moved_bytes(stage) - between <= RATE_BYTES * (time.time() + 1 - started(after))


def test_an_image_that_is_missing_is_told_and_a_rollback_mends_it(stage: Stage) -> None:
    cluster = stage.cluster
    done = stage.try_to_install("image.tag=missing", timeout="45s")
    assert done.status != 0

    def is_told() -> bool:
        return "ErrImageNeverPull" in [
            each["state"]["waiting"]["reason"]
            for pod in cluster.get("pods", "-n", SYSTEM)["items"]
            for each in pod["status"].get("containerStatuses", [])
            if "waiting" in each["state"]
        ]

    cluster.wait(is_told, "the missing image to be told", SECONDS)
    # One node's agent at a time: the others go on.
    running = [pod for pod in agent_pods(stage).values() if pod["status"]["containerStatuses"][0]["ready"]]
    assert len(running) >= 2
    back = cluster.lab("helm", "rollback", "thermocline", "-n", SYSTEM, "--wait", "--timeout", "15m",
                       timeout_seconds=1000)  # fmt: skip
    assert back.status == 0, back.err
    assert all(pod["status"]["containerStatuses"][0]["ready"] for pod in agent_pods(stage).values())
    assert cluster.get("mtp", "sink")["spec"]["mode"] == "Enforce"


def test_an_agent_that_is_out_of_memory_comes_back_and_pages_stay(stage: Stage) -> None:
    cluster = stage.cluster
    pod = agent_pods(stage)["patched"]
    uid, restarts = pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]
    # Its container's cgroup, and not the pod's: what is started again is given the limit of before.
    limit = f"for each in /sys/fs/cgroup/kubepods/*/pod{uid}/*/memory.max; do echo 4M > $each; done"
    cluster.console("patched", "sh", "-c", limit)

    def killed() -> bool:
        told = agent_pods(stage)["patched"]["status"]["containerStatuses"][0]
        last = told["lastState"].get("terminated", {}).get("reason")
        return bool(told["restartCount"] > restarts and last == "OOMKilled" and told["ready"])

    cluster.wait(killed, "it to be killed and started again", SECONDS)
    before = moved_bytes(stage)
    cluster.wait(lambda: moved_bytes(stage) > before, "pages to move again", SECONDS)
    assert cluster.get("pod", "held")["status"]["phase"] == "Running"


def test_an_agent_that_is_evicted_is_replaced(stage: Stage, tmp_path: Path) -> None:
    cluster = stage.cluster
    before = agent_pods(stage)["stock"]["metadata"]
    rounds = stage.tier_node("stock")["status"]["counters"]["rounds"]
    about = {"name": before["name"], "namespace": SYSTEM}
    eviction = tmp_path / "eviction.json"
    eviction.write_text(json.dumps({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": about}))
    path = f"/api/v1/namespaces/{SYSTEM}/pods/{before['name']}/eviction"
    cluster.kubectl("create", "--raw", path, "-f", str(eviction))

    def replaced() -> bool:
        now = agent_pods(stage).get("stock")
        return now is not None and now["metadata"]["uid"] != before["uid"]

    cluster.wait(replaced, "another", SECONDS)
    cluster.wait(partial(reports, stage, "stock", rounds), "its report", SECONDS)


def test_a_node_that_is_drained_and_rebooted_keeps_its_agent(stage: Stage) -> None:
    cluster = stage.cluster
    rounds = stage.tier_node("stock")["status"]["counters"]["rounds"]
    before = agent_pods(stage)["stock"]["metadata"]["uid"]
    cluster.kubectl("cordon", "stock")
    assert agent_pods(stage)["stock"]["metadata"]["uid"] == before
    cluster.kubectl("drain", "stock", "--ignore-daemonsets", "--delete-emptydir-data", "--force",
                    "--timeout=120s")  # fmt: skip
    assert agent_pods(stage)["stock"]["metadata"]["uid"] == before
    restarted = cluster.lab("cluster", "restart", "stock")
    assert restarted.status == 0, restarted.err
    cluster.kubectl("uncordon", "stock")
    cluster.wait(partial(reports, stage, "stock", max(rounds, 2)), "its report", SECONDS)
    assert stage.condition("stock", "TiersFound")["status"] == "True"
    cluster.wait(partial(stage.follows, "stock", "Enforce"), "it to follow the policy", SECONDS)


def test_it_is_uninstalled_with_its_operator_dead(stage: Stage) -> None:
    cluster = stage.cluster
    cluster.kubectl("scale", "deployment/thermocline-operator", "-n", SYSTEM, "--replicas=0")
    cluster.kubectl("delete", "mtp", "--all", "--timeout=30s")
    done = cluster.lab("helm", "uninstall", "thermocline", "-n", SYSTEM, "--wait", "--timeout", "10m",
                       timeout_seconds=700)  # fmt: skip
    assert done.status == 0, done.err
    crds = ("memorytierpolicies.thermocline.dev", "memorytiernodes.thermocline.dev")
    cluster.kubectl("delete", "crd", *crds, "--timeout=60s")
    assert "thermocline.dev" not in cluster.kubectl("api-versions")
    # With the API gone an agent has nobody to ask, and its pod went with the chart.
    assert agent_pods(stage) == {}
