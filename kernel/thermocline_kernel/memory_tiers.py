"""The kernel's memory tiers: nodes grouped by the speed of their memory.

Source: Documentation/ABI/testing/sysfs-kernel-mm-memory-tiers, mm/memory-tiers.c, Linux 6.12. A tier's number
is its abstract distance divided by 128, so a lower number is faster; DRAM is tier 4.
"""

from __future__ import annotations

from dataclasses import dataclass

from thermocline_kernel.errors import Garbled
from thermocline_kernel.host import Host, numbered, read_ids


@dataclass(frozen=True, slots=True)
class Tier:
    """The nodes of one tier."""

    number: int
    nodes: frozenset[int]


def tiers(host: Host) -> tuple[Tier, ...]:
    """All tiers, fastest first; no node is in two.

    Raises Unavailable (kernels before 6.1, or without CONFIG_MIGRATION) or Garbled, for one when a tier has
    no node, as may be for a moment while a node goes on or off line: ask again.
    """
    root = host.sys / "devices/virtual/memory_tiering"
    found: list[Tier] = []
    seen: set[int] = set()
    for number, folder in numbered(root, "memory_tier").items():
        path = folder / "nodelist"
        nodes = read_ids(path)
        if not nodes:
            raise Garbled(path, "a tier without a node", 1)
        if nodes & seen:
            raise Garbled(path, f"nodes {sorted(nodes & seen)} are in a faster tier already", 1)
        seen |= nodes
        found.append(Tier(number, nodes))
    if not found:
        raise Garbled(root, "no tier at all, and memory is always in one")
    return tuple(found)
