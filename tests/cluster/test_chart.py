"""The chart before a real API server: what it renders is taken; what it allows is enough, and no more."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import monitoring
from tests.cluster.agents import API
from tests.cluster.operators import Objects
from tests.cluster.test_agent_cluster import agent, follow, give, status
from tests.commands import CHECKOUT, Ended
from tests.lab.build import catalogue
from tests.lab.build.part import Workshop
from tests.lab.cache import Cache, default_root
from thermocline_agent.cluster.api import Api, ApiError, configure
from thermocline_agent.exporter import Exporter
from thermocline_api import __version__

pytestmark = pytest.mark.cluster

CHART = CHECKOUT / "charts/thermocline"
NAMESPACE = "thermocline-system"
REGISTRY = "image.registry=registry.example.com/x"
DIGEST = f"sha256:{64 * '1'}"
TERM = (
    "agent.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
    ".nodeSelectorTerms[0].matchExpressions[0]"
)
MATRIX = {
    "defaults": (),
    "no-crds": ("crds.enabled=false",),
    "crds-go": ("crds.keep=false",),
    "registry": ("image.registry=registry.example.com:5000/x", "image.tag=dev", "image.pullPolicy=Never",
                 "image.pullSecrets[0].name=secret"),
    "digests": (f"agent.digest={DIGEST}", f"operator.digest={DIGEST}"),
    "placed": ("agent.nodeSelector.pool=cxl", "operator.nodeSelector.pool=infra", "agent.tolerations=null",
               "operator.tolerations[0].operator=Exists", "agent.priorityClassName=system-cluster-critical"),
    "no-selector": ("agent.nodeSelector=null", "operator.nodeSelector=null"),
    # As docs/install.md has it.
    "affinity": (f"{TERM}.key=feature.node.kubernetes.io/memory-numa", f"{TERM}.operator=Exists"),
    "seccomp": ("agent.seccomp.type=Localhost", "agent.seccomp.localhostProfile=profiles/thermocline.json"),
    "seccomp-default": ("agent.seccomp.type=RuntimeDefault",),
    "selinux": ("agent.seLinuxOptions.type=spc_t",),
    "least": ("agent.capabilities=null",),
    "by-hand": ("agent.updateStrategy.type=OnDelete", "agent.podAnnotations.a=b", "operator.podAnnotations.a=b"),
    "monitored": ("monitoring.podMonitor.enabled=true", "monitoring.podMonitor.labels.release=prometheus",
                  "monitoring.alerts.enabled=true", "monitoring.dashboard.enabled=true",
                  "networkPolicy.enabled=true"),
    "closed": ("networkPolicy.enabled=true", "admissionPolicy.enabled=false"),
}  # fmt: skip


@pytest.fixture(scope="session")
def helm() -> Path:
    workshop = Workshop(Cache(default_root()), catalogue.PARTS)
    (folder,) = workshop.get("helm")
    return folder / "bin/helm"


def run(helm: Path, *words: str | Path) -> Ended:
    done = subprocess.run([helm, *words], capture_output=True, timeout=60, check=False)
    return Ended(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def render(helm: Path, values: Sequence[str], *words: str, chart: Path = CHART) -> str:
    done = run(
        helm,
        "template",
        "thermocline",
        chart,
        "-n",
        NAMESPACE,
        "--kube-version",
        "1.36.0",
        *sets(*values),
        *words,
    )
    assert done.status == 0, done.err
    return done.text


def sets(*values: str) -> list[str]:
    """The words that give values, after a registry."""
    return [word for value in (REGISTRY, *values) for word in ("--set", value)]


class Strict(yaml.SafeLoader):
    """YAML that has no key twice: kustomize and others refuse what has, where PyYAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: a key stands twice in {keys}"
        return super().construct_mapping(node, deep)


def documents(text: str) -> list[str]:
    """Manifests as they are written."""
    return [each for each in re.split(r"^---$", text, flags=re.MULTILINE) if each.strip()]


def objects_of(text: str) -> Iterator[Any]:
    """Manifests as they are read. AssertionError when one has a key twice."""
    return iter(yaml.load_all(text, Strict))


@pytest.mark.parametrize("name", MATRIX)
def test_it_passes_helms_lint(helm: Path, name: str) -> None:
    done = run(helm, "lint", "--strict", CHART, *sets(*MATRIX[name]))
    assert done.status == 0, done.text + done.err


@pytest.mark.parametrize("name", MATRIX)
def test_the_api_server_takes_what_it_renders(objects: Objects, helm: Path, name: str) -> None:
    objects.server.kubectl("create", "namespace", NAMESPACE)
    # The Prometheus operator's kinds are not known to this API server.
    rendered = [
        (text, each)
        for text in documents(render(helm, MATRIX[name]))
        for each in objects_of(text)
        if not is_prometheus_operators(each)
    ]
    found = [each for _, each in rendered]
    kinds = [each["kind"] for each in found]
    # As it is written: what was read and written again would have no faults of writing.
    manifests = "---\n".join(text for text, _ in rendered)
    assert kinds.count("CustomResourceDefinition") == (0 if name == "no-crds" else 2)
    assert kinds.count("ValidatingAdmissionPolicy") == (0 if name == "closed" else 1)
    # They are there before `helm test` makes its pod, which is refused without.
    accounts = yaml.safe_dump_all([each for each in found if each["kind"] == "ServiceAccount"])
    made = objects.server.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=accounts)
    assert made.status == 0, made.err
    done = objects.server.kubectl(
        "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-",
        text=manifests,
    )  # fmt: skip
    assert done.status == 0, done.err
    assert len(done.text.splitlines()) == len(kinds)
    assert "Warning" not in done.err


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("agent.seccomp.type=Localhost", "needs agent.seccomp.localhostProfile"),
        ("agent.seccomp.localhostProfile=x", "is read with type Localhost alone"),
        ("agent.privileged=true", "additional properties 'privileged' not allowed"),
        ("image.registry=", "image.registry: write where you have pushed the images to"),
        ("agent.digest=sha256:1", "does not match pattern"),
        ("agent.seLinuxOptions.tpye=spc_t", "additional properties 'tpye' not allowed"),
        ("image.pullPolicy=Sometimes", "value must be one of 'Always', 'IfNotPresent', 'Never'"),
        ("agent.apiTtl=soon", "does not match pattern"),
        ("agent.capabilities[0]=NET_ADMIN", "value must be one of 'SYS_ADMIN', 'PERFMON'"),
    ],
)
def test_values_that_mean_nothing_are_refused(helm: Path, value: str, sentence: str) -> None:
    done = run(helm, "template", "thermocline", CHART, "--kube-version", "1.36.0", *sets(value))
    assert done.status != 0
    assert sentence in done.err


def test_an_api_server_that_is_too_old_is_refused(helm: Path) -> None:
    done = run(helm, "template", "thermocline", CHART, "--kube-version", "1.31.0", *sets())
    assert done.status != 0
    assert ">=1.32.0-0" in done.err


def test_pods_are_not_made_anew_for_a_new_version_of_the_chart_alone(helm: Path, tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "chart")
    (described,) = objects_of((CHART / "Chart.yaml").read_text())
    described |= {"version": "99.0.0", "appVersion": "99.0.0"}
    (tmp_path / "chart/Chart.yaml").write_text(yaml.safe_dump(described))
    old, new = (
        [each for each in objects_of(render(helm, ("image.tag=dev",), chart=chart))
         if each["kind"] in ("DaemonSet", "Deployment")]
        for chart in (CHART, tmp_path / "chart")
    )  # fmt: skip
    assert [each["metadata"]["labels"]["helm.sh/chart"] for each in new] == ["thermocline-99.0.0"] * 2
    assert [each["spec"] for each in new] == [each["spec"] for each in old]


@pytest.mark.parametrize(
    ("values", "rest"),
    [((), f":{__version__}"), (("image.tag=dev",), ":dev"), (MATRIX["digests"], f"@{DIGEST}"),
     (("image.tag=dev", *MATRIX["digests"]), f"@{DIGEST}")],
)  # fmt: skip
def test_images_are_of_the_registry_that_is_told(helm: Path, values: Sequence[str], rest: str) -> None:
    found = set(re.findall(r"^ *image: (.+)$", render(helm, values), re.MULTILINE))
    assert found == {f"registry.example.com/x/{name}{rest}" for name in ("agent", "operator")}


def is_prometheus_operators(manifest: Any) -> bool:
    found: bool = manifest["apiVersion"].startswith("monitoring.coreos.com/")
    return found


def test_nothing_of_monitoring_is_installed_unless_asked_for(helm: Path) -> None:
    found = list(objects_of(render(helm, ())))
    assert not any(is_prometheus_operators(each) for each in found)
    assert not any(each["kind"] == "ConfigMap" for each in found)


def test_pod_monitors_select_the_pods_and_a_port_that_they_have(helm: Path) -> None:
    found = list(objects_of(render(helm, MATRIX["monitored"])))
    workloads = [each["spec"]["template"] for each in found if each["kind"] in ("DaemonSet", "Deployment")]
    monitors = [each for each in found if each["kind"] == "PodMonitor"]
    assert len(monitors) == len(workloads) == 2
    jobs = set()
    for monitor in monitors:
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        (pod,) = (each for each in workloads if wanted <= each["metadata"]["labels"].items())
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] in {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
        jobs.add(pod["metadata"]["labels"][monitor["spec"]["jobLabel"]])
    assert jobs == {"thermocline-agent", "thermocline-operator"}


def test_agents_are_asked_for_their_metrics_and_ended_for_no_answer(helm: Path) -> None:
    (agents,) = (each for each in objects_of(render(helm, ())) if each["kind"] == "DaemonSet")
    assert agents["spec"]["minReadySeconds"] > 0
    (container,) = agents["spec"]["template"]["spec"]["containers"]
    assert "livenessProbe" not in container
    asked = container["readinessProbe"]["httpGet"]
    (port,) = (each["containerPort"] for each in container["ports"] if each["name"] == asked["port"])
    assert f"--metrics=:{port}" in container["args"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    Exporter().serve(address)
    with urllib.request.urlopen(f"http://{address}{asked['path']}", timeout=30) as answer:
        assert answer.status == 200
        assert b"thermocline_agent_build_info" in answer.read()


def test_rules_and_dashboard_are_the_files(helm: Path) -> None:
    found = list(objects_of(render(helm, MATRIX["monitored"])))
    (rule,) = (each for each in found if each["kind"] == "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(monitoring.RULES.read_text())
    (board,) = (each for each in found if each["kind"] == "ConfigMap")
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(board["data"]["thermocline.json"]) == monitoring.dashboard()


def test_crds_are_kept_unless_they_shall_go(helm: Path) -> None:
    for values, kept in ((MATRIX["defaults"], True), (MATRIX["crds-go"], False)):
        for each in objects_of(render(helm, values)):
            if each["kind"] == "CustomResourceDefinition":
                assert ("helm.sh/resource-policy" in each["metadata"].get("annotations", {})) is kept
                own = yaml.safe_load(
                    (CHECKOUT / "crds" / f"{each['spec']['names']['plural']}.yaml").read_text()
                )
                assert each["spec"] == own["spec"]


def _documented(page: str) -> set[tuple[str, str, str]]:
    """Group, resource and verb of each row of a page's table of what is needed."""
    lines = (CHECKOUT / "docs" / page).read_text().splitlines()
    first = lines.index("| group | resource | verbs | where |") + 2
    found = set()
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        group, resource, verbs, _ = (cell.strip() for cell in line.strip("|").split("|"))
        found |= {("" if group == "(core)" else group, resource, verb.strip()) for verb in verbs.split(",")}
    return found


@pytest.mark.parametrize("component", ["agent", "operator"])
def test_roles_are_what_the_pages_say(helm: Path, component: str) -> None:
    objects = list(objects_of(render(helm, ())))
    bound = {
        each["roleRef"]["name"]
        for each in objects
        if each["kind"].endswith("RoleBinding") and each["subjects"][0]["name"] == f"thermocline-{component}"
    }
    given = {
        (group, f"{resource}, the one named {name}" if name else resource, verb)
        for each in objects
        if each["kind"] in ("Role", "ClusterRole") and each["metadata"]["name"] in bound
        for rule in each["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [None])
        for verb in rule["verbs"]
    }
    assert given == _documented(f"{component}.md")


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


def kubeconfig(objects: Objects, path: Path, account: str, node: str | None = None) -> Path:
    """Of a service account, bound to a node as a pod's token is."""
    bound = [] if node is None else ["--bound-object-kind=Node", f"--bound-object-name={node}"]
    token = objects.server.kubectl("create", "token", account, "-n", NAMESPACE, *bound)
    assert token.status == 0, token.err
    found = yaml.safe_load(objects.server.kubeconfig.read_text())
    found["users"][0]["user"] = {"token": token.text.strip()}
    path.write_text(yaml.safe_dump(found))
    return path


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
