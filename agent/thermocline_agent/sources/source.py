"""What every source of heat hands over: how much each physical extent was accessed, and what it took to find out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.frames import Frames
from thermocline_kernel.arrays import U64, Mask

U8: TypeAlias = NDArray[np.uint8]


class Scale(Enum):
    """What the count of a page is, in an observation."""

    # 1 or 0: whether the page was accessed at all since the observation before.
    ACCESSED = "accessed"
    # In how many of `full` looks at its region a page of it had been accessed.
    SHARE = "share"
    # How many accesses were sampled, or counted by a device.
    COUNT = "count"
    # What the kernel's own ageing of pages left, of `full`; no time belongs to it.
    HINT = "hint"


# The number of accesses behind an access bit is not known: a page that is read once from end to end costs one for
# each of its cache lines.
ACCESSES_PER_BIT: Final = 64.0


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What was seen in an interval, by physical extent: arrays have one element an extent, shape (n,).

    Extents are in order and do not overlap; `counts` is that of each page of the extent, `full` the highest there
    can be, if there is one, and `accesses_per_count` what one stands for. `covered` are the frames that were looked
    at, in order: of all others nothing is known, and that is neither cold nor empty. A covered frame in no extent
    has no page that heat can be told of. `cpu_seconds` is what it all cost, threads of the kernel that work for it
    included; `missed` is how many records or samples are known to be lost.
    """

    scale: Scale
    covered: tuple[Frames, ...]
    first_pfns: U64
    pages: U64
    counts: U64
    full: int | None
    accesses_per_count: float
    cpu_seconds: float
    missed: int = 0

    def of(self, frames: Frames) -> tuple[U64, Mask]:
        """The count of each frame of a range, shape (pages,), and whether it is known; 0 where it is not."""
        counts = np.zeros(frames.pages, dtype=np.uint64)
        known = np.zeros(frames.pages, dtype=np.bool_)
        ends = self.first_pfns + self.pages
        first = int(np.searchsorted(ends, frames.first_pfn, side="right"))
        last = int(np.searchsorted(self.first_pfns, frames.end_pfn, side="left"))
        if first >= last:
            return counts, known
        starts = np.maximum(self.first_pfns[first:last], frames.first_pfn).astype(np.int64) - frames.first_pfn
        stops = np.minimum(ends[first:last], frames.end_pfn).astype(np.int64) - frames.first_pfn
        lengths = stops - starts
        # The place of each known frame: its extent's start, and its own number within that.
        inside = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        places = np.repeat(starts, lengths) + inside
        counts[places] = np.repeat(self.counts[first:last], lengths)
        known[places] = True
        return counts, known


class Source(Protocol):
    """A source of heat. Methods raise KernelInterfaceError when the source cannot go on: then stop() it."""

    @property
    def name(self) -> str:
        """As the policy's `sources` writes it."""

    def start(self, frames: Sequence[Frames]) -> None:
        """Observe these frames, in order and not overlapping, from now on; what was observed before is forgotten."""

    def observe(self) -> Observation:
        """What was seen since start(), or since the observation before."""

    def stop(self) -> None:
        """Leave nothing running in the kernel. Does nothing after the first time."""


def extents(pieces: Iterable[tuple[int, U8, Mask]]) -> tuple[U64, U64, U64]:
    """First frames, lengths and counts of the extents of pieces whose pages have a count each.

    A piece is its first frame, its pages' counts, below 255, and of which pages they are known; pieces are in
    order. Neighbours of one count become one extent.
    """
    firsts: list[U64] = []
    lengths: list[U64] = []
    counts: list[U64] = []
    for first_pfn, values, known in pieces:
        if values.size == 0:
            continue
        # Unknown pages get a count that no known page has.
        marked = values | (known.view(np.uint8) - np.uint8(1))
        starts = np.concatenate(([0], np.flatnonzero(marked[1:] != marked[:-1]) + 1))
        sizes = np.diff(starts, append=marked.size)
        found = marked[starts]
        if not known.all():
            keep = found != 255
            starts, sizes, found = starts[keep], sizes[keep], found[keep]
        firsts.append(starts.view(np.uint64) + np.uint64(first_pfn))
        lengths.append(sizes.view(np.uint64))
        counts.append(found.astype(np.uint64))
    nothing = np.empty(0, dtype=np.uint64)
    return (
        np.concatenate([nothing, *firsts]), np.concatenate([nothing, *lengths]), np.concatenate([nothing, *counts])
    )  # fmt: skip
