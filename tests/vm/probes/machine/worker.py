"""A process with memory of known use, and where its pages are.

That is asked by other ways than those under test: of its pagemap and of its numa_maps.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import subprocess
import sys

import numpy as np
from numpy.typing import NDArray

from thermocline_kernel import cgroup, pagemap
from thermocline_kernel.arrays import U64
from thermocline_kernel.host import PAGE_BYTES, Host

MIB = 1 << 20
HUGE = 2 * MIB
# By name: bytes, huge pages or not, touched all the time or once.
REGIONS = {
    "hot huge": (16 * MIB, True, True),
    "cold huge": (16 * MIB, True, False),
    "hot": (4 * MIB, False, True),
    "cold": (4 * MIB, False, False),
}


def worker() -> None:
    """Allocate the regions, tell where they are, and touch the hot ones until standard input ends.

    A line on standard input is answered by a digest of all that is in them.
    """
    kept = []
    addresses: dict[str, int] = {}
    views: dict[str, NDArray[np.uint8]] = {}
    for name, (size, huge, _) in REGIONS.items():
        area = mmap.mmap(-1, size + HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        area.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)
        whole = np.frombuffer(area, dtype=np.uint8)
        start = -whole.ctypes.data % HUGE
        views[name] = whole[start : start + size]
        views[name][:] = np.random.default_rng(size + huge).integers(0, 256, size, dtype=np.uint8)
        addresses[name] = views[name].ctypes.data
        kept.append(area)
    print(json.dumps(addresses), flush=True)
    os.set_blocking(0, False)
    while True:
        # The emulated TLB forgets nothing by itself, and then the CPU marks no page as accessed again. Giving back
        # more pages than are flushed one by one (33, arch/x86/mm/tlb.c) empties it, as use empties a real one.
        with mmap.mmap(-1, 64 * PAGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as given_back:
            given_back.write(bytes(64 * PAGE_BYTES))
        for name, (_, _, hot) in REGIONS.items():
            if hot:
                views[name][::PAGE_BYTES].sum()
        data = sys.stdin.buffer.read(64)
        if data == b"":
            return
        if data:
            print(sum(int(view.astype(np.uint64).sum()) for view in views.values()), flush=True)


class Worker:
    """The process in a cgroup of its own, seen from outside."""

    def __init__(self, host: Host) -> None:
        self.host = host
        group = cgroup.root(host) / "kubepods/besteffort/pod12345678-1234-1234-1234-123456789abc/work"
        group.mkdir(parents=True, exist_ok=True)
        for parent in ("", "kubepods", "kubepods/besteffort"):
            control = cgroup.root(host) / parent / "cgroup.subtree_control"
            control.write_text("+memory +cpuset")
        pod = group.parent / "cgroup.subtree_control"
        pod.write_text("+memory +cpuset")
        self.inode = group.stat().st_ino
        join = f'echo 0 >{group}/cgroup.procs && exec "$@"'
        self.process = subprocess.Popen(
            ["sh", "-c", join, "sh", sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.addresses: dict[str, int] = json.loads(self.process.stdout.readline())

    def pfns(self, name: str) -> U64:
        """The frames of a region now."""
        return pagemap.read(
            self.host, self.process.pid, self.addresses[name], REGIONS[name][0] // PAGE_BYTES
        ).pfns

    def digest(self) -> int:
        """What is in memory."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"?\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def numa_pages(self, name: str) -> dict[str, int]:
        """The pages by node of the mapping that holds the region, as numa_maps tells; neighbours may be in it."""
        found: dict[int, dict[str, int]] = {}
        for line in (self.host.proc / str(self.process.pid) / "numa_maps").read_text().splitlines():
            pages = {node: int(count) for node, count in re.findall(r" N(\d+)=(\d+)", line)}
            found[int(line.split()[0], 16)] = pages
        return found[max(start for start in found if start <= self.addresses[name])]

    def end(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


if __name__ == "__main__":
    worker()
