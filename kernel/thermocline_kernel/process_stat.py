"""/proc/PID/stat: how much CPU a process or a kernel thread has used, and when it began.

Source: proc_pid_stat(5), fs/proc/array.c, Linux 6.12. The name, in parentheses, may itself hold any character:

    71 (kdamond.0) S 2 0 0 0 -1 2129984 0 0 0 0 3 118 0 0 20 0 1 0 2231 …

Fields 14 and 15 are time in user and in kernel mode, field 22 is the time of its start after boot, all in ticks.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from thermocline_kernel.errors import Garbled
from thermocline_kernel.host import Host, read_line

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_AFTER_NAME: Final = re.compile(r"[0-9]+ \(.*\) (\S .*)")


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """`start_ticks` with the number of the process tells it from a later one of that number."""

    cpu_seconds: float
    start_ticks: int


def read(host: Host, pid: int) -> ProcessStat:
    """Of one process. Raises Unavailable when it is gone, or Garbled."""
    path = host.proc / str(pid) / "stat"
    match = _AFTER_NAME.fullmatch(read_line(path))
    fields = match[1].split() if match else []
    # The first of these is field 3.
    numbers = [fields[at - 3] for at in (14, 15, 22)] if len(fields) > 22 - 3 else []
    if not numbers or not all(map(str.isdigit, numbers)):
        raise Garbled(path, "the fields of a process expected", 1)
    user, kernel, start = map(int, numbers)
    return ProcessStat((user + kernel) / _TICKS_PER_SECOND, start)
