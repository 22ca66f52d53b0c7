"""/proc/pressure/memory and memory.pressure of a cgroup: how long tasks waited for memory.

Source: Documentation/accounting/psi.rst, kernel/sched/psi.c, Linux 6.12:

    some avg10=0.12 avg60=0.05 avg300=0.00 total=12345
    full avg10=0.00 avg60=0.00 avg300=0.00 total=6789

Averages are percentages of the wall time of 10, 60 and 300 s, told here in basis points, hundredths of a percent;
totals count microseconds since boot, or since the cgroup was made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from thermocline_kernel.errors import Garbled
from thermocline_kernel.host import Host, read_lines

_LINE = re.compile(
    r"(some|full) avg10=(\d+)\.(\d\d) avg60=(\d+)\.(\d\d) avg300=(\d+)\.(\d\d) total=(\d+)", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Stall:
    """How much some, or all, tasks stalled."""

    avg10_bp: int
    avg60_bp: int
    avg300_bp: int
    total_us: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """`some`: at least one task stalled; `full`: all that were not idle did, at once."""

    some: Stall
    full: Stall


def memory(host: Host) -> Pressure:
    """Of the whole machine. Raises Unavailable (no CONFIG_PSI, or psi=0), Failed or Garbled."""
    return _read(host.proc / "pressure" / "memory")


def cgroup_memory(folder: Path) -> Pressure:
    """Of a cgroup v2, by its directory. Raises as memory does, and Unavailable when the cgroup is gone."""
    return _read(folder / "memory.pressure")


def _read(path: Path) -> Pressure:
    found: dict[str, Stall] = {}
    for number, text in enumerate(read_lines(path), 1):
        match = _LINE.fullmatch(text)
        if match is None or match[1] in found:
            raise Garbled(path, f"a line of pressure expected, found {text!r}", number)
        numbers = list(map(int, match.groups()[1:]))
        avg10, avg60, avg300 = (100 * numbers[at] + numbers[at + 1] for at in (0, 2, 4))
        found[match[1]] = Stall(avg10, avg60, avg300, numbers[6])
    if set(found) != {"some", "full"}:
        raise Garbled(path, f"lines for some and full expected, found {sorted(found)}")
    return Pressure(found["some"], found["full"])
