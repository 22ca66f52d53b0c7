"""The lab's cluster: real nodes that pods run on, reach the API server from, and come back on after a power cut."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import pytest

from tests.cluster.running import Cluster
from thermocline_api import __version__

pytestmark = pytest.mark.cluster

NODES = ("patched", "stock", "dram")
# Asks the API server by the address that every pod is told, with the token that every pod has.
ASKS = """
import json, os, ssl, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount"
request = urllib.request.Request(
    f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}/version",
    headers={"Authorization": "Bearer " + open(f"{folder}/token").read()})
context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
print(json.load(urllib.request.urlopen(request, context=context, timeout=20))["gitVersion"])
"""
# Holds 32 MiB that it has written to, and says so.
HOLDS = """
import time
held = bytearray(b"x" * (32 << 20))
print("holding", flush=True)
time.sleep(3600)
"""
LISTENS = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from a pod")
print("listening", flush=True)
http.server.HTTPServer(("", 8080), Handler).serve_forever()
"""


def test_all_nodes_are_ready_and_are_what_their_names_say(cluster: Cluster) -> None:
    nodes = {node["metadata"]["name"]: node for node in cluster.get("nodes")["items"]}
    assert set(nodes) == set(NODES)
    for node in nodes.values():
        (ready,) = [c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready"]
        assert ready == "True"
        assert node["status"]["nodeInfo"]["kubeletVersion"].startswith("v1.36.")
        assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://2.")
    kernels = {name: node["status"]["nodeInfo"]["kernelVersion"] for name, node in nodes.items()}
    assert kernels["stock"].endswith("-amd64")
    assert kernels["patched"] == kernels["dram"] != kernels["stock"]
    memory = {
        name: cluster.console(name, "cat", "/sys/devices/system/node/has_memory").strip() for name in NODES
    }
    assert memory == {"patched": "0-1", "stock": "0-1", "dram": "0"}


def test_status_tells_the_nodes(cluster: Cluster) -> None:
    lines = cluster.lab("cluster", "status").text.splitlines()
    assert [line.split() for line in lines] == [
        ["NODE", "KERNEL", "MACHINE", "KUBERNETES"],
        ["patched", "patched", "on", "Ready"],
        ["stock", "stock", "on", "Ready"],
        ["dram", "patched", "on", "Ready"],
    ]


@pytest.mark.parametrize("node", NODES)
def test_a_pod_asks_the_api_server_through_the_service(cluster: Cluster, node: str) -> None:
    name = f"asks-{node}"
    cluster.run(name, node, ASKS)
    version = json.loads(cluster.kubectl("get", "--raw", "/version"))["gitVersion"]
    assert cluster.kubectl("logs", name) == f"{version}\n"
    assert cluster.get("pod", name)["status"]["phase"] == "Succeeded"


@pytest.mark.parametrize("node", ["patched", "stock"])
def test_the_node_knows_whose_a_pods_pages_are(cluster: Cluster, node: str) -> None:
    name = f"holds-{node}"
    cluster.run(name, node, HOLDS, ready=True)
    cluster.wait(lambda: "holding" in cluster.kubectl("logs", name), f"{name} to hold", 60)
    uid = cluster.get("pod", name)["metadata"]["uid"]
    groups = cluster.console(
        node, "find", "/sys/fs/cgroup/kubepods", "-type", "d", "-name", f"pod{uid}"
    ).split()
    assert len(groups) == 1
    inodes = cluster.console(node, "find", groups[0], "-type", "d", "-printf", "%i\\n").split()
    count = (
        "import sys, numpy; from thermocline_kernel import kpage, zoneinfo; from thermocline_kernel.host import Host\n"
        "wanted = numpy.array(sys.argv[1:], dtype=numpy.uint64)\n"
        "zones = zoneinfo.zones(Host())\n"
        "print(sum(int(numpy.isin(kpage.cgroups(Host(), z.start_pfn, z.spanned_pages), wanted).sum()) for z in zones))"
    )
    pages = int(cluster.console(node, "python3", "-c", count, *inodes))
    # 32 MiB and the interpreter; the node has 786,432 pages.
    assert 8192 <= pages < 20_000


def test_logs_exec_and_port_forward(cluster: Cluster) -> None:
    cluster.run("listens", "patched", LISTENS, ready=True)
    cluster.wait(lambda: cluster.kubectl("logs", "listens") == "listening\n", "listens to listen", 60)
    assert cluster.kubectl("exec", "listens", "--", "sh", "-c", "hostname; exit 0") == "listens\n"
    failed = cluster.lab("kubectl", "exec", "listens", "--", "sh", "-c", "exit 7")
    assert failed.status == 7
    with cluster.started("kubectl", "port-forward", "pod/listens", ":8080") as forward:
        assert forward.stdout is not None
        match = re.match(rb"Forwarding from 127\.0\.0\.1:(\d+)", forward.stdout.readline())
        assert match
        with urllib.request.urlopen(f"http://127.0.0.1:{int(match[1])}/", timeout=20) as answer:
            assert answer.read() == b"from a pod"


def test_pods_of_different_nodes_reach_each_other(cluster: Cluster) -> None:
    cluster.run("serves", "dram", LISTENS, ready=True)
    cluster.wait(lambda: cluster.kubectl("logs", "serves") == "listening\n", "serves to listen", 60)
    address = cluster.get("pod", "serves")["status"]["podIP"]
    program = (
        f"import urllib.request as u; print(u.urlopen('http://{address}:8080/', timeout=20).read().decode())"
    )
    cluster.run("visits", "stock", program)
    assert cluster.kubectl("logs", "visits") == "from a pod\n"


def test_helm_reaches_the_cluster(cluster: Cluster) -> None:
    assert cluster.lab("helm", "list", "-A", "-o", "json").json == []


def test_what_a_real_cluster_has_on_is_on(cluster: Cluster) -> None:
    """RBAC, NodeRestriction, admission policies, and the node's name in the tokens of its pods."""
    assert cluster.lab("kubectl", "auth", "can-i", "get", "nodes", "--as=somebody").out == b"no\n"
    kubelet = ["--as=system:node:patched", "--as-group=system:nodes", "--as-group=system:authenticated"]
    own = cluster.lab("kubectl", "label", "node", "patched", "example.com/own=1", *kubelet)
    assert own.status == 0, own.err
    reserved = cluster.lab(
        "kubectl", "label", "node", "patched", "node-restriction.kubernetes.io/x=1", *kubelet
    )
    assert reserved.status != 0
    assert "is not allowed to modify labels: node-restriction.kubernetes.io/x" in reserved.err
    program = (
        "import base64, json\n"
        "token = open('/var/run/secrets/kubernetes.io/serviceaccount/token').read().split('.')[1]\n"
        "print(json.loads(base64.urlsafe_b64decode(token + '=='))['kubernetes.io']['node']['name'])\n"
    )
    cluster.run("claims", "stock", program)
    assert cluster.kubectl("logs", "claims") == "stock\n"


POLICY = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": "no-such-name"},
    "spec": {
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE"],
                    "resources": ["configmaps"],
                }
            ]
        },
        "validations": [{"expression": "object.metadata.name != 'refused'", "message": "not that name"}],
    },
}
BINDING = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicyBinding",
    "metadata": {"name": "no-such-name"},
    "spec": {"policyName": "no-such-name", "validationActions": ["Deny"]},
}


def test_admission_policies_are_in_force(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "List", "items": [POLICY, BINDING]})
    )
    cluster.kubectl("apply", "-f", str(tmp_path / "policy.json"))

    def refused() -> bool:
        asked = cluster.lab("kubectl", "create", "configmap", "refused", "--dry-run=server")
        return asked.status != 0 and "not that name" in asked.err

    cluster.wait(refused, "the policy to come into force", 30)
    assert cluster.lab("kubectl", "create", "configmap", "allowed", "--dry-run=server").status == 0
    cluster.kubectl("delete", "-f", str(tmp_path / "policy.json"))


def test_the_projects_images_and_commands_are_there(cluster: Cluster) -> None:
    for who in ("agent", "operator"):
        cluster.kubectl("run", f"{who}-version", f"--image=thermocline.dev/{who}:dev", "--restart=Never",
                        "--overrides", '{"spec": {"nodeName": "dram"}}', "--", "--version")  # fmt: skip
    for who in ("agent", "operator"):
        name = f"{who}-version"
        cluster.wait_until_over(name)
        assert cluster.kubectl("logs", name) == f"thermocline-{who} {__version__}\n"
    assert (
        cluster.console("patched", "thermocline-agent", "--version") == f"thermocline-agent {__version__}\n"
    )


# Python Reference, "Cached bytecode invalidation"; PEP 552: the lowest bit of the flags says that it goes by a hash.
COMPILED = """
import pathlib, sys
site = pathlib.Path("/opt/thermocline/lib").glob("python3*/site-packages")
sources = [path for folder in site for path in folder.rglob("*.py")]
cached = [path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc" for path in sources]
print(len(sources) > 100, sum(not (path.exists() and path.read_bytes()[4] & 1) for path in cached))
"""


def test_no_container_compiles_what_it_starts(cluster: Cluster) -> None:
    cluster.kubectl("run", "compiled", "--image=thermocline.dev/operator:dev", "--restart=Never", "--overrides",
                    '{"spec": {"nodeName": "dram"}}', "--command", "--", "python3", "-c", COMPILED)  # fmt: skip
    cluster.wait_until_over("compiled")
    assert cluster.kubectl("logs", "compiled") == "True 0\n"


def test_a_node_that_loses_power_comes_back(cluster: Cluster) -> None:
    boot = cluster.console("stock", "cat", "/proc/sys/kernel/random/boot_id")
    restarted = cluster.lab("cluster", "restart", "stock")
    assert restarted.status == 0, restarted.err
    assert cluster.console("stock", "cat", "/proc/sys/kernel/random/boot_id") != boot
    assert ["stock", "stock", "on", "Ready"] in [
        line.split() for line in cluster.lab("cluster", "status").text.splitlines()
    ]
    assert cluster.console("stock", "cat", "/sys/devices/system/node/has_memory") == "0-1\n"
    cluster.run("after", "stock", ASKS)
    assert cluster.kubectl("logs", "after").startswith("v1.36.")


def test_a_second_cluster_of_the_name_is_refused(cluster: Cluster) -> None:
    second = cluster.lab("cluster", "up")
    assert second.status == 2
    assert second.err == (
        f"lab: cluster '{cluster.name}' is up already: use it, end it by "
        f"`python3 -m tests.lab cluster down --name {cluster.name}`, or give another --name\n"
    )


def test_a_node_that_is_not_there_is_told(cluster: Cluster) -> None:
    for words in (["console", "stok", "--", "true"], ["cluster", "restart", "stok"]):
        ended = cluster.lab(*words)
        assert ended.status == 2
        assert ended.err == (
            f"lab: there is no node 'stok' in cluster '{cluster.name}': name one of patched, stock, dram\n"
        )
