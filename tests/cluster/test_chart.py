"""The chart before a real API server: what it renders is taken, and says what the pages say."""

from __future__ import annotations

import json
import re
import shutil
import socket
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import monitoring
from tests.cluster.charts import (
    CHART,
    DIGEST,
    MATRIX,
    NAMESPACE,
    documents,
    objects_of,
    render,
    run,
    sets,
)
from tests.cluster.operators import Objects
from tests.commands import CHECKOUT
from thermocline_agent.exporter import Exporter
from thermocline_api import __version__

pytestmark = pytest.mark.cluster


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
