"""The chart as tests render and install it: values that are tried, and helm."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.operators import Objects
from tests.commands import CHECKOUT, Ended

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


def kubeconfig(objects: Objects, path: Path, account: str, node: str | None = None) -> Path:
    """Of a service account, bound to a node as a pod's token is."""
    bound = [] if node is None else ["--bound-object-kind=Node", f"--bound-object-name={node}"]
    token = objects.server.kubectl("create", "token", account, "-n", NAMESPACE, *bound)
    assert token.status == 0, token.err
    found = yaml.safe_load(objects.server.kubeconfig.read_text())
    found["users"][0]["user"] = {"token": token.text.strip()}
    path.write_text(yaml.safe_dump(found))
    return path
