"""Fast and slow: machines of many kinds, as they tell of themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from thermocline_agent.frames import Frames
from thermocline_agent.topology import NO_NODE, Inventory, Topology, arrange, changes, node_frames
from thermocline_kernel.cxl import Region, Target
from thermocline_kernel.host import PAGE_BYTES
from thermocline_kernel.memory_blocks import Block
from thermocline_kernel.memory_tiers import Tier
from thermocline_kernel.numa import Node, Performance
from thermocline_kernel.zoneinfo import Zone

PAGES = 0x8000
GIB = 1 << 30


def figures(latency: int | None, bandwidth: int | None) -> Performance:
    return Performance(frozenset({0}), latency, latency, bandwidth, bandwidth)


def node(
    number: int,
    cpus: Iterable[int] = (),
    *,
    size: int = GIB,
    access: Performance | None = None,
    distances: dict[int, int] | None = None,
) -> Node:
    return Node(number, size, size // 2, frozenset(cpus), distances or {number: 10}, None, access)


def inventory(*nodes: Node, tiers: Iterable[Iterable[int]] | None = None) -> Inventory:
    """Each node has PAGES frames from its number times PAGES on, in zone Movable if it has no CPUs."""
    return Inventory(
        nodes=nodes,
        zones=tuple(
            Zone(
                each.number, "Normal" if each.cpus else "Movable", each.number * PAGES, PAGES, PAGES, PAGES, 0
            )
            for each in nodes
            if each.size_bytes
        ),
        tiers=None
        if tiers is None
        else tuple(Tier(4 + place, frozenset(numbers)) for place, numbers in enumerate(tiers)),
        no_tiers="no such folder",
    )


def kinds(found: Topology) -> tuple[list[int], list[int]]:
    return [each.number for each in found.fast], [each.number for each in found.slow]


DRAM, OTHER_DRAM = node(0, [0, 1]), node(1, [2, 3])


@pytest.mark.parametrize(
    ("machine", "fast", "slow", "basis"),
    [
        # A CXL node below DRAM, two sockets.
        (inventory(DRAM, OTHER_DRAM, node(2), tiers=[[0, 1], [2]]), [0, 1], [2], "the kernel's memory tiers"),
        # HBM above DRAM has no CPUs either, and is fast.
        (inventory(DRAM, node(1), node(2), tiers=[[1], [0], [2]]), [0, 1], [2], "the kernel's memory tiers"),
        # Several slow tiers.
        (inventory(DRAM, node(1), node(2), tiers=[[0], [1], [2]]), [0], [1, 2], "the kernel's memory tiers"),
        # The kernel puts all in one tier; HMAT knows better.
        (
            inventory(
                node(0, [0], access=figures(100, 80000)),
                node(1, access=figures(250, 20000)),
                node(2, access=figures(110, 400000)),
                tiers=[[0, 1, 2]],
            ),
            [0, 2],
            [1],
            "latency and bandwidth, by HMAT or CDAT, for the kernel's memory tiers do not tell",
        ),
        # No bandwidth, and no latency.
        (
            inventory(node(0, [0], access=figures(100, None)), node(1, access=figures(300, None))),
            [0],
            [1],
            "latency and bandwidth, by HMAT or CDAT, for the kernel has no memory tiers (no such folder) does not tell",
        ),
        (
            inventory(node(0, [0], access=figures(None, 1000)), node(1, access=figures(None, 500)), tiers=[[0, 1]]),
            [0],
            [1],
            "latency and bandwidth, by HMAT or CDAT, for the kernel's memory tiers do not tell",
        ),
        # Nothing but that there are no CPUs.
        (inventory(DRAM, node(1), tiers=[[0, 1]]), [0], [1],
         "having no CPUs, and distance, for the kernel's memory tiers do not tell"),
    ],
)  # fmt: skip
def test_fast_and_slow(machine: Inventory, fast: list[int], slow: list[int], basis: str) -> None:
    found = arrange(machine)
    assert kinds(found) == (fast, slow)
    assert found.basis == basis
    assert found.problem is None


def test_equals_are_one_tier() -> None:
    found = arrange(inventory(DRAM, OTHER_DRAM, tiers=[[0, 1]]))
    assert kinds(found) == ([0, 1], [])
    assert found.problem is not None
    assert found.problem.startswith("no node is slow memory by ")
    # Figures that differ by a few percent tell nothing apart.
    machine = inventory(
        node(0, [0], access=figures(100, 100)), node(1, access=figures(110, 95)), tiers=[[0, 1]]
    )
    assert kinds(arrange(machine)) == ([0, 1], [])


def test_kernel_means_the_kernel_alone() -> None:
    assert kinds(arrange(inventory(DRAM, node(1), tiers=[[0, 1]]), "Kernel")) == ([0, 1], [])
    found = arrange(inventory(DRAM, node(1)), "Kernel")
    assert kinds(found) == ([], [])
    assert found.problem is not None
    assert "no such folder" in found.problem
    # A node that the kernel has not put into a tier yet is in none.
    found = arrange(inventory(DRAM, node(1), node(2), tiers=[[0], [1]]), "Kernel")
    assert kinds(found) == ([0], [1])
    assert found.left_out[2] == "nothing says how fast it is"


def test_manual_means_the_lists() -> None:
    machine = inventory(DRAM, OTHER_DRAM, node(2), tiers=[[0, 1, 2]])
    found = arrange(machine, "Manual", fast=[0], slow=[2, 7])
    assert kinds(found) == ([0], [2])
    assert found.left_out == {1: "it is not listed", 7: "it is listed, and not on line"}
    # What is in both lists is in neither.
    assert kinds(arrange(machine, "Manual", fast=[0, 2], slow=[2])) == ([0], [])
    found = arrange(machine, "Manual", fast=[0], slow=[7])
    assert found.problem == (
        "no node is slow memory by the lists in the policy; node 1 is left out, for it is not listed; "
        "node 2 is left out, for it is not listed; node 7 is left out, for it is listed, and not on line"
    )


def test_a_node_without_memory_is_left_out() -> None:
    found = arrange(inventory(DRAM, node(1, size=0), node(2), tiers=[[0, 1], [2]]))
    assert kinds(found) == ([0], [2])
    assert found.left_out == {1: "it has no memory"}


def test_pages_go_to_the_nearest() -> None:
    near_first = {0: 10, 1: 21, 2: 14, 3: 24}
    machine = inventory(
        node(0, [0], distances=near_first),
        node(1, [1], distances={0: 21, 1: 10, 2: 24, 3: 14}),
        node(2, distances={0: 14, 1: 24, 2: 10, 3: 26}),
        node(3, distances={0: 24, 1: 14, 2: 26, 3: 10}),
        tiers=[[0, 1], [2, 3]],
    )
    found = {each.number: each.others for each in arrange(machine).nodes}
    assert found == {0: (2, 3), 1: (3, 2), 2: (0, 1), 3: (1, 0)}


def test_frames_off_line_are_nobodys() -> None:
    machine = inventory(DRAM, node(1), tiers=[[0], [1]])
    blocks = [
        Block(number, number * PAGES // 2, PAGES // 2, online=number != 3, nodes=frozenset({number // 2}))
        for number in range(4)
    ]
    machine = replace(machine, blocks=tuple(blocks))
    assert node_frames(machine) == {0: (Frames(0, PAGES),), 1: (Frames(PAGES, PAGES * 3 // 2),)}
    gone = replace(machine, blocks=tuple(replace(each, online=each.number < 2) for each in blocks))
    found = arrange(gone)
    assert kinds(found) == ([0], [])
    assert found.left_out == {1: "no frame of it is on line, or known to be its own"}
    pfns = np.array([0, PAGES - 1, PAGES, PAGES * 3 // 2, 10**9], dtype=np.uint64)
    assert arrange(machine).nodes_of(pfns).tolist() == [0, 0, 1, NO_NODE, NO_NODE]


def test_what_two_nodes_span_is_told_apart_by_blocks_or_not_at_all() -> None:
    # Node 0's zone spans a hole in which node 1 is.
    machine = replace(
        inventory(DRAM, node(1), tiers=[[0], [1]]),
        zones=(
            Zone(0, "Normal", 0, 3 * PAGES, 2 * PAGES, 0, 0),
            Zone(1, "Movable", PAGES, PAGES, PAGES, 0, 0),
        ),
    )
    assert node_frames(machine) == {0: (Frames(0, PAGES), Frames(2 * PAGES, 3 * PAGES)), 1: ()}
    blocks = tuple(
        Block(number, number * PAGES, PAGES, online=True, nodes=frozenset({number % 2}))
        for number in range(3)
    )
    told = node_frames(replace(machine, blocks=blocks))
    assert told == {0: (Frames(0, PAGES), Frames(2 * PAGES, 3 * PAGES)), 1: (Frames(PAGES, 2 * PAGES),)}


def test_a_cxl_node_tells_its_device() -> None:
    region = Region(
        "region0", PAGES * PAGE_BYTES, PAGES * PAGE_BYTES, 2, 256,
        (Target("mem0", 0, 0, 1), Target("mem1", 1, 0, 1)),
    )  # fmt: skip
    found = arrange(replace(inventory(DRAM, node(1), tiers=[[0], [1]]), regions=(region,)))
    assert [each.device for each in found.nodes] == [None, "region0 (mem0, mem1; 2-way, 256 bytes)"]
    assert [each.movable for each in found.nodes] == [False, True]


def test_nodes_that_come_and_go_are_told() -> None:
    before = arrange(inventory(DRAM, node(1), tiers=[[0], [1]]))
    after = arrange(inventory(DRAM, OTHER_DRAM, node(2), tiers=[[0, 1], [2]]))
    assert changes(before, after) == ("node 2 came, as slow memory", "node 1 is fast memory now")
    assert changes(after, before) == ("node 2 is gone", "node 1 is slow memory now")
    assert changes(before, before) == ()


def test_an_empty_machine_has_no_tiers() -> None:
    found = arrange(Inventory((), ()))
    assert found.problem is not None
    assert found.nodes_of(np.zeros(2, dtype=np.uint64)).tolist() == [NO_NODE, NO_NODE]
