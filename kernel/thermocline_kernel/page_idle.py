"""/sys/kernel/mm/page_idle/bitmap: which pages nobody has touched since they were marked, a bit for each.

Source: Documentation/admin-guide/mm/idle_page_tracking.rst, mm/page_idle.c, Linux 6.12. It needs
CONFIG_IDLE_PAGE_TRACKING, and root to open. The kernel looks at pages on an LRU list alone, and at the first page of a
large folio alone: no other page is ever idle here. A read walks the mappings of each page that is marked. DAMON uses
the same flag of a page, so one spoils what the other sees: never run both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from thermocline_kernel.arrays import U64, WORD_BYTES, Mask, read_words, write_words
from thermocline_kernel.host import Host

_PAGES_PER_WORD: Final = WORD_BYTES * 8
_ALL: Final = np.uint64((1 << 64) - 1)


def read(host: Host, pfn: int, count: int) -> Mask:
    """Which of `count` pages from frame `pfn` on are still idle, shape (count,).

    At the end of memory it is up to 63 pages shorter, for a last word that is not whole the kernel does not give.
    Raises Unavailable, Denied, Failed, or Garbled when the range goes further past the end of memory.
    """
    first, last = _words(pfn, count)
    bits = _bits(read_words(_path(host), first, last - first, may_lack=1))
    skipped = pfn - first * _PAGES_PER_WORD
    return bits[skipped : skipped + count]


def mark(host: Host, pfn: int, count: int) -> None:
    """Mark `count` pages from frame `pfn` on as idle; what is no page of user memory stays as it is.

    At the end of memory the kernel marks the pages of a last word that is not whole, and does not count it as written.

    Raises Unavailable, Denied, or Failed when the range begins past the end of memory.
    """
    first, last = _words(pfn, count)
    if (last - first) * _PAGES_PER_WORD == count:
        write_words(_path(host), first, np.full(last - first, _ALL, dtype=np.uint64), may_lack=1)
        return
    wanted = np.zeros((last - first) * _PAGES_PER_WORD, dtype=np.bool_)
    skipped = pfn - first * _PAGES_PER_WORD
    wanted[skipped : skipped + count] = True
    words = np.packbits(wanted, bitorder="little").view("<u8").astype(np.uint64, copy=False)
    write_words(_path(host), first, words, may_lack=1)


def _path(host: Host) -> Path:
    return host.sys / "kernel/mm/page_idle/bitmap"


def _words(pfn: int, count: int) -> tuple[int, int]:
    """The words that hold the bits of a range: from the first to before the last."""
    if pfn < 0 or count < 0:
        raise ValueError(f"no {count} pages can lie from frame {pfn} on")
    return pfn // _PAGES_PER_WORD, -(-(pfn + count) // _PAGES_PER_WORD)


def _bits(words: U64) -> Mask:
    """Bit 0 of a word is its first page."""
    return np.unpackbits(words.astype("<u8", copy=False).view(np.uint8), bitorder="little").view(np.bool_)
