"""/proc/vmstat and /sys/devices/system/node/nodeN/vmstat: what the memory management has counted.

Source: mm/vmstat.c, drivers/base/node.c (node_read_vmstat()), Linux 6.12. Each line is a name and a number:

    nr_isolated_anon 0
    pgmigrate_success 5120

Which names there are differs by version and configuration, so ask by `in` before counting on one; a name that
is missing is not a count of zero. Events (pg*, thp_*, numa_*) count since boot; nr_* are levels, in pages
unless the name says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from thermocline_kernel.errors import Garbled
from thermocline_kernel.host import Host, read_lines

_LINE = re.compile(r"(\w+) ([0-9]+)", re.ASCII)


def machine(host: Host) -> Mapping[str, int]:
    """The counters of the whole machine, by name. Raises Unavailable, Failed or Garbled."""
    return _read(host.proc / "vmstat")


def node(host: Host, number: int) -> Mapping[str, int]:
    """The counters of one NUMA node, by name: levels and numa_* events. Raises as machine does."""
    return _read(host.sys / f"devices/system/node/node{number}/vmstat")


def _read(path: Path) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for number, text in enumerate(read_lines(path), 1):
        match = _LINE.fullmatch(text)
        if match is None:
            raise Garbled(path, f"a counter expected, found {text!r}", number)
        if match[1] in counts:
            raise Garbled(path, f"a second value of {match[1]}", number)
        counts[match[1]] = int(match[2])
    return MappingProxyType(counts)
