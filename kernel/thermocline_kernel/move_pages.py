"""move_pages(2): move pages named by process and virtual address, or ask where they are.

Source: include/uapi/linux/mempolicy.h, mm/migrate.c, Linux 6.12; move_pages(2).
"""

from __future__ import annotations

import errno
import platform
from typing import Final

import numpy as np

from thermocline_kernel.arrays import I32, U64, address_of
from thermocline_kernel.syscall import call

# arch/x86/entry/syscalls/syscall_64.tbl; include/uapi/asm-generic/unistd.h
NUMBERS: Final = {"x86_64": 279, "aarch64": 239}
MPOL_MF_MOVE: Final = 1 << 1
MPOL_MF_MOVE_ALL: Final = 1 << 2

# The status of a page that the call never came to. The kernel gives up on the rest of a call when a batch
# does not move as a whole, and then leaves their statuses as they were (do_pages_move(), mm/migrate.c).
NOT_ATTEMPTED: Final = -errno.EINPROGRESS


def move(pid: int, addresses: U64, nodes: I32, *, shared: bool = False) -> I32:
    """Move the pages of process `pid` (0: this one) that hold these addresses to these nodes.

    `addresses` and `nodes` have one entry a page, shape (n,). So has the result: the node that the page is on
    now, or a negative errno, or NOT_ATTEMPTED. `shared` also moves pages that other processes map, for which
    the kernel wants CAP_SYS_NICE. Raises Unavailable (no such process, or a node that is not there), Denied
    (this process, or nodes that its cpuset excludes) or Failed.
    """
    if addresses.shape != nodes.shape:
        raise ValueError(f"{addresses.size} addresses and {nodes.size} nodes: one node for each address")
    flags = MPOL_MF_MOVE_ALL if shared else MPOL_MF_MOVE
    return _call(pid, addresses, address_of(nodes, np.int32, "nodes"), flags)


def query(pid: int, addresses: U64) -> I32:
    """The node of each page, or a negative errno (-ENOENT: no page), shape (n,). Raises as move does."""
    return _call(pid, addresses, None, 0)


def _call(pid: int, addresses: U64, nodes: int | None, flags: int) -> I32:
    pages = address_of(addresses, np.uint64, "addresses")
    statuses = np.full(addresses.shape, NOT_ATTEMPTED, dtype=np.int32)
    # A positive result counts pages that were not moved (since 4.17): the statuses tell which.
    call(
        "move_pages(2)",
        NUMBERS.get(platform.machine()),
        pid,
        addresses.size,
        pages,
        nodes,
        address_of(statuses, np.int32, "statuses"),
        flags,
    )
    return statuses
