"""Which NUMA nodes are fast and which are slow, and which frames each has. Pure: inventory.py reads what this judges.

What there is to go by, best first: an admin's lists; the kernel's memory tiers; what the firmware's tables say of
latency and bandwidth (HMAT, CDAT); that a node has no CPUs. The fast nodes are those with CPUs and whatever is faster
than them, such as HBM; the slow ones are slower than every node with CPUs. Between equals nothing is moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

import numpy as np

from thermocline_agent.frames import Frames, difference, intersection
from thermocline_kernel.arrays import I32, U64
from thermocline_kernel.cxl import Region
from thermocline_kernel.host import PAGE_BYTES
from thermocline_kernel.memory_blocks import Block
from thermocline_kernel.memory_tiers import Tier
from thermocline_kernel.numa import Node, Performance
from thermocline_kernel.zoneinfo import Zone

TierSource = Literal["Auto", "Kernel", "Manual"]

# Figures of firmware that differ by less do not tell two kinds of memory apart.
_MARGIN: Final = 1.2
NO_NODE: Final = -1
_BY_HAND: Final = "the lists in the policy"
_REMEDY: Final = (
    "; put CXL memory on line as a node (daxctl reconfigure-device --mode=system-ram), or name the nodes in spec.tiers "
    "(source: Manual)"
)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a machine says of its memory, at one time. `tiers` None: the kernel has no tiers, for `no_tiers` reason."""

    nodes: tuple[Node, ...]
    zones: tuple[Zone, ...]
    # None: memory cannot go off line here.
    blocks: tuple[Block, ...] | None = None
    tiers: tuple[Tier, ...] | None = None
    no_tiers: str = ""
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryNode:
    """A NUMA node of a tier. `rank` is its place among all tiers, 0 the fastest; `others` are the nodes of the
    other kind, fast or slow, that pages of this one go to: the nearest first.
    """

    number: int
    rank: int
    fast: bool
    size_bytes: int
    free_bytes: int
    frames: tuple[Frames, ...]
    movable: bool
    performance: Performance | None
    regions: tuple[Region, ...]
    others: tuple[int, ...]

    @property
    def device(self) -> str | None:
        """What the memory is, for a person: region0 (mem0, mem1; 2-way, 256 bytes)."""
        if not self.regions:
            return None
        return "; ".join(map(_described, self.regions))


@dataclass(frozen=True, slots=True)
class Topology:
    """The nodes with memory that are in a tier; `left_out` says of others why not.

    `basis` says what tells fast from slow, `problem` why there is nothing to do, as a sentence.
    """

    nodes: tuple[MemoryNode, ...]
    basis: str
    left_out: Mapping[int, str] = field(hash=False, default_factory=lambda: MappingProxyType({}))
    problem: str | None = None

    @property
    def fast(self) -> tuple[MemoryNode, ...]:
        """The fast nodes, by number."""
        return tuple(node for node in self.nodes if node.fast)

    @property
    def slow(self) -> tuple[MemoryNode, ...]:
        """The slow nodes, by number."""
        return tuple(node for node in self.nodes if not node.fast)

    def nodes_of(self, pfns: U64) -> I32:
        """The node of each frame, shape (n,); NO_NODE for frames of no node here, or off line."""
        pieces = sorted((frames, node.number) for node in self.nodes for frames in node.frames)
        if not pieces:
            return np.full(pfns.shape, NO_NODE, dtype=np.int32)
        firsts = np.array([frames.first_pfn for frames, _ in pieces], dtype=np.uint64)
        ends = np.array([frames.end_pfn for frames, _ in pieces], dtype=np.uint64)
        numbers = np.array([number for _, number in pieces], dtype=np.int32)
        places = np.searchsorted(firsts, pfns, side="right").astype(np.int64) - 1
        inside = (places >= 0) & (pfns < ends[places])
        return np.where(inside, numbers[places], np.int32(NO_NODE)).astype(np.int32)


def arrange(
    inventory: Inventory, source: TierSource = "Auto", fast: Iterable[int] = (), slow: Iterable[int] = ()
) -> Topology:
    """Sort the machine's nodes into tiers. `fast` and `slow` are for Manual.

    Without two tiers the topology has a problem, and nothing in it may be moved.
    """
    left_out = {node.number: "it has no memory" for node in inventory.nodes if node.size_bytes == 0}
    nodes = [node for node in inventory.nodes if node.size_bytes > 0]
    if source == "Manual":
        ranks, basis = _by_hand(nodes, frozenset(fast), frozenset(slow), left_out)
        boundary = 0
    else:
        ranks, basis = _by_kernel(inventory, nodes)
        if source == "Auto" and len(set(ranks.values())) < 2:
            ranks, basis = _by_figures(nodes, basis)
        boundary = max(
            (ranks[node.number] for node in nodes if node.cpus and node.number in ranks), default=-1
        )
    for node in nodes:
        if node.number not in ranks:
            left_out.setdefault(node.number, "nothing says how fast it is")
    frames = node_frames(inventory)
    for number in list(ranks):
        if not frames.get(number):
            del ranks[number]
            left_out[number] = "no frame of it is on line, or known to be its own"
    return _topology(inventory, ranks, boundary, basis, left_out, frames)


def node_frames(inventory: Inventory) -> Mapping[int, tuple[Frames, ...]]:
    """The frames of each node that are on line: those that its zones span, in blocks that are its own.

    What two nodes would both have is neither's.
    """
    found: dict[int, tuple[Frames, ...]] = {}
    for node in inventory.nodes:
        spans = [
            Frames(zone.start_pfn, zone.start_pfn + zone.spanned_pages)
            for zone in inventory.zones
            if zone.node == node.number and zone.spanned_pages and zone.present_pages
        ]
        if inventory.blocks is not None:
            online = [
                Frames(block.start_pfn, block.start_pfn + block.pages)
                for block in inventory.blocks
                if block.online and (not block.nodes or node.number in block.nodes)
            ]
            found[node.number] = intersection(spans, online)
        else:
            found[node.number] = intersection(spans, spans)
    shared = [
        frames
        for number, ranges in found.items()
        for other, theirs in found.items()
        if number < other
        for frames in intersection(ranges, theirs)
    ]
    return {number: difference(ranges, shared) for number, ranges in found.items()}


def changes(before: Topology, after: Topology) -> tuple[str, ...]:
    """What is different, a sentence each, for the log: nodes that came or went, or changed their tier or size."""
    old = {node.number: node for node in before.nodes}
    new = {node.number: node for node in after.nodes}
    told = [f"node {number} is gone" for number in sorted(old.keys() - new.keys())]
    told += [
        f"node {number} came, as {_kind(new[number])} memory" for number in sorted(new.keys() - old.keys())
    ]
    for number in sorted(old.keys() & new.keys()):
        if old[number].fast != new[number].fast:
            told.append(f"node {number} is {_kind(new[number])} memory now")
        if old[number].frames != new[number].frames:
            told.append(f"other memory of node {number} is on line now")
    return tuple(told)


def _kind(node: MemoryNode) -> str:
    return "fast" if node.fast else "slow"


def _by_hand(
    nodes: list[Node], fast: frozenset[int], slow: frozenset[int], left_out: dict[int, str]
) -> tuple[dict[int, int], str]:
    here = {node.number for node in nodes}
    for number in sorted((fast | slow) - here):
        left_out.setdefault(number, "it is listed, and not on line")
    for number in sorted(here - fast - slow):
        left_out.setdefault(number, "it is not listed")
    ranks = {number: 0 if number in fast else 1 for number in (fast ^ slow) & here}
    return ranks, _BY_HAND


def _by_kernel(inventory: Inventory, nodes: list[Node]) -> tuple[dict[int, int], str]:
    """Ranks by the kernel's tiers; nodes that it has not put into one yet have none."""
    if inventory.tiers is None:
        return {}, f"the kernel has no memory tiers ({inventory.no_tiers})"
    here = {node.number for node in nodes}
    ranks = {
        number: rank for rank, tier in enumerate(inventory.tiers) for number in tier.nodes if number in here
    }
    # Numbered anew, for tiers all of whose nodes are without memory.
    places = {rank: place for place, rank in enumerate(sorted(set(ranks.values())))}
    return {number: places[rank] for number, rank in ranks.items()}, "the kernel's memory tiers"


def _by_figures(nodes: list[Node], instead_of: str) -> tuple[dict[int, int], str]:
    """Ranks by firmware's figures where both sides have some; else by having CPUs.

    0 is faster than nodes with CPUs, 1 as they are, 2 slower.
    """
    with_cpus = [node for node in nodes if node.cpus]
    reference = [figures for node in with_cpus if (figures := performance(node)) is not None]
    ranks = {node.number: 1 for node in with_cpus}
    guessed = False
    for node in nodes:
        if node.cpus:
            continue
        figures = performance(node)
        rank = _compared(figures, reference) if figures is not None else None
        guessed |= rank is None
        ranks[node.number] = 2 if rank is None else rank
    basis = "having no CPUs, and distance" if guessed else "latency and bandwidth, by HMAT or CDAT"
    return ranks, f"{basis}, for {instead_of} {'do' if instead_of.endswith('tiers') else 'does'} not tell"


def performance(node: Node) -> Performance | None:
    """The figures of a node's memory as CPUs see it, else as anything near it does."""
    return node.access1 or node.access0


def _compared(figures: Performance, reference: list[Performance]) -> int | None:
    """0, 1 or 2 as above; None where the figures do not tell."""
    latencies = [each.read_latency_ns for each in reference if each.read_latency_ns]
    bandwidths = [each.read_bandwidth_mbps for each in reference if each.read_bandwidth_mbps]
    latency, bandwidth = figures.read_latency_ns, figures.read_bandwidth_mbps
    # HBM answers no sooner than DRAM does, but gives much more at a time.
    if bandwidth and bandwidths and bandwidth > _MARGIN * max(bandwidths):
        return 0
    if latency and latencies:
        return 2 if latency > _MARGIN * max(latencies) else 1
    if bandwidth and bandwidths:
        return 2 if bandwidth * _MARGIN < min(bandwidths) else 1
    return None


def _topology(
    inventory: Inventory,
    ranks: Mapping[int, int],
    boundary: int,
    basis: str,
    left_out: dict[int, str],
    frames: Mapping[int, tuple[Frames, ...]],
) -> Topology:
    """`boundary` is the rank of the slowest memory that is still fast."""
    by_number = {node.number: node for node in inventory.nodes}
    kinds = {number: rank <= boundary for number, rank in ranks.items()}
    movable = _movable(inventory.zones)
    nodes = tuple(
        MemoryNode(
            number=number,
            rank=ranks[number],
            fast=kinds[number],
            size_bytes=by_number[number].size_bytes,
            free_bytes=by_number[number].free_bytes,
            frames=frames[number],
            movable=number in movable,
            performance=performance(by_number[number]),
            regions=tuple(region for region in inventory.regions if _holds(region, frames[number])),
            others=_nearest(
                by_number[number], [other for other in kinds if kinds[other] != kinds[number]], ranks
            ),
        )
        for number in sorted(ranks)
    )
    return Topology(nodes, basis, MappingProxyType(left_out), _problem(kinds, basis, left_out))


def _movable(zones: tuple[Zone, ...]) -> frozenset[int]:
    return frozenset(zone.node for zone in zones) - {zone.node for zone in zones if not zone.movable}


def _holds(region: Region, frames: tuple[Frames, ...]) -> bool:
    whole = Frames(region.start // PAGE_BYTES, (region.start + region.size_bytes) // PAGE_BYTES)
    return bool(intersection(frames, (whole,)))


def _nearest(node: Node, others: list[int], ranks: Mapping[int, int]) -> tuple[int, ...]:
    """Nearest first; among equals the faster tier, then the lower number."""
    far = max(node.distances.values(), default=0) + 1
    return tuple(sorted(others, key=lambda other: (node.distances.get(other, far), ranks[other], other)))


def _problem(kinds: Mapping[int, bool], basis: str, left_out: Mapping[int, str]) -> str | None:
    if any(kinds.values()) and not all(kinds.values()):
        return None
    missing = "slow" if any(kinds.values()) else "fast"
    why = "".join(f"; node {number} is left out, for {reason}" for number, reason in sorted(left_out.items()))
    # Who has listed the nodes by hand knows how.
    remedy = _REMEDY if missing == "slow" and basis != _BY_HAND else ""
    return f"no node is {missing} memory by {basis}{why}{remedy}"


def _described(region: Region) -> str:
    names = ", ".join(target.memdev for target in region.targets)
    return f"{region.name} ({names}; {region.ways}-way, {region.granularity_bytes} bytes)"
