"""From frames to processes and virtual addresses: what the kernel knows and does not tell, found by reading pagemaps.

That takes 33 ns a mapped page, of every process that may map a frame wanted; so what was found is kept, in a bounded
cache, and is only ever a hint: whoever uses it looks whether the frame is still there (verified()). Through many or
large processes a search takes seconds, and so it asks before each stretch of them whether it must end.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from thermocline_kernel import maps, pagemap, process_stat
from thermocline_kernel.arrays import U64, Mask
from thermocline_kernel.errors import KernelInterfaceError
from thermocline_kernel.host import PAGE_BYTES, Host

NO_PROCESS: Final = 0
# 256 MiB of a process at a time: its pagemap is then 512 KiB.
_READ_PAGES: Final = 65_536
# 16 bytes each.
CACHE_PAGES: Final = 1 << 20


class Halted(Exception):
    """A search was told to end before it was through."""


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where each frame is mapped, shape (n,): a process, NO_PROCESS if none was found, and an address there."""

    pids: U64
    addresses: U64


@dataclass(frozen=True, slots=True, eq=False)
class _Process:
    """The frames of a process, in order, and their addresses. The time of its start tells it from a later one."""

    start_ticks: int
    pfns: U64
    addresses: U64


@dataclass(slots=True)
class ReverseMap:
    """Finds where frames are mapped. What is cached is that of the processes read last.

    `halted`: whether a search must end now.
    """

    host: Host
    halted: Callable[[], bool] = lambda: False
    cache_pages: int = CACHE_PAGES
    _cache: OrderedDict[int, _Process] = field(default_factory=OrderedDict)
    _cached_pages: int = 0

    def find(self, pfns: U64, processes: Iterable[int]) -> Places:
        """Look in the cache, then in these processes, until every frame is found. One that is gone is passed over.

        Raises Halted.
        """
        places = Places(np.zeros(pfns.shape, np.uint64), np.zeros(pfns.shape, np.uint64))
        if pfns.size == 0:
            return places
        for pid in list(self._cache):
            self._go_on()
            if self._is_same(pid):
                self._fill(places, pfns, pid, self._cache[pid])
                self._verify(places, pfns, pid)
            else:
                self._forget(pid)
        order = np.argsort(pfns, kind="stable")
        for pid in processes:
            if places.pids.all():
                break
            self._go_on()
            try:
                self._search(places, pfns, order, pid)
            except KernelInterfaceError:
                continue  # it ended meanwhile, or is not ours to look at: its pages stay unreachable
        return places

    def _search(self, places: Places, pfns: U64, order: NDArray[np.int64], pid: int) -> None:
        """Note the places of frames that a process maps. `order` is that of the frames by number.

        Raises Halted, and Unavailable, Denied, Failed or Garbled; what was found before is noted.
        """
        start_ticks = process_stat.read(self.host, pid).start_ticks
        ordered = pfns[order]
        kept: list[tuple[U64, U64]] = [(np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint64))]
        pages = 0
        for mapped, addresses in _stretches(self.host, pid):
            self._go_on()
            at = np.minimum(np.searchsorted(ordered, mapped), ordered.size - 1)
            hits = np.flatnonzero(ordered[at] == mapped)
            wanted = order[at[hits]]
            new = places.pids[wanted] == NO_PROCESS
            places.pids[wanted[new]] = pid
            places.addresses[wanted[new]] = addresses[hits][new]
            pages += mapped.size
            if pages <= self.cache_pages:
                kept.append((mapped, addresses))
            elif places.pids.all():
                return
        if pages <= self.cache_pages:
            frames, where = (np.concatenate(column) for column in zip(*kept, strict=True))
            by_frame = np.argsort(frames, kind="stable")
            self._remember(pid, _Process(start_ticks, frames[by_frame], where[by_frame]))

    def _go_on(self) -> None:
        if self.halted():
            raise Halted

    def _fill(self, places: Places, pfns: U64, pid: int, process: _Process) -> None:
        """Note the places of frames of a process that have none yet."""
        if process.pfns.size == 0:
            return
        at = np.minimum(np.searchsorted(process.pfns, pfns), process.pfns.size - 1)
        here = (process.pfns[at] == pfns) & (places.pids == NO_PROCESS)
        places.pids[here] = pid
        places.addresses[here] = process.addresses[at][here]

    def _verify(self, places: Places, pfns: U64, pid: int) -> None:
        """Take back the places in a process that the cache has wrong."""
        mine = places.pids == np.uint64(pid)
        wrong = np.flatnonzero(mine)[~verified(self.host, pid, places.addresses[mine], pfns[mine])]
        places.pids[wrong] = NO_PROCESS
        places.addresses[wrong] = 0
        if wrong.size:
            self._forget(pid)

    def _is_same(self, pid: int) -> bool:
        try:
            return process_stat.read(self.host, pid).start_ticks == self._cache[pid].start_ticks
        except KernelInterfaceError:
            return False

    def _remember(self, pid: int, process: _Process) -> None:
        self._forget(pid)
        self._cache[pid] = process
        self._cached_pages += process.pfns.size
        while self._cached_pages > self.cache_pages:
            self._forget(next(iter(self._cache)))

    def _forget(self, pid: int) -> None:
        gone = self._cache.pop(pid, None)
        if gone is not None:
            self._cached_pages -= gone.pfns.size


def verified(host: Host, pid: int, addresses: U64, pfns: U64) -> Mask:
    """At which addresses of a process the frames wanted are now, shape (n,); nowhere when it is gone."""
    try:
        same: Mask = pagemap.pfns_at(host, pid, addresses) == pfns
    except KernelInterfaceError:
        return np.zeros(pfns.shape, dtype=np.bool_)
    return same


def _stretches(host: Host, pid: int) -> Iterator[tuple[U64, U64]]:
    """The frames of a process and their addresses, so many at a time. Raises Unavailable, Denied, Failed or Garbled."""
    for mapping in maps.read(host, pid):
        for start in range(mapping.start, mapping.end, _READ_PAGES * PAGE_BYTES):
            pages = min(_READ_PAGES, (mapping.end - start) // PAGE_BYTES)
            read = pagemap.read(host, pid, start, pages)
            present = np.flatnonzero(read.present)
            addresses = present.astype(np.uint64) * np.uint64(PAGE_BYTES) + np.uint64(start)
            yield read.pfns[present], addresses
