"""Damon: the kernel's own physical mover, on stock kernels since 6.11: schemes that migrate what is in given ranges.

A run has the ranges to move as its regions, and one scheme for each owner, whose filter lets pages of that cgroup
pass and no others: so the kernel itself checks the owner, at the very moment of the move, and a run that outlives its
agent can move nobody else's pages. DAMON reports bytes and no pages; what became of a page is seen by looking at its
frame.

DAMON ignores cpusets, and moves a large folio of which one page is named as a whole.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thermocline_agent import frames as sets
from thermocline_agent import owners
from thermocline_agent.engines.engine import Outcome, Request, Result, Results
from thermocline_agent.kdamonds import MOVER, Kdamonds, cpu_seconds
from thermocline_kernel import cgroup
from thermocline_kernel.damon import Action, CgroupFilter, Context, Range, Scheme
from thermocline_kernel.errors import Failed, KernelInterfaceError, Unavailable
from thermocline_kernel.host import PAGE_BYTES, Host

Places: TypeAlias = NDArray[np.int64]

# Every scheme walks every range, at 10 us a MiB.
OWNERS_AT_ONCE: Final = 16
RANGES_AT_ONCE: Final = 4096
# A run cannot be ended before it has seen all of its pages once.
PAGES_AT_ONCE: Final = 65_536
# A pass comes every so often. The kernel answers what it has done a tenth of a second after it is asked, so pages that
# are busy are tried two or three times.
_PASS_US: Final = 50_000
_ASK: Final = 100


@dataclass(slots=True)
class Damon:
    """The engine. `fast` are the nodes that pages are promoted to: a scheme is for hot pages, or for cold ones.

    `halted`: whether it must leave off.
    """

    host: Host
    kdamonds: Kdamonds
    fast: frozenset[int]
    halted: Callable[[], bool] = lambda: False
    name: str = "Damon"

    def migrate(self, moves: Request) -> Outcome:
        """See Engine."""
        began = time.thread_time()
        results = np.full(moves.pfns.shape, Result.NOT_ATTEMPTED, dtype=np.uint8)
        kernel_seconds = 0.0
        error: str | None = None
        try:
            tree = cgroup.walk(self.host)
            known = np.isin(moves.owners, np.array(list(tree), dtype=np.uint64))
            results[~known] = Result.CHANGED
            self.kdamonds.acquire(MOVER)
            for run in runs(moves, np.flatnonzero(known)):
                kernel_seconds += self._run(moves.some(run), tree, results, run)
        except KernelInterfaceError as err:
            error = str(err)
        return Outcome(results, time.thread_time() - began + kernel_seconds, error)

    def stop(self) -> None:
        """Give the kdamond back. Raises Unavailable, Denied, Failed or Garbled."""
        self.kdamonds.release(MOVER)

    def _run(self, moves: Request, tree: Mapping[int, str], results: Results, run: Places) -> float:
        """Move pages that go to one node, write their results, and return the CPU time of the kernel's thread."""
        admin = self.kdamonds.admin
        wanted = context(moves, tree, self.fast)
        try:
            admin.start(MOVER, wanted)
        except Failed as err:
            gone = ~np.isin(moves.owners, np.array(list(cgroup.walk(self.host)), dtype=np.uint64))
            if err.errno != errno.EINVAL or not gone.any():
                raise
            # A cgroup went away since the walk. The others' pages have their turn in the next round.
            results[run[gone]] = Result.CHANGED
            return 0.0
        try:
            applied = self._wait(moves.pfns.size * PAGE_BYTES)
            pid = admin.pid(MOVER)
            # In a container nobody can tell, and none is counted.
            seconds = (cpu_seconds(self.host, pid) or 0.0) if pid is not None else 0.0
        finally:
            admin.stop(MOVER)
        results[run] = self._seen(moves, applied)
        return seconds

    def _wait(self, total_bytes: int) -> int:
        """Wait until every scheme has been through all ranges, or it must leave off; how many bytes they have moved.

        Raises Unavailable.
        """
        for _ in range(_ASK):
            stats = self.kdamonds.admin.stats(MOVER)
            if self.halted() or all(each.tried_bytes >= total_bytes for each in stats):
                return sum(each.applied_bytes for each in stats)
        raise Unavailable(
            "DAMON", f"its schemes were not through with {total_bytes} bytes when asked {_ASK} times"
        )

    def _seen(self, moves: Request, applied_bytes: int) -> Results:
        """What became of each page, by what is in its frame now."""
        # DAMON does not say why a page stays.
        results = np.full(moves.pfns.shape, Result.UNKNOWN, dtype=np.uint8)
        # A frame that a page has left is charged to nobody, or to another.
        left = np.flatnonzero(~owners.unchanged(self.host, moves.pfns, moves.owners))
        # More than was moved left by itself. Which did is not known, only how many at least: a folio that is moved
        # counts as a whole, and may be named by one of its pages.
        results[left] = Result.GONE
        results[left[: applied_bytes // PAGE_BYTES]] = Result.MOVED
        return results


def context(moves: Request, tree: Mapping[int, str], fast: frozenset[int]) -> Context:
    """What the kernel is told, for moves to one node, in order of frames. Pure."""
    ranges = tuple(
        Range(each.first_pfn * PAGE_BYTES, each.end_pfn * PAGE_BYTES) for each in sets.of_pfns(moves.pfns)
    )
    target = int(moves.targets[0])
    action = Action.MIGRATE_HOT if target in fast else Action.MIGRATE_COLD
    schemes = tuple(
        Scheme(action, target, filters=(CgroupFilter(tree[inode]),))
        for inode in np.unique(moves.owners).tolist()
    )
    # With as many regions as this the kernel neither merges them nor splits them more than once.
    return Context(ranges, _PASS_US, _PASS_US, 10, max(10, 2 * len(ranges)), schemes)


def runs(moves: Request, which: Places) -> Iterator[Places]:
    """The moves at these places, cut into runs: of one target, of not too many owners, ranges and pages. Pure.

    Within a run places are in order of frames.
    """
    for target in np.unique(moves.targets[which]):
        there = which[moves.targets[which] == target]
        inodes = np.unique(moves.owners[there])
        for first in range(0, inodes.size, OWNERS_AT_ONCE):
            mine = there[np.isin(moves.owners[there], inodes[first : first + OWNERS_AT_ONCE])]
            mine = mine[np.argsort(moves.pfns[mine], kind="stable")]
            # A new run begins where another range would be one too many.
            breaks = np.cumsum(np.diff(moves.pfns[mine], prepend=moves.pfns[mine[:1]]) > 1)
            numbers = np.maximum(breaks // RANGES_AT_ONCE, np.arange(mine.size) // PAGES_AT_ONCE)
            yield from np.split(mine, np.flatnonzero(np.diff(numbers)) + 1)
