"""Nodes, from trees and from this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.kernel import trees
from thermocline_kernel import numa, zoneinfo
from thermocline_kernel.errors import Garbled, Unavailable
from thermocline_kernel.host import PAGE_BYTES, Host
from thermocline_kernel.numa import Performance

ROOT = "devices/system/node"


def meminfo(node: int, total_kib: int, free_kib: int) -> str:
    return (
        f"Node {node} MemTotal:        {total_kib} kB\nNode {node} MemFree:         {free_kib} kB\n"
        f"Node {node} Active(anon):       1608 kB\nNode {node} HugePages_Total:     0\n"
    )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """DRAM with CPUs on node 0, CXL memory on node 2: numbers may have gaps."""
    made = trees.host(tmp_path)
    access = {
        "read_latency": "300\n",
        "write_latency": "310\n",
        "read_bandwidth": "20000\n",
        "write_bandwidth": "0\n",
    }
    trees.plant(
        made.sys / ROOT,
        {
            "online": "0,2\n",
            "node0/meminfo": meminfo(0, 1000, 400),
            "node0/cpulist": "0-3\n",
            "node0/distance": "10 20\n",
            "node2/meminfo": meminfo(2, 500, 500),
            "node2/cpulist": "\n",
            "node2/distance": "20 10\n",
            "node2/access1/initiators/node0/uevent": "",
            **{f"node2/access1/initiators/{name}": text for name, text in access.items()},
        },
    )
    return made


def test_nodes_are_read(host: Host) -> None:
    dram, cxl = numa.nodes(host)
    assert (dram.number, dram.size_bytes, dram.free_bytes) == (0, 1000 * 1024, 400 * 1024)
    assert (dram.cpus, dram.cpuless) == (frozenset(range(4)), False)
    assert (dram.access0, dram.access1) == (None, None)
    assert (cxl.number, cxl.cpuless, cxl.distances) == (2, True, {0: 20, 2: 10})
    assert cxl.access1 == Performance(frozenset({0}), 300, 310, 20000, None)


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        ("online", "\n", 1),
        ("online", "0,2", 1),
        ("node0/meminfo", "", 1),
        ("node0/meminfo", "Node 0 MemTotal: 1 kB\n", None),
        ("node0/meminfo", meminfo(0, 1, 1) + "Node 0 MemF", 5),
        ("node0/meminfo", meminfo(1, 1, 1), 1),
        ("node0/meminfo", "Node 0 MemTotal: 1 kB\nNode 0 MemFree: -1 kB\n", 2),
        ("node0/cpulist", "0-\n", 1),
        ("node0/distance", "10\n", 1),
        ("node0/distance", "10 x\n", 1),
        ("node0/distance", "\n", 1),
        ("node2/access1/initiators/read_latency", "fast\n", 1),
    ],
)
def test_garbage_is_refused(host: Host, file: str, text: str, line: int | None) -> None:
    trees.plant(host.sys / ROOT, {file: text})
    with pytest.raises(Garbled) as caught:
        numa.nodes(host)
    assert (caught.value.path, caught.value.line) == (str(host.sys / ROOT / file), line)


def test_a_node_that_vanishes_is_unavailable(host: Host) -> None:
    trees.plant(
        host.sys / ROOT, {"online": "0,2-3\n", "node0/distance": "10 20 20\n", "node2/distance": "20 10 20\n"}
    )
    with pytest.raises(Unavailable, match="node3"):
        numa.nodes(host)


def test_a_kernel_without_nodes_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        numa.nodes(trees.host(tmp_path))


def test_this_machine_is_read() -> None:
    before = managed_bytes()
    nodes = numa.nodes(Host())
    after = managed_bytes()
    # The zones tell the same in another file. A virtual machine's memory may grow or shrink meanwhile.
    for node in nodes:
        bounds = (before.get(node.number, 0), after.get(node.number, 0))
        assert min(bounds) <= node.size_bytes <= max(bounds)
    assert frozenset().union(*(node.cpus for node in nodes)) >= os.sched_getaffinity(0)
    assert all(node.distances[node.number] == 10 for node in nodes)


def managed_bytes() -> dict[int, int]:
    """What each node of this machine has for its pages, by /proc/zoneinfo."""
    sizes: dict[int, int] = {}
    for zone in zoneinfo.zones(Host()):
        sizes[zone.node] = sizes.get(zone.node, 0) + zone.managed_pages * PAGE_BYTES
    return sizes
