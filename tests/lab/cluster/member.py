"""A node of a cluster: the files that make a machine a Kubernetes node, and the machine itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tests.lab import machine as machines
from tests.lab import process
from tests.lab.build.part import LAB
from tests.lab.cluster import network
from tests.lab.cluster.plan import (
    CONTROL_PLANE_IP,
    NODE_CXL_BYTES,
    NODE_MEMORY_BYTES,
    POD_CIDR,
    Member,
    Plan,
)
from tests.lab.machine import Disk, Files, Machine, Slow
from tests.lab.node import GUEST_INIT, shell_settings, write_job

GUEST_NODE = LAB / "guest" / "cluster-node"
# What the cluster is put together from.
PARTS = (
    "kubernetes",
    "containerd",
    "cni",
    "helm",
    "node-binaries",
    "images",
    "rootfs",
    "project",
    "emulator",
)
LABEL = "lab.thermocline.dev/kernel"


def machine_of(member: Member) -> Machine:
    """The hardware of a node, without its disks."""
    return Machine(
        kernel=member.kernel,
        memory_bytes=NODE_MEMORY_BYTES,
        slow=member.slow,
        slow_bytes=NODE_CXL_BYTES,
        tap=member.tap,
        mac=member.mac,
    )


def memory_mib(plan_members: tuple[Member, ...]) -> int:
    """What the machines of these nodes have of memory, of both kinds."""
    slow = sum(NODE_CXL_BYTES for each in plan_members if each.slow is not Slow.NONE)
    return (len(plan_members) * NODE_MEMORY_BYTES + slow) >> 20


def parts(plan_members: tuple[Member, ...]) -> tuple[str, ...]:
    """All parts that a cluster of these nodes needs."""
    return (*PARTS, *sorted({machines.KERNELS[member.kernel] for member in plan_members}))


def prepare(plan: Plan, member: Member) -> None:
    """Make the node's folder: its job and the disks that it writes to. They last as long as the cluster."""
    home = plan.home / member.name
    home.mkdir()
    write_job(home / "job.tar", job_files(plan, member))
    rootfs, images, emulator = (plan.parts[name] for name in ("rootfs", "images", "emulator"))
    for name, image in (("root", rootfs / "rootfs.ext4"), ("images", images / "containerd.ext4")):
        process.output_of(
            [*machines.tool(emulator, "qemu-img"), "create", "-q", "-f", "qcow2", "-F", "raw",
             "-b", image, home / f"{name}.qcow2"]
        )  # fmt: skip


def start(plan: Plan, member: Member) -> None:
    """Switch the node on. Its PID goes to pid, its console to console."""
    home = plan.home / member.name
    project, emulator, binaries = (plan.parts[name] for name in ("project", "emulator", "node-binaries"))
    kernel = plan.parts[machines.KERNELS[member.kernel]]
    disks = [
        Disk(home / "root.qcow2", "writable", "qcow2"),
        Disk(home / "job.tar"),
        Disk(project / "project.ext4"),
        Disk(binaries / "kubernetes.ext4"),
        Disk(home / "images.qcow2", "writable", "qcow2"),
    ]
    if member.kernel == "stock":
        disks.append(Disk(kernel / "modules.ext4"))
    files = Files(emulator, kernel, home / "console")
    machine = replace(machine_of(member), disks=tuple(disks))
    pid = network.start(
        plan, machines.command_line(machine, files), home / "emulator.log", env=machines.environment(files)
    )
    (home / "pid").write_text(str(pid))


def job_files(plan: Plan, member: Member) -> dict[str, bytes]:
    """What guest/init and guest/cluster-node find beside themselves."""
    folder = plan.home / "pki"
    machine = machine_of(member)
    routes = [f"{other.pod_cidr} via {other.ip}" for other in plan.members if other.number != member.number]
    settings = {
        "ROLE": "cluster",
        "HOSTNAME": member.name,
        "CXL": "1" if member.slow is Slow.CXL else "",
        "SHARE": "",
        "MODULES": machines.modules(machine),
        "ADDRESS": member.ip,
        "GATEWAY": CONTROL_PLANE_IP,
        "ROUTES": ",".join(routes),
        "NODE_LABELS": f"{LABEL}={member.kernel}",
    }
    return {
        "init": GUEST_INIT.read_bytes(),
        "cluster-node": GUEST_NODE.read_bytes(),
        "settings": shell_settings(settings),
        "authorized_keys": (folder / "console.pub").read_bytes(),
        "ca.crt": (folder / "ca.crt").read_bytes(),
        "kubelet.crt": (folder / f"{member.name}.crt").read_bytes(),
        "kubelet.key": (folder / f"{member.name}.key").read_bytes(),
        "kubelet.kubeconfig": (folder / f"{member.name}.kubeconfig").read_bytes(),
        "kube-proxy.kubeconfig": (folder / "kube-proxy.kubeconfig").read_bytes(),
        "kubelet.json": json.dumps(kubelet_configuration()).encode(),
        "kube-proxy.json": json.dumps(kube_proxy_configuration(member)).encode(),
        "cni.conflist": json.dumps(cni_configuration(member)).encode(),
        "containerd.toml": CONTAINERD.encode(),
    }


def kubelet_configuration() -> dict[str, object]:
    """KubeletConfiguration, kubelet.config.k8s.io/v1beta1."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": "/run/lab/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": "/run/lab/kubelet.crt",
        "tlsPrivateKeyFile": "/run/lab/kubelet.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        # A node has no resolver: pods find the API server by its service address.
        "resolvConf": "",
        "clusterDomain": "cluster.local",
        "registerWithTaints": [],
        "nodeStatusUpdateFrequency": "5s",
        "maxPods": 60,
    }


def kube_proxy_configuration(member: Member) -> dict[str, object]:
    """KubeProxyConfiguration, kubeproxy.config.k8s.io/v1alpha1."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": "/run/lab/kube-proxy.kubeconfig"},
        "hostnameOverride": member.name,
        "clusterCIDR": POD_CIDR,
        "conntrack": {"maxPerCore": 0},
    }


def cni_configuration(member: Member) -> dict[str, object]:
    """Pods on a bridge of their node; other nodes' pods are reached by routes, so nothing is masqueraded."""
    ranges = [[{"subnet": member.pod_cidr}]]
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]},
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "backend": "nftables"}
    return {"cniVersion": "1.0.0", "name": "lab", "plugins": [bridge, portmap]}


# containerd 2's configuration, version 3 of the format.
CONTAINERD = """\
version = 3
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = false
[plugins.'io.containerd.cri.v1.images']
  # It counts the files of all images then, every ten seconds unless told.
  stats_collect_period = 3600
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['/opt/kubernetes/cni']
  conf_dir = '/run/lab/cni'
"""


def is_running(plan: Plan, member: Member) -> bool:
    """Whether the node's machine is on."""
    pid = _pid(plan.home / member.name / "pid")
    return pid is not None and pid in network.processes(plan)


def kill(plan: Plan, member: Member) -> None:
    """Cut the node's power."""
    pid = _pid(plan.home / member.name / "pid")
    if pid is not None and pid in network.processes(plan):
        network.kill(plan, pid)


def _pid(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return None
