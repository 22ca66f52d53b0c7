"""Referenced: what the kernel's own ageing has left in page flags, by /proc/kpageflags. The weakest source.

A page of a file is marked referenced, then active, when it is read or written again and again. An anonymous page is
marked so only when reclaim looks at it, which on a machine with free memory it does not do: so this source says
little of anonymous memory. With the multi-generational LRU on, flags tell that a page of a file was read, and not how
often. It changes nothing and is on every kernel.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from thermocline_agent import frames as sets
from thermocline_agent.frames import Frames
from thermocline_agent.sources.pacing import Pace
from thermocline_agent.sources.source import ACCESSES_PER_BIT, U8, Observation, Scale, extents
from thermocline_kernel import kpage
from thermocline_kernel.arrays import U64, Mask
from thermocline_kernel.host import Host
from thermocline_kernel.kpage import PageFlag

_FIRST_PACE: Final = Pace(1e-7)


@dataclass(slots=True)
class Referenced:
    """The source. As much is read in an interval as cpuLimit allows; the rest has its turn later."""

    host: Host
    interval_seconds: float
    cpu_limit_cores: float
    name: str = "Referenced"
    pace: Pace = _FIRST_PACE
    _frames: tuple[Frames, ...] = ()
    _next_pfn: int = 0

    def start(self, frames: Sequence[Frames]) -> None:
        """Begin with the first frame."""
        self._frames = tuple(frames)
        self._next_pfn = 0

    def observe(self) -> Observation:
        """The hints of the next window. Raises Unavailable, Denied, Failed or Garbled."""
        began = time.thread_time()
        pages = self.pace.affordable(self.cpu_limit_cores, self.interval_seconds)
        window, self._next_pfn = sets.window(self._frames, self._next_pfn, pages)
        firsts, lengths, counts = extents(
            (chunk.first_pfn, *hint(kpage.flags(self.host, chunk.first_pfn, chunk.pages)))
            for chunk in sets.chunks(window)
        )
        seconds = time.thread_time() - began
        self.pace = self.pace.after(sets.total_pages(window), seconds)
        return Observation(Scale.HINT, window, firsts, lengths, counts, 2, ACCESSES_PER_BIT / 2, seconds)

    def stop(self) -> None:
        """Nothing is left anywhere."""
        self._frames = ()


def hint(flags: U64) -> tuple[U8, Mask]:
    """What flags hint at, and of which pages: those of user memory. Pure.

    Active counts one, and so does referenced. Since 6.9 tails have the flags of their head; before, they are unknown.
    """
    counts = kpage.has(flags, PageFlag.ACTIVE).view(np.uint8) + kpage.has(flags, PageFlag.REFERENCED)
    return counts.astype(np.uint8, copy=False), kpage.has(flags, PageFlag.LRU)
