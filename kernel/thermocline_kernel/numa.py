"""NUMA nodes: their memory, their CPUs, and what the firmware says of their speed.

Source: Documentation/ABI/stable/sysfs-devices-node, Documentation/admin-guide/mm/numaperf.rst,
drivers/base/node.c, Linux 6.12.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from thermocline_kernel.errors import Denied, Garbled, Unavailable
from thermocline_kernel.host import Host, numbered, read_ids, read_line, read_lines, read_number

_MEMINFO = re.compile(r"Node ([0-9]+) (\S+): +([0-9]+)( kB)?")


@dataclass(frozen=True, slots=True)
class Performance:
    """How fast a node's memory is from the nodes `initiators`, by HMAT or CDAT. None: not told."""

    initiators: frozenset[int]
    read_latency_ns: int | None
    write_latency_ns: int | None
    read_bandwidth_mbps: int | None
    write_bandwidth_mbps: int | None


@dataclass(frozen=True, slots=True)
class Node:
    """An online node. `distances` are by node, 10 to itself; access0, access1 None without HMAT and CDAT.

    access0 is seen from the nearest initiators of any kind, access1 from the nearest CPUs: for placing a
    workload's pages, access1 is what counts (since 5.10).
    """

    number: int
    size_bytes: int
    free_bytes: int
    cpus: frozenset[int]
    distances: Mapping[int, int] = field(hash=False)
    access0: Performance | None
    access1: Performance | None

    @property
    def cpuless(self) -> bool:
        """Whether the node is memory only, as CXL memory is."""
        return not self.cpus


def online(host: Host) -> frozenset[int]:
    """The numbers of all online nodes, with or without memory. Raises Unavailable, Failed or Garbled."""
    path = _root(host) / "online"
    found = read_ids(path)
    if not found:
        raise Garbled(path, "a machine without a node", 1)
    return found


def nodes(host: Host) -> tuple[Node, ...]:
    """All online nodes, by number. Raises Unavailable (no NUMA, or a node went away), Failed or Garbled."""
    numbers = sorted(online(host))
    return tuple(_node(_root(host) / f"node{number}", number, numbers) for number in numbers)


def _root(host: Host) -> Path:
    return host.sys / "devices/system/node"


def _node(folder: Path, number: int, numbers: list[int]) -> Node:
    sizes = _meminfo(folder / "meminfo", number)
    return Node(
        number=number,
        size_bytes=sizes["MemTotal"],
        free_bytes=sizes["MemFree"],
        cpus=read_ids(folder / "cpulist"),
        distances=_distances(folder / "distance", numbers),
        access0=_performance(folder / "access0/initiators"),
        access1=_performance(folder / "access1/initiators"),
    )


def _meminfo(path: Path, number: int) -> dict[str, int]:
    """Sizes in bytes, as `Node 0 MemTotal:  6252748 kB` says, by name."""
    sizes: dict[str, int] = {}
    for line, text in enumerate(read_lines(path), 1):
        match = _MEMINFO.fullmatch(text)
        if match is None or int(match[1]) != number:
            raise Garbled(path, f"a size of node {number} expected, found {text!r}", line)
        # Lines such as HugePages_Total count pages, and say no unit.
        if match[4]:
            sizes[match[2]] = int(match[3]) * 1024
    for name in ("MemTotal", "MemFree"):
        if name not in sizes:
            raise Garbled(path, f"no line for {name}")
    return sizes


def _distances(path: Path, numbers: list[int]) -> Mapping[int, int]:
    """The file has one distance for each online node, by number."""
    line = read_line(path)
    if not re.fullmatch(r"[0-9]+( [0-9]+)*", line):
        raise Garbled(path, f"distances expected, found {line!r}", 1)
    distances = list(map(int, line.split()))
    if len(distances) != len(numbers):
        raise Garbled(path, f"{len(numbers)} nodes are online, {len(distances)} distances are given", 1)
    return MappingProxyType(dict(zip(numbers, distances, strict=True)))


def _performance(folder: Path) -> Performance | None:
    """None where the firmware told nothing of this class: the folder or its files are then missing."""
    try:
        figures = {
            name: read_number(folder / name)
            for name in ("read_latency", "write_latency", "read_bandwidth", "write_bandwidth")
        }
        initiators = frozenset(numbered(folder, "node"))
    except Denied:
        raise
    except Unavailable:
        return None
    # The kernel prints 0 for a figure that it was not given.
    return Performance(
        initiators=initiators,
        read_latency_ns=figures["read_latency"] or None,
        write_latency_ns=figures["write_latency"] or None,
        read_bandwidth_mbps=figures["read_bandwidth"] or None,
        write_bandwidth_mbps=figures["write_bandwidth"] or None,
    )
