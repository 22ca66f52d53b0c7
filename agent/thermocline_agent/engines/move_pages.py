"""MovePages: move_pages(2), on any kernel. It wants a process and an address, so each frame's are looked for first.

That is what makes it the expensive engine, and a page that no process maps, such as page cache after its reader has
ended, is out of its reach.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from thermocline_agent import owners
from thermocline_agent.engines.engine import Outcome, Request, Result, Results, from_statuses
from thermocline_agent.engines.reverse_map import NO_PROCESS, Halted, Places, ReverseMap, verified
from thermocline_kernel import cgroup, kpage, maps, move_pages
from thermocline_kernel.arrays import I32, U64
from thermocline_kernel.errors import KernelInterfaceError
from thermocline_kernel.host import Host

CALL_PAGES: Final = 4096


@dataclass(slots=True)
class MovePages:
    """The engine. A page that several processes map moves for all of them.

    `halted`: whether it must end now. Finding the pages can take long, so a search that is cut off moves none.
    """

    host: Host
    halted: Callable[[], bool] = lambda: False
    name: str = "MovePages"
    reverse: ReverseMap = field(init=False)

    def __post_init__(self) -> None:
        self.reverse = ReverseMap(self.host, self.halted)

    def migrate(self, moves: Request) -> Outcome:
        """See Engine."""
        began = time.thread_time()
        results = np.full(moves.pfns.shape, Result.NOT_ATTEMPTED, dtype=np.uint8)
        error: str | None = None
        try:
            # One page that nobody maps would have every process searched in vain.
            mapped = kpage.mapcounts_at(self.host, moves.pfns) > 0
            results[~mapped] = Result.UNREACHABLE
            wanted = moves.some(mapped)
            if wanted.pfns.size:
                places = self.reverse.find(wanted.pfns, candidates(self.host, wanted.owners))
                results[mapped], error = self._carried_out(wanted, places)
        except KernelInterfaceError as err:
            error = str(err)
        except Halted:
            pass  # nothing has failed
        return Outcome(results, time.thread_time() - began, error)

    def stop(self) -> None:
        """Nothing is left anywhere."""

    def _carried_out(self, moves: Request, places: Places) -> tuple[Results, str | None]:
        """Results of all, and the first error of a call as a whole."""
        results = np.where(places.pids == NO_PROCESS, Result.UNREACHABLE, Result.NOT_ATTEMPTED).astype(
            np.uint8
        )
        errors: list[str] = []
        for pid in np.unique(places.pids[places.pids != NO_PROCESS]).tolist():
            mine = np.flatnonzero(places.pids == pid)
            for start in range(0, mine.size, CALL_PAGES):
                if self.halted():
                    break
                piece = mine[start : start + CALL_PAGES]
                try:
                    results[piece] = self._move(pid, places, piece, moves)
                except KernelInterfaceError as err:
                    errors.append(str(err))
        return results, errors[0] if errors else None

    def _move(self, pid: int, places: Places, piece: NDArray[np.int64], moves: Request) -> Results:
        """Results of some pages of one process. Raises KernelInterfaceError when the call as a whole fails."""
        addresses, targets = places.addresses[piece], moves.targets[piece]
        results = np.full(piece.shape, Result.GONE, dtype=np.uint8)
        # The search took its time: a frame freed and charged to another meanwhile was found in the other's process.
        same = owners.unchanged(self.host, moves.pfns[piece], moves.owners[piece])
        results[~same] = Result.CHANGED
        there = np.flatnonzero(same & verified(self.host, pid, addresses, moves.pfns[piece]))
        if there.size:
            results[there] = _moved(pid, addresses[there], targets[there])
        return results


def _moved(pid: int, addresses: U64, targets: I32) -> Results:
    statuses = move_pages.move(pid, addresses, targets, shared=True)
    results = from_statuses(statuses, targets)
    left = np.flatnonzero(results != Result.MOVED)
    if left.size:
        # The second page of a large folio is refused as busy while the first takes it along: look where it is.
        on = move_pages.query(pid, addresses[left])
        results[left[on == targets[left]]] = Result.MOVED
    return results


def candidates(host: Host, inodes: U64) -> Iterator[int]:
    """Processes that may map pages of these cgroups: those in the cgroups themselves first, then all others.

    Raises Unavailable, Denied, Failed or Garbled.
    """
    tree = cgroup.walk(host)
    seen: set[int] = set()
    for inode in np.unique(inodes).tolist():
        if inode not in tree:
            continue
        try:
            members = cgroup.processes(host, tree[inode])
        except KernelInterfaceError:
            continue  # it went away, and its processes with it
        yield from (pid for pid in members if pid not in seen)
        seen.update(members)
    yield from (pid for pid in maps.processes(host) if pid not in seen)
