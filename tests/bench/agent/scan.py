"""Runs in a node: what the agent's look at all memory takes, and what bare system calls on the same files take.

    scan.py ROUNDS

The agent's arm is an interval of IdlePage with the census of owners: flags, cgroups and idle bits of every frame are
read and understood, and all pages are marked anew. The bare arm makes the same reads and writes, of the same sizes,
into memory that is there already, and does nothing with what it reads.
"""

from __future__ import annotations

import mmap
import os
import sys
import time
from collections.abc import Callable

import numpy as np

from thermocline_agent import frames as sets
from thermocline_agent import inventory
from thermocline_agent.census import Census
from thermocline_agent.frames import Frames
from thermocline_agent.sources.idle_page import IdlePage
from thermocline_agent.topology import arrange
from thermocline_kernel.host import PAGE_BYTES, Host

# Of a GiB; half of it in huge pages.
USED_BYTES = 512 << 20
# sysfs takes and gives a page at a time.
SYSFS_BYTES = 4096
ORDER = ("bare", "agent", "agent_again", "bare_again")


def bare(ranges: list[Frames]) -> None:
    """As a program would do it that is in a hurry."""
    into = memoryview(bytearray(sets.CHUNK_PAGES * 8))
    ones = memoryview(b"\xff" * (sets.CHUNK_PAGES // 8))
    flags = os.open("/proc/kpageflags", os.O_RDONLY)
    owners = os.open("/proc/kpagecgroup", os.O_RDONLY)
    idle = os.open("/sys/kernel/mm/page_idle/bitmap", os.O_RDWR)
    for chunk in sets.chunks(ranges):
        for file in (flags, owners):
            os.preadv(file, [into[: chunk.pages * 8]], chunk.first_pfn * 8)
        for offset in range(0, chunk.pages // 8, SYSFS_BYTES):
            os.preadv(
                idle, [into[: min(SYSFS_BYTES, chunk.pages // 8 - offset)]], chunk.first_pfn // 8 + offset
            )
    for chunk in sets.chunks(ranges):
        for offset in range(0, chunk.pages // 8, SYSFS_BYTES):
            size = min(SYSFS_BYTES, chunk.pages // 8 - offset)
            os.pwrite(idle, ones[:size], chunk.first_pfn // 8 + offset)
    for file in (flags, owners, idle):
        os.close(file)


def in_use() -> list[np.ndarray[tuple[int], np.dtype[np.uint8]]]:
    """Memory that the kernel has something to tell of."""
    kept = []
    for advice in (mmap.MADV_HUGEPAGE, mmap.MADV_NOHUGEPAGE):
        area = mmap.mmap(-1, USED_BYTES // 2, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        area.madvise(advice)
        view = np.frombuffer(area, dtype=np.uint8)
        view[::PAGE_BYTES] = 1
        kept.append(view)
    return kept


def main() -> None:
    """Print a sample a line: ARM CASE ROUND VALUE, in nanoseconds of this thread for all pages."""
    host = Host()
    kept = in_use()
    topology = arrange(inventory.read(host))
    whole = sets.union(each for node in topology.nodes for each in node.frames)
    # Whole words of the bitmap, so that both arms touch the same pages.
    ranges = [
        Frames(-(-each.first_pfn // 64) * 64, each.end_pfn // 64 * 64) for each in whole if each.pages >= 128
    ]
    census = Census(ranges)
    census.renew(host)
    source = IdlePage(host, 10.0, 1e6, share=lambda chunk, flags: census.look(host, chunk, flags))
    source.start(ranges)
    arms: dict[str, Callable[[], object]] = {
        "bare": lambda: bare(ranges), "bare_again": lambda: bare(ranges),
        "agent": source.observe, "agent_again": source.observe,
    }  # fmt: skip
    for number in range(-1, int(sys.argv[1])):
        for arm in ORDER if number % 2 else reversed(ORDER):
            # Every arm begins with all pages touched alike.
            for view in kept:
                view[:: 2 * PAGE_BYTES].sum()
            began = time.thread_time_ns()
            arms[arm]()
            print(arm, "page", number, time.thread_time_ns() - began)
    print("pages", "page", 0, sets.total_pages(ranges))
    assert source.window == tuple(ranges)


if __name__ == "__main__":
    main()
