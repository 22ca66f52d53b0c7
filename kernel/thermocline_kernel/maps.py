"""/proc/PID/maps: the virtual ranges that a process has mapped; and which processes there are.

Source: Documentation/filesystems/proc.rst, fs/proc/task_mmu.c, Linux 6.12:

    7f0c1c000000-7f0c1c021000 rw-p 00000000 00:00 0          [heap]
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from thermocline_kernel.errors import Garbled, failure
from thermocline_kernel.host import PAGE_BYTES, Host, numbered

_LINE = re.compile(
    rb"([0-9a-f]+)-([0-9a-f]+) ([r-][w-][x-][sp]) [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ \d+(?: +(.*))?"
)
# Of these, pagemap tells no page, and no page of them can move.
_NO_PAGES = (b"[vvar]", b"[vvar_vclock]", b"[vsyscall]")


@dataclass(frozen=True, slots=True)
class Mapping:
    """Virtual addresses from `start` to before `end`."""

    start: int
    end: int

    @property
    def pages(self) -> int:
        """Its size in base pages."""
        return (self.end - self.start) // PAGE_BYTES


def processes(host: Host) -> tuple[int, ...]:
    """All processes, by number. Raises Unavailable or Failed."""
    return tuple(numbered(host.proc, ""))


def read(host: Host, pid: int) -> tuple[Mapping, ...]:
    """The mappings of a process that can hold pages, lowest first; none of a kernel thread.

    Raises Unavailable (no such process), Denied, Failed or Garbled.
    """
    path = host.proc / str(pid) / "maps"
    try:
        text = path.read_bytes()
    except OSError as err:
        raise failure(path, err) from err
    found: list[Mapping] = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise Garbled(path, f"a mapping expected, found {line!r}", number)
        start, end = int(match[1], 16), int(match[2], 16)
        if end <= start or start % PAGE_BYTES or end % PAGE_BYTES:
            raise Garbled(path, f"a range of pages expected, found {line!r}", number)
        if (match[4] or b"") not in _NO_PAGES:
            found.append(Mapping(start, end))
    return tuple(found)
