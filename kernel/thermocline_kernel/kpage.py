"""/proc/kpageflags, /proc/kpagecount and /proc/kpagecgroup: eight bytes for each physical page.

Source: Documentation/admin-guide/mm/pagemap.rst, fs/proc/page.c, Linux 6.12. All three need CAP_SYS_ADMIN or
root to open. A read costs 60 to 100 ns a page, so ask for ranges, and not for all of memory.
"""

from __future__ import annotations

from enum import IntFlag

from thermocline_kernel.arrays import U64, Mask, any_bit, read_words, read_words_at
from thermocline_kernel.host import Host


class PageFlag(IntFlag):
    """KPF_* of include/uapi/linux/kernel-page-flags.h (stable; the newest, PGTABLE, since 4.18)."""

    LOCKED = 1 << 0
    ERROR = 1 << 1
    REFERENCED = 1 << 2
    UPTODATE = 1 << 3
    DIRTY = 1 << 4
    LRU = 1 << 5
    ACTIVE = 1 << 6
    SLAB = 1 << 7
    WRITEBACK = 1 << 8
    RECLAIM = 1 << 9
    BUDDY = 1 << 10
    MMAP = 1 << 11
    ANON = 1 << 12
    SWAPCACHE = 1 << 13
    SWAPBACKED = 1 << 14
    COMPOUND_HEAD = 1 << 15
    COMPOUND_TAIL = 1 << 16
    HUGE = 1 << 17
    UNEVICTABLE = 1 << 18
    HWPOISON = 1 << 19
    NOPAGE = 1 << 20
    KSM = 1 << 21
    THP = 1 << 22
    OFFLINE = 1 << 23
    ZERO_PAGE = 1 << 24
    IDLE = 1 << 25
    PGTABLE = 1 << 26


def flags(host: Host, pfn: int, count: int, into: U64 | None = None) -> U64:
    """The flags of `count` pages from frame `pfn` on, shape (count,); a hole in memory has NOPAGE.

    They are written to `into`, where that is given; see arrays.read_words.

    Raises Unavailable, Denied, Failed, or Garbled when the range goes past the end of memory.
    """
    return read_words(host.proc / "kpageflags", pfn, count, into=into)


def has(page_flags: U64, wanted: PageFlag) -> Mask:
    """Which pages have any of the flags `wanted`."""
    return any_bit(page_flags, wanted)


def mapcounts(host: Host, pfn: int, count: int) -> U64:
    """How often each page is mapped, shape (count,); 0 in holes. Raises as flags does."""
    return read_words(host.proc / "kpagecount", pfn, count)


def cgroups(host: Host, pfn: int, count: int, into: U64 | None = None) -> U64:
    """The inode number of the cgroup that each page is charged to, shape (count,). Raises as flags does.

    It is st_ino of the cgroup's directory, and of the nearest online ancestor's once that is removed. 0: a
    hole, or a page that nobody is charged for, such as the kernel's own.
    """
    return read_words(host.proc / "kpagecgroup", pfn, count, into=into)


def flags_at(host: Host, pfns: U64) -> U64:
    """The flags of these frames, in any order, shape (n,). Raises as flags does."""
    return read_words_at(host.proc / "kpageflags", pfns)


def mapcounts_at(host: Host, pfns: U64) -> U64:
    """How often each of these frames is mapped, shape (n,). Raises as flags does."""
    return read_words_at(host.proc / "kpagecount", pfns)


def cgroups_at(host: Host, pfns: U64) -> U64:
    """The inode numbers of the cgroups that these frames are charged to, shape (n,). Raises as flags does."""
    return read_words_at(host.proc / "kpagecgroup", pfns)
