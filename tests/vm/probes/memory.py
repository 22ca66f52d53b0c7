"""Runs in a node: says what its memory is, moves a region to the slow node and back, prints it all as JSON."""

from __future__ import annotations

import json
import mmap
from dataclasses import asdict

import numpy as np

from thermocline_kernel import memory_tiers, move_pages, numa, pagemap, zoneinfo
from thermocline_kernel.host import PAGE_BYTES, Host

PAGES = 64


def performance(node: numa.Node) -> dict[str, object] | None:
    """The figures that the CPUs see."""
    if node.access1 is None:
        return None
    return {**asdict(node.access1), "initiators": sorted(node.access1.initiators)}


def moved(host: Host, node: int) -> dict[str, object]:
    """Fill a region, move it to `node`, and tell where it went and whether it reads back whole."""
    region = mmap.mmap(-1, PAGES * PAGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    content = np.random.default_rng(7).integers(0, 256, PAGES * PAGE_BYTES, dtype=np.uint8)
    words = np.frombuffer(region, dtype=np.uint8)
    words[:] = content
    address = words.ctypes.data
    addresses = np.arange(address, address + PAGES * PAGE_BYTES, PAGE_BYTES, dtype=np.uint64)
    before = pagemap.read(host, "self", address, PAGES).pfns.copy()
    statuses = move_pages.move(0, addresses, np.full(PAGES, node, dtype=np.int32))
    after = pagemap.read(host, "self", address, PAGES).pfns
    zones = [zone for zone in zoneinfo.zones(host) if zone.node == node]
    inside = np.zeros(PAGES, dtype=bool)
    for zone in zones:
        inside |= (after >= zone.start_pfn) & (after < zone.start_pfn + zone.spanned_pages)
    return {
        "statuses": sorted(set(statuses.tolist())),
        "nodes": sorted(set(move_pages.query(0, addresses).tolist())),
        "frames_changed": int((before != after).sum()),
        "frames_inside": int(inside.sum()),
        "whole": bool((words == content).all()),
    }


def main() -> None:
    """Print the node's memory."""
    host = Host()
    nodes = numa.nodes(host)
    told: dict[str, object] = {
        "nodes": {
            node.number: {
                "size_mib": node.size_bytes >> 20,
                "cpus": sorted(node.cpus),
                "performance": performance(node),
            }
            for node in nodes
        },
        "movable_nodes": sorted(zoneinfo.movable_nodes(zoneinfo.zones(host))),
        "tiers": [sorted(tier.nodes) for tier in memory_tiers.tiers(host)],
    }
    if len(nodes) > 1:
        told["moved"] = [moved(host, 1), moved(host, 0)]
    print(json.dumps(told))


if __name__ == "__main__":
    main()
