"""IdlePage: the kernel's idle page tracking. One bit a page and look: accessed, or not.

The pages of a window are marked idle; those that are not idle any more at the next look have been accessed. The window
is as large as cpuLimit allows, and goes round, so on a large machine a page is looked at every few intervals; on a
small one, where more than all of memory is allowed, up to four times in one, which tells pages apart that are all
accessed in any longer time.

The kernel takes the accessed bit from page tables and does not flush TLBs for it: a page whose translation stays in a
CPU's TLB through a whole interval looks idle although it is in use.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from thermocline_agent import frames as sets
from thermocline_agent.frames import Frames
from thermocline_agent.sources import lru
from thermocline_agent.sources.pacing import Pace
from thermocline_agent.sources.source import ACCESSES_PER_BIT, U8, Observation, Scale, extents
from thermocline_kernel import kpage, page_idle
from thermocline_kernel.arrays import U64, Mask
from thermocline_kernel.host import Host

# A page's flags, and its mappings walked twice, at the beginning: 0.5 us.
_FIRST_PACE: Final = Pace(5e-7)
# More of them cost more, and tell little more.
_MOST_LOOKS: Final = 4


@dataclass(slots=True)
class IdlePage:
    """The source. `window` are the frames that were marked last, and `looks` how often they shall be looked at in the
    interval that has begun: look() is for all but the last, which is observe().

    `share` is handed the flags of each chunk that is looked at, for reading them is a third of what looking costs;
    the array is used again once it has returned.
    """

    host: Host
    interval_seconds: float
    cpu_limit_cores: float
    name: str = "IdlePage"
    share: Callable[[Frames, U64], None] | None = None
    pace: Pace = _FIRST_PACE
    window: tuple[Frames, ...] = ()
    looks: int = 1
    _frames: tuple[Frames, ...] = ()
    _next_pfn: int = 0
    # By chunk of the window, in how many looks each page was found accessed, and how many there were.
    _found: list[U8] = field(default_factory=list)
    _looked: int = 0
    _buffer: U64 = field(default_factory=lambda: np.empty(sets.CHUNK_PAGES, dtype=np.uint64))
    _spent_seconds: float = field(default=0.0)

    def start(self, frames: Sequence[Frames]) -> None:
        """Mark the first window. Raises Unavailable, Denied, Failed or Garbled."""
        self._frames = tuple(frames)
        self._next_pfn = 0
        self._mark()

    def look(self) -> None:
        """One of the looks before the interval's last. Raises as start does."""
        began = time.thread_time()
        chunks = list(sets.chunks(self.window))
        if not self._looked:
            self._found = [np.zeros(chunk.pages, dtype=np.uint8) for chunk in chunks]
        for chunk, found in zip(chunks, self._found, strict=True):
            idle = page_idle.read(self.host, chunk.first_pfn, chunk.pages)
            found[: idle.size] += ~idle
            page_idle.mark(self.host, chunk.first_pfn, chunk.pages)
        self._looked += 1
        self._spent_seconds += time.thread_time() - began

    def observe(self) -> Observation:
        """In how many looks each page of the window was found accessed; then the next window is marked.

        Raises as start does.
        """
        began = time.thread_time()
        covered, looks = self.window, self._looked + 1
        firsts, lengths, counts = extents(self._told(covered))
        seconds = time.thread_time() - began + self._spent_seconds
        self.pace = self.pace.after(sets.total_pages(covered) * looks, seconds)
        self._mark()
        scale = Scale.ACCESSED if looks == 1 else Scale.SHARE
        return Observation(scale, covered, firsts, lengths, counts, looks, ACCESSES_PER_BIT, seconds)

    def _told(self, covered: Sequence[Frames]) -> Iterator[tuple[int, U8, Mask]]:
        for number, chunk in enumerate(sets.chunks(covered)):
            idle = page_idle.read(self.host, chunk.first_pfn, chunk.pages)
            flags = kpage.flags(self.host, chunk.first_pfn, chunk.pages, self._buffer)
            if self.share is not None:
                self.share(chunk, flags)
            yield chunk.first_pfn, *accessed(idle, flags, self._found[number] if self._looked else None)

    def stop(self) -> None:
        """Forget the window; a mark that stays on a page does no harm."""
        self.window, self.looks = (), 1

    def _mark(self) -> None:
        began = time.thread_time()
        pages = self.pace.affordable(self.cpu_limit_cores, self.interval_seconds)
        self.looks = min(max(pages // max(sets.total_pages(self._frames), 1), 1), _MOST_LOOKS)
        self._looked = 0
        self.window, self._next_pfn = sets.window(self._frames, self._next_pfn, pages)
        for chunk in sets.chunks(self.window):
            page_idle.mark(self.host, chunk.first_pfn, chunk.pages)
        self._spent_seconds = time.thread_time() - began


def accessed(idle: Mask, flags: U64, before: U8 | None = None) -> tuple[U8, Mask]:
    """In how many looks pages of a chunk were found accessed, and of which pages that is known, shape (pages,). Pure.

    `idle`: those that still are; `before`: what looks before this one found, and None where there were none. At the end
    of memory `idle` may be shorter than `flags`: of the rest nothing is known.
    """
    known = lru.heads(flags)
    known[idle.size :] = False
    found = known.copy()
    found[: idle.size] &= ~idle
    counts = found.view(np.uint8)
    if before is not None:
        counts += before * known
    lru.spread(flags, counts, known)
    return counts, known
