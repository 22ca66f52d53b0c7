"""etcd, API server, controller manager and scheduler, as processes of the cluster's namespace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tests.lab.cluster import network
from tests.lab.cluster.plan import CONTROL_PLANE_IP, SERVICE_CIDR, Plan

# Who wrote what, without bodies: enough to count writes per object and client.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {
            "level": "Metadata",
            "verbs": ["create", "update", "patch", "delete", "deletecollection", "list", "watch"],
        },
        {"level": "None"},
    ],
}


COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def start(plan: Plan, binaries: Path, components: Sequence[str] = COMPONENTS) -> None:
    """Start all four, or those named; they find each other when they are ready, in any order."""
    logs = plan.home / "logs"
    logs.mkdir(exist_ok=True)
    policy = plan.home / "audit-policy.json"
    policy.write_text(json.dumps(AUDIT_POLICY))
    flags = flags_of(plan)
    for name in components:
        words = [f"--{flag}={value}" for flag, value in flags[name].items()]
        network.start(plan, [binaries / name, *words], logs / f"{name}.log")


def flags_of(plan: Plan) -> dict[str, dict[str, str | Path]]:
    """Each component's flags."""
    pki = plan.home / "pki"
    etcd = "http://127.0.0.1:2379"
    return {
        "etcd": {
            "data-dir": plan.home / "etcd",
            "listen-client-urls": etcd,
            "advertise-client-urls": etcd,
            "listen-peer-urls": "http://127.0.0.1:2380",
            # A lab's data need not survive a power cut, and a sync costs more than all the rest.
            "unsafe-no-fsync": "true",
        },
        "kube-apiserver": {
            "etcd-servers": etcd,
            "bind-address": CONTROL_PLANE_IP,
            "advertise-address": CONTROL_PLANE_IP,
            "service-cluster-ip-range": SERVICE_CIDR,
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "allow-privileged": "true",
            "client-ca-file": pki / "ca.crt",
            "tls-cert-file": pki / "apiserver.crt",
            "tls-private-key-file": pki / "apiserver.key",
            "kubelet-certificate-authority": pki / "ca.crt",
            "kubelet-client-certificate": pki / "apiserver-to-kubelet.crt",
            "kubelet-client-key": pki / "apiserver-to-kubelet.key",
            "kubelet-preferred-address-types": "InternalIP",
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "service-account-signing-key-file": pki / "service-account.key",
            "service-account-key-file": pki / "service-account.pub",
            "audit-policy-file": plan.home / "audit-policy.json",
            "audit-log-path": plan.home / "logs" / "audit.log",
        },
        "kube-controller-manager": {
            "kubeconfig": pki / "controller-manager.kubeconfig",
            "service-account-private-key-file": pki / "service-account.key",
            "root-ca-file": pki / "ca.crt",
            "use-service-account-credentials": "true",
            "leader-elect": "false",
        },
        "kube-scheduler": {"kubeconfig": pki / "scheduler.kubeconfig", "leader-elect": "false"},
    }
