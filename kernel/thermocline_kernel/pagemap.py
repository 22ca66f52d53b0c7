"""/proc/PID/pagemap: which physical page is behind a virtual one, eight bytes for each.

Source: Documentation/admin-guide/mm/pagemap.rst, fs/proc/task_mmu.c, Linux 6.12:

    bits 0-54   frame number (PFN) if present
    bit  56     mapped by this process alone (since 4.2)
    bit  61     page of a file, or of shared anonymous memory (since 3.5)
    bit  62     swapped out, or being migrated
    bit  63     present
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from thermocline_kernel.arrays import U64, Mask, any_bit, read_words, read_words_at
from thermocline_kernel.errors import Denied
from thermocline_kernel.host import PAGE_BYTES, Host

_FRAME: Final = np.uint64((1 << 55) - 1)
_EXCLUSIVE: Final = np.uint64(1 << 56)
_FILE_OR_SHARED: Final = np.uint64(1 << 61)
_SWAPPED: Final = np.uint64(1 << 62)
_PRESENT: Final = np.uint64(1 << 63)


@dataclass(frozen=True, slots=True, eq=False)
class Pagemap:
    """The pages of a virtual range, in order; all arrays have one element a page, shape (n,)."""

    address: int
    entries: U64

    @property
    def present(self) -> Mask:
        """Whether a physical page is there."""
        return any_bit(self.entries, _PRESENT)

    @property
    def swapped(self) -> Mask:
        """Whether the page is in swap space, or on its way from one frame to another."""
        return any_bit(self.entries, _SWAPPED)

    @property
    def exclusive(self) -> Mask:
        """Whether no other process maps the page."""
        return any_bit(self.entries, _EXCLUSIVE)

    @property
    def file_or_shared(self) -> Mask:
        """Whether the page is the page cache's or shared anonymous memory."""
        return any_bit(self.entries, _FILE_OR_SHARED)

    @property
    def pfns(self) -> U64:
        """The frame number of each page; meaningless (0) where none is present."""
        return np.where(self.present, self.entries & _FRAME, np.uint64(0))


def read(host: Host, pid: int | str, address: int, count: int) -> Pagemap:
    """What lies behind `count` pages from the one that holds `address` on. `pid` may be "self".

    Raises Unavailable (no such process), Denied, Failed, or Garbled when the process is exiting or the range
    leaves its address space. Denied also when the kernel hides frame numbers, as it does without
    CAP_SYS_ADMIN (since 4.2, commit 1c90308e7a77): it then says 0 for every page.
    """
    path = host.proc / str(pid) / "pagemap"
    first = address // PAGE_BYTES
    pagemap = Pagemap(first * PAGE_BYTES, read_words(path, first, count))
    present = pagemap.present
    if present.any() and not pagemap.pfns.any():
        raise Denied(path, "frame numbers are hidden: they need CAP_SYS_ADMIN")
    return pagemap


def pfns_at(host: Host, pid: int, addresses: U64) -> U64:
    """The frame behind each of these virtual addresses, in any order, shape (n,); 0 where none is present.

    Raises as read does, but for hidden frame numbers, which are 0 here.
    """
    entries = read_words_at(host.proc / str(pid) / "pagemap", addresses // np.uint64(PAGE_BYTES))
    return np.where(any_bit(entries, _PRESENT), entries & _FRAME, np.uint64(0))
