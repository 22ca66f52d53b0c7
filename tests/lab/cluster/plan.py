"""What a cluster consists of: names, addresses and nodes. Pure.

Everything of a cluster lives in one network namespace: a bridge, a tap for each node, and every process. So what
belongs to the cluster is what the kernel says is in the namespace, and two clusters can have the same addresses.
The namespace's name has a digest of the folder that the cluster keeps its state in, for another cache may have a
cluster of the name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.cache import digest
from tests.lab.errors import LabError
from tests.lab.machine import MIB, Slow

BRIDGE = "lab0"
CONTROL_PLANE_IP = "192.168.77.1"
API_PORT = 6443
API_SERVER = f"https://{CONTROL_PLANE_IP}:{API_PORT}"
SERVICE_CIDR = "10.96.0.0/16"
SERVICE_IP = "10.96.0.1"
POD_CIDR = "10.77.0.0/16"
# The kinds of node that `--nodes` names: the kernel, and what the slow memory is.
KINDS = {"patched": ("patched", Slow.CXL), "stock": ("stock", Slow.CXL), "dram": ("patched", Slow.NONE)}
NODE_MEMORY_BYTES = 2048 * MIB
NODE_CXL_BYTES = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Member:
    """A node of the cluster. `number` counts from 1 and fixes its addresses."""

    name: str
    number: int
    kernel: str
    slow: Slow

    @property
    def ip(self) -> str:
        """Its address on the bridge."""
        return f"192.168.77.{10 + self.number}"

    @property
    def pod_cidr(self) -> str:
        """The addresses of its pods."""
        return f"10.77.{self.number}.0/24"

    @property
    def tap(self) -> str:
        """Its tap on the bridge."""
        return f"tap{self.number}"

    @property
    def mac(self) -> str:
        """The hardware address of its network card, from the range for local use."""
        return f"52:54:00:77:00:{self.number:02x}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A cluster by name; `home` holds its certificates, disks, logs and state.

    `parts` are the folders of what it was put together from, by name: what a checkout would build now may be
    something else.
    """

    name: str
    home: Path
    members: tuple[Member, ...]
    parts: Mapping[str, Path] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        """The network namespace that holds everything of this cluster."""
        return f"thermocline-{self.name}-{digest(str(self.home))[:8]}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, for clients on the machine itself."""
        return self.home / "kubeconfig"

    def member(self, name: str) -> Member:
        """The node of that name. Raises LabError that lists those there are."""
        for member in self.members:
            if member.name == name:
                return member
        names = ", ".join(member.name for member in self.members)
        raise LabError(f"there is no node {name!r} in cluster {self.name!r}: name one of {names}")


def members(nodes: str) -> tuple[Member, ...]:
    """The nodes of `patched,stock,dram`. A kind named twice gives patched and patched-2. Raises LabError."""
    found: list[Member] = []
    for number, kind in enumerate(nodes.split(","), start=1):
        if kind not in KINDS:
            raise LabError(f"there is no kind of node {kind!r}: name some of {', '.join(KINDS)}, with commas")
        alike = sum(1 for member in found if member.name.partition("-")[0] == kind)
        found.append(Member(f"{kind}-{alike + 1}" if alike else kind, number, *KINDS[kind]))
    return tuple(found)


def checked_name(name: str) -> str:
    """A cluster's name that can be part of a namespace's name. Raises LabError."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name):
        raise LabError(
            f"{name!r} is no cluster name: write small letters, digits and dashes, a letter first, 31 at most"
        )
    return name
