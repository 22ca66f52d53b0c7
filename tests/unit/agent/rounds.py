"""A machine of two nodes in a tree of fakes, and what a round is made of there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.kernel import trees
from thermocline_agent.assignment import Assignment, Pod
from thermocline_agent.clock import Ended, Woken
from thermocline_agent.engines.engine import Outcome, Request, Result
from thermocline_agent.frames import Frames
from thermocline_agent.topology import MemoryNode, Topology
from thermocline_api.settings import Settings
from thermocline_kernel import cgroup
from thermocline_kernel.host import Host
from thermocline_kernel.kpage import PageFlag
from thermocline_kernel.numa import Performance

NODE = "sys/devices/system/node"
# Of each node: 32 MiB, few enough for the planner to look at every page.
PAGES = 8192
LRU = int(PageFlag.LRU)
HOT = int(PageFlag.LRU | PageFlag.ACTIVE | PageFlag.REFERENCED)


def topology(
    fast_pages: int,
    slow_pages: int,
    *,
    first_pfn: int = 0,
    fast_ns: int | None = None,
    slow_ns: int | None = None,
) -> Topology:
    """A fast node 0 and a slow node 1, one behind the other."""
    ends = (first_pfn + fast_pages, first_pfn + fast_pages + slow_pages)
    nodes = []
    for number, (first, end, figure) in enumerate(
        ((first_pfn, ends[0], fast_ns), (ends[0], ends[1], slow_ns))
    ):
        nodes.append(
            MemoryNode(
                number, number, number == 0, (end - first) * 4096, 0, (Frames(first, end),), False,
                None if figure is None else Performance(frozenset((0,)), figure, figure, None, None), (),
                (1 - number,),
            )
        )  # fmt: skip
    return Topology(tuple(nodes), "what the test says")


def plant(root: Path, *, slow: bool = True) -> Host:
    """The machine. Cgroups are `work` and `other`; all frames are free."""
    host = trees.host(root)
    numbers = (0, 1) if slow else (0,)
    files = {f"{NODE}/online": "0-1\n" if slow else "0\n"}
    for number in numbers:
        files |= {
            f"{NODE}/node{number}/meminfo":
                f"Node {number} MemTotal:        32768 kB\nNode {number} MemFree:        16384 kB\n",
            f"{NODE}/node{number}/cpulist": "0-1\n" if number == 0 else "\n",
            f"{NODE}/node{number}/distance": ("10 20\n", "20 10\n")[number] if slow else "10\n",
            f"sys/devices/virtual/memory_tiering/memory_tier{4 + 4 * number}/nodelist": f"{number}\n",
        }  # fmt: skip
    files["proc/zoneinfo"] = "".join(
        f"Node {number}, zone   Normal\n  pages free     9\n        spanned  {PAGES}\n        present  {PAGES}\n"
        f"        managed  {PAGES}\n  start_pfn:           {number * PAGES}\n"
        for number in numbers
    )
    line = "avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    files["proc/pressure/memory"] = f"some {line}full {line}"
    files["proc/vmstat"] = "nr_free_pages 5\noom_kill 3\n"
    files["proc/sys/kernel/numa_balancing"] = "0\n"
    files |= {f"sys/fs/cgroup/{path}": "" for path in ("cgroup.controllers", "work/a", "other/a")}
    trees.plant(root, files)
    write(host, {})
    return host


def write(host: Host, pages: dict[int, tuple[str, int]]) -> None:
    """Fill frames: a cgroup's path and flags for each frame number; all others are free."""
    count = 2 * PAGES
    flags, owners = np.full(count, 1 << 10, dtype=np.uint64), np.zeros(count, dtype=np.uint64)
    for pfn, (path, bits) in pages.items():
        flags[pfn], owners[pfn] = bits, cgroup.inode(host, path)
    (host.proc / "kpageflags").write_bytes(flags.tobytes())
    (host.proc / "kpagecgroup").write_bytes(owners.tobytes())


@dataclass
class Policy:
    """A PolicySource whose answers a test sets."""

    settings: Settings | None = field(default_factory=Settings)
    paused: bool = False
    known_pods: dict[str, Pod] | None = None

    def current(self) -> Assignment:
        return Assignment(self.settings, "p", paused=self.paused)

    def pods(self) -> dict[str, Pod] | None:
        return self.known_pods


@dataclass
class Time:
    """A Clock that a test winds. `ends_at` is when SIGTERM comes."""

    seconds: float = 1000.0
    ends_at: float = float("inf")
    waits: list[Woken] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def wait(self, seconds: float) -> Woken:
        if self.waits:
            return self.waits.pop(0)
        self.seconds += max(0.0, seconds)
        return Woken.END if self.ending() else Woken.ELAPSED

    def ending(self) -> bool:
        return self.seconds >= self.ends_at

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        if self.ending():
            raise Ended
        yield


@dataclass
class Pretender:
    """An Engine that moves pages in the tree of fakes, and keeps what it was asked."""

    host: Host
    name: str = "MovePages"
    asked: list[Request] = field(default_factory=list)
    error: str | None = None
    results: Result = Result.MOVED

    def migrate(self, moves: Request) -> Outcome:
        self.asked.append(moves)
        if self.error is not None:
            return Outcome(np.full(moves.pfns.shape, Result.NOT_ATTEMPTED, dtype=np.uint8), error=self.error)
        results = np.full(moves.pfns.shape, self.results, dtype=np.uint8)
        if self.results is Result.MOVED:
            self._move(moves)
        return Outcome(results, 0.5)

    def stop(self) -> None:
        pass

    def _move(self, moves: Request) -> None:
        both: Any = [
            np.fromfile(self.host.proc / name, dtype=np.uint64) for name in ("kpageflags", "kpagecgroup")
        ]
        for pfn, node in zip(moves.pfns.tolist(), moves.targets.tolist(), strict=True):
            free = np.flatnonzero(both[1][node * PAGES + 512 : (node + 1) * PAGES] == 0)
            to = node * PAGES + 512 + int(free[0])
            both[0][to], both[1][to] = both[0][pfn], both[1][pfn]
            both[0][pfn], both[1][pfn] = 1 << 10, 0
        for name, words in zip(("kpageflags", "kpagecgroup"), both, strict=True):
            (self.host.proc / name).write_bytes(words.tobytes())
