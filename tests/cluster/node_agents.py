"""Agents as processes on the nodes of a lab's cluster, each with a token like the one its pod would have."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import yaml

from tests.cluster import apiserver
from tests.cluster.apiserver import CRDS, ApiServer
from tests.cluster.running import Cluster
from tests.commands import CHECKOUT, Ended
from tests.lab.cache import Cache, default_root
from tests.lab.cluster import cluster as lab_cluster
from tests.lab.cluster.plan import API_SERVER

NAMESPACE = "thermocline-system"
ACCOUNT = "thermocline-agent"
CHART = CHECKOUT / "charts/thermocline"
_FOLDER = "/run/agent-under-test"
_ROLES = {
    "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
}  # fmt: skip


def server_of(cluster: Cluster) -> ApiServer:
    """The cluster's API server, with our CRDs and the chart's roles."""
    plan = lab_cluster.load(Cache(default_root()), cluster.name)
    address = yaml.safe_load(plan.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    port = urlsplit(address).port
    assert port is not None
    server = apiserver.connect(plan, port)
    for crd in CRDS:
        done = server.kubectl("apply", "--server-side", "-f", crd)
        assert done.status == 0, done.err
    server.kubectl("create", "namespace", NAMESPACE)
    rendered = cluster.lab(
        "helm", "template", "thermocline", str(CHART), "-n", NAMESPACE, "--set", "image.registry=x"
    ).text
    roles = [each for each in yaml.safe_load_all(rendered) if each["kind"] in _ROLES]
    done = server.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(roles))
    assert done.status == 0, done.err
    return server


def kubeconfig(server: ApiServer, node: str) -> str:
    """What the node's agent reaches the API server by."""
    token = server.kubectl(
        "create", "token", ACCOUNT, "-n", NAMESPACE, "--duration=2h",
        "--bound-object-kind=Node", f"--bound-object-name={node}",
    )  # fmt: skip
    assert token.status == 0, token.err
    found = yaml.safe_load(server.kubeconfig.read_text())
    found["clusters"][0]["cluster"]["server"] = API_SERVER
    found["users"][0]["user"] = {"token": token.text.strip()}
    return json.dumps(found)


@dataclass(frozen=True, slots=True)
class NodeAgents:
    """Running agents."""

    cluster: Cluster

    def shell(self, node: str, program: str, timeout_seconds: float = 300) -> Ended:
        """Run a shell's program on a node."""
        return self.cluster.lab("console", node, "--", "sh", "-c", program, timeout_seconds=timeout_seconds)

    def start(self, node: str, config: str, *words: str) -> None:
        """Start a node's agent, which goes on after the console has closed."""
        text = base64.b64encode(config.encode()).decode()
        command = shlex.join(
            ["thermocline-agent", "run", f"--node={node}", f"--kubeconfig={_FOLDER}/kubeconfig", *words]
        )
        done = self.shell(
            node,
            f"mkdir -p {_FOLDER} && umask 077 && echo {text} | base64 -d >{_FOLDER}/kubeconfig && "
            f"(setsid {command} </dev/null >>{_FOLDER}/log 2>&1 & echo $! >{_FOLDER}/pid)",
        )
        assert done.status == 0, done.err

    def stop(self, node: str) -> None:
        """End it, and wait until it has."""
        program = f"pid=$(cat {_FOLDER}/pid) && kill $pid && while kill -0 $pid; do sleep 0.2; done"
        self.shell(node, program)

    def log(self, node: str) -> str:
        """What it said."""
        return self.shell(node, f"tail -c 8000 {_FOLDER}/log").out.decode(errors="replace")

    def migrated_pages(self, node: str) -> int:
        """Pages that the kernel has migrated on a node, by whomever: pgmigrate_success of /proc/vmstat."""
        line = self.shell(node, "grep '^pgmigrate_success ' /proc/vmstat").text
        return int(line.split()[1])


@contextmanager
def running(cluster: Cluster, configs: Mapping[str, str]) -> Iterator[NodeAgents]:
    """An agent on each of the nodes, for as long as the block runs; what they said is shown when it fails."""
    agents = NodeAgents(cluster)
    started = []
    try:
        for node, config in configs.items():
            agents.start(node, config)
            started.append(node)
        yield agents
    except BaseException:
        for node in started:
            print(f"--- agent of {node}\n{agents.log(node)}")
        raise
    finally:
        for node in started:
            agents.stop(node)
