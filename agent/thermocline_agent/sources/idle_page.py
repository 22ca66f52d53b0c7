"""IdlePage: the kernel's idle page tracking. One bit a page and interval: accessed, or not.

The pages of a window are marked idle; an interval later those that are not idle any more have been accessed. The
window is as large as cpuLimit allows, and goes round, so on a large machine a page is looked at every few intervals.

The kernel takes the accessed bit from page tables and does not flush TLBs for it: a page whose translation stays in a
CPU's TLB through a whole interval looks idle although it is in use.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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


@dataclass(slots=True)
class IdlePage:
    """The source. `window` are the frames that were marked last.

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
    _frames: tuple[Frames, ...] = ()
    _next_pfn: int = 0
    _buffer: U64 = field(default_factory=lambda: np.empty(sets.CHUNK_PAGES, dtype=np.uint64))
    _marked_seconds: float = field(default=0.0)

    def start(self, frames: Sequence[Frames]) -> None:
        """Mark the first window. Raises Unavailable, Denied, Failed or Garbled."""
        self._frames = tuple(frames)
        self._next_pfn = 0
        self._mark()

    def observe(self) -> Observation:
        """Whether each page of the window was accessed; then the next window is marked. Raises as start does."""
        began = time.thread_time()
        covered = self.window
        firsts, lengths, counts = extents(self._look(chunk) for chunk in sets.chunks(covered))
        seconds = time.thread_time() - began + self._marked_seconds
        self.pace = self.pace.after(sets.total_pages(covered), seconds)
        self._mark()
        return Observation(Scale.ACCESSED, covered, firsts, lengths, counts, 1, ACCESSES_PER_BIT, seconds)

    def _look(self, chunk: Frames) -> tuple[int, U8, Mask]:
        idle = page_idle.read(self.host, chunk.first_pfn, chunk.pages)
        flags = kpage.flags(self.host, chunk.first_pfn, chunk.pages, self._buffer)
        if self.share is not None:
            self.share(chunk, flags)
        return chunk.first_pfn, *accessed(idle, flags)

    def stop(self) -> None:
        """Forget the window; a mark that stays on a page does no harm."""
        self.window = ()

    def _mark(self) -> None:
        began = time.thread_time()
        pages = self.pace.affordable(self.cpu_limit_cores, self.interval_seconds)
        self.window, self._next_pfn = sets.window(self._frames, self._next_pfn, pages)
        for chunk in sets.chunks(self.window):
            page_idle.mark(self.host, chunk.first_pfn, chunk.pages)
        self._marked_seconds = time.thread_time() - began


def accessed(idle: Mask, flags: U64) -> tuple[U8, Mask]:
    """Which pages of a chunk are not idle any more, and of which pages that is known, shape (pages,). Pure.

    At the end of memory `idle` may be shorter than `flags`: of the rest nothing is known.
    """
    known = lru.heads(flags)
    known[idle.size :] = False
    found = known.copy()
    found[: idle.size] &= ~idle
    lru.spread(flags, found, known)
    return found.view(np.uint8), known
