"""Whose every page is, and which pages are tails of large folios: brought up to date a chunk of frames at a time, with
flags that a source has read anyway where there are some.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thermocline_agent import owners
from thermocline_agent.frames import CHUNK_PAGES, Frames, chunks, total_pages
from thermocline_agent.owners import Directory, Owner
from thermocline_agent.ownership import Ownership
from thermocline_agent.tails import Tails
from thermocline_kernel import kpage
from thermocline_kernel.arrays import U64
from thermocline_kernel.errors import KernelInterfaceError
from thermocline_kernel.host import Host
from thermocline_kernel.kpage import PageFlag

U16: TypeAlias = NDArray[np.uint16]

NOBODY: Final = 0
# Numbers are of 16 bits, and one of them means nobody.
MAX_OWNERS: Final = (1 << 16) - 1
# Runs that are longer on average are faster written one at a time than all at once.
_LONG_RUN: Final = 64


Identity: TypeAlias = str | tuple[int, str]


def identity(owner: Owner) -> Identity:
    """What makes two cgroups one owner: their pod, all of whose containers it is; else inode number and path. Pure."""
    return owner.pod_uid if owner.pod_uid is not None else (owner.inode, owner.path)


@dataclass(slots=True)
class Register:
    """Numbers of owners, from 1: an owner keeps its number while its cgroup lives; afterwards another may get it.

    All cgroups of a pod have one number, and its uppermost one stands for it in `owners`. Beyond MAX_OWNERS a cgroup
    has none, and its pages are nobody's.
    """

    owners: dict[int, Owner] = field(default_factory=dict)
    _numbers: dict[Identity, int] = field(default_factory=dict)
    _inodes: U64 = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    _of_inode: U16 = field(default_factory=lambda: np.empty(0, dtype=np.uint16))

    def renew(self, directory: Directory) -> frozenset[int]:
        """Take over the cgroups of now; the numbers of those that are gone, whose pages are nobody's from now on."""
        here: dict[Identity, Owner] = {}
        for owner in directory.owners:
            who = identity(owner)
            if who not in here or len(owner.path) < len(here[who].path):
                here[who] = owner
        gone = frozenset(number for who, number in self._numbers.items() if who not in here)
        self._numbers = {who: number for who, number in self._numbers.items() if number not in gone}
        # A number that has just become free still stands in arrays until whoever keeps them has heard.
        taken = {*self._numbers.values(), *gone}
        free = (number for number in range(1, MAX_OWNERS + 1) if number not in taken)
        for who in here:
            if who not in self._numbers and (number := next(free, None)) is not None:
                self._numbers[who] = number
        self.owners = {number: here[who] for who, number in self._numbers.items()}
        known = [
            (owner.inode, number)
            for owner in directory.owners
            if (number := self._numbers.get(identity(owner))) is not None
        ]
        self._inodes = np.array([inode for inode, _ in known], dtype=np.uint64)
        self._of_inode = np.array([number for _, number in known], dtype=np.uint16)
        return gone

    def numbers(self, inodes: U64) -> U16:
        """The number of each page's owner, shape (n,). Runs of pages of one owner are looked up once."""
        if inodes.size == 0 or self._inodes.size == 0:
            return np.zeros(inodes.shape, dtype=np.uint16)
        starts = np.concatenate(([0], np.flatnonzero(inodes[1:] != inodes[:-1]) + 1))
        wanted = inodes[starts]
        places = np.minimum(np.searchsorted(self._inodes, wanted), self._inodes.size - 1)
        found = np.where(self._inodes[places] == wanted, self._of_inode[places], np.uint16(NOBODY))
        ends = np.append(starts[1:], inodes.size)
        if starts.size * _LONG_RUN > inodes.size:
            return np.repeat(found, ends - starts)
        numbers = np.empty(inodes.shape, dtype=np.uint16)
        for start, end, number in zip(starts.tolist(), ends.tolist(), found.tolist(), strict=True):
            numbers[start:end] = number
        return numbers


class Census:
    """`owner` and `tails` tell of each frame, in order of their numbers, shape (pages,).

    What cannot be moved, as what nobody owns and what was never looked at, is NOBODY's.
    """

    __slots__ = ("_buffer", "_firsts", "_starts", "frames", "owner", "register", "tails")

    def __init__(self, frames: Sequence[Frames]) -> None:
        """Frames are in order and do not overlap."""
        self.frames = tuple(frames)
        self.register = Register()
        # Cut as looks are, which then replace whole chunks.
        self.owner = Ownership([each.pages for each in chunks(self.frames)])
        self.tails = Tails(total_pages(self.frames))
        self._buffer: U64 = np.empty(CHUNK_PAGES, dtype=np.uint64)
        self._firsts = [each.first_pfn for each in self.frames]
        self._starts = np.cumsum([0, *(each.pages for each in self.frames)]).tolist()

    def renew(self, host: Host) -> frozenset[int]:
        """Take over the cgroups of now; the numbers of owners that are gone. Raises Unavailable, Failed or Garbled."""
        gone = self.register.renew(Directory.read(host))
        if gone:
            self.owner.forget_owners(np.array(sorted(gone), dtype=np.uint16))
        return gone

    def look(self, host: Host, chunk: Frames, flags: U64 | None = None) -> None:
        """Bring a chunk up to date, of at most CHUNK_PAGES and in one of the frames' ranges; `flags` are its, if known.

        Raises Unavailable, Denied, Failed or Garbled, and then the chunk is nobody's.
        """
        at = self._place(chunk)
        try:
            if flags is None:
                flags = kpage.flags(host, chunk.first_pfn, chunk.pages)
            inodes = kpage.cgroups(host, chunk.first_pfn, chunk.pages, self._buffer)
        except KernelInterfaceError:
            self.owner.write(at, np.full(chunk.pages, NOBODY, dtype=np.uint16))
            raise
        self.owner.write(at, self.register.numbers(inodes) * owners.movable(flags))
        self.tails.write(at, kpage.has(flags, PageFlag.COMPOUND_TAIL))

    def _place(self, chunk: Frames) -> int:
        for first, start, end in zip(self._firsts, self._starts, self._starts[1:], strict=False):
            at = start + chunk.first_pfn - first
            if first <= chunk.first_pfn and at + chunk.pages <= end:
                return int(at)
        raise ValueError(f"{chunk} lies in no range of the census")
