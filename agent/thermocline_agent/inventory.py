"""Reads what topology.py judges."""

from __future__ import annotations

from thermocline_agent.topology import Inventory
from thermocline_kernel import cxl, memory_blocks, memory_tiers, numa, zoneinfo
from thermocline_kernel.errors import Denied, Garbled, Unavailable
from thermocline_kernel.host import Host

# A node that comes or goes while it is read makes one try fail, not two.
_TRIES = 2


def read(host: Host) -> Inventory:
    """What the machine says of its memory now.

    Raises Unavailable (no NUMA, or nodes that come and go all the time), Denied, Failed or Garbled.
    """
    for _ in range(_TRIES - 1):
        try:
            return _read(host)
        except Denied:
            raise
        except (Unavailable, Garbled):
            continue
    return _read(host)


def _read(host: Host) -> Inventory:
    nodes = numa.nodes(host)
    try:
        tiers, no_tiers = memory_tiers.tiers(host), ""
    except Denied:
        raise
    except Unavailable as err:
        tiers, no_tiers = None, str(err)
    try:
        blocks = memory_blocks.blocks(host)
    except Denied:
        raise
    except Unavailable:
        blocks = None
    try:
        regions = cxl.regions(host)
    except Denied:
        raise
    except Unavailable:
        regions = ()
    return Inventory(nodes, zoneinfo.zones(host), blocks, tiers, no_tiers, regions)
