"""/sys/devices/system/memory: which parts of physical memory are on line.

Source: Documentation/admin-guide/mm/memory-hotplug.rst, Documentation/ABI/testing/sysfs-devices-memory,
drivers/base/memory.c, Linux 6.12.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from thermocline_kernel.errors import Denied, Garbled, Unavailable
from thermocline_kernel.host import PAGE_BYTES, Host, numbered, read_line

_STATES = frozenset({"online", "offline", "going-offline"})


@dataclass(frozen=True, slots=True)
class Block:
    """A block of memory, from frame `start_pfn` on. What is going off line is not on line any more."""

    number: int
    start_pfn: int
    pages: int
    online: bool
    # More than one where nodes share a block; none where the kernel does not say (no CONFIG_NUMA).
    nodes: frozenset[int]


def blocks(host: Host) -> tuple[Block, ...]:
    """All blocks, by number; those that go away meanwhile are left out.

    Raises Unavailable (no CONFIG_MEMORY_HOTPLUG: then all memory is on line), Failed or Garbled.
    """
    folder = host.sys / "devices/system/memory"
    path = folder / "block_size_bytes"
    text = read_line(path)
    # In hexadecimal, without 0x.
    if not re.fullmatch(r"[0-9a-f]{1,16}", text) or (size := int(text, 16)) < PAGE_BYTES or size % PAGE_BYTES:
        raise Garbled(path, f"a size in hexadecimal expected, found {text!r}", 1)
    pages = size // PAGE_BYTES
    found: list[Block] = []
    for number, block in numbered(folder, "memory").items():
        try:
            state = read_line(block / "state")
            nodes = frozenset(numbered(block, "node"))
        except Denied:
            raise
        except Unavailable:
            continue
        if state not in _STATES:
            raise Garbled(block / "state", f"a state expected, found {state!r}", 1)
        found.append(Block(number, number * pages, pages, state == "online", nodes))
    return tuple(found)
