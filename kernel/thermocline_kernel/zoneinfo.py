"""/proc/zoneinfo: which frames each node has, and which of them can be moved away.

Source: mm/vmstat.c, zoneinfo_show_print(), Linux 6.12. Of each zone's block these lines are read:

    Node 1, zone  Movable
      pages free     131072
            …
            spanned  131072
            present  131072
            managed  131072
            …
      start_pfn:           1310720

Zones without pages end after `protection:` and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from thermocline_kernel.errors import Garbled
from thermocline_kernel.host import Host, read_lines

_HEAD = re.compile(r"Node ([0-9]+), zone +(\w+)")
# Counters of the same names exist for CPUs' page sets, with a colon; these have none.
_FIELD = re.compile(r" +(?:pages (free)|(spanned|present|managed)|(start_pfn):) +([0-9]+)")


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone that has pages. It spans frames start_pfn to start_pfn + spanned_pages, holes included."""

    node: int
    name: str
    start_pfn: int
    spanned_pages: int
    present_pages: int
    managed_pages: int
    free_pages: int

    @property
    def movable(self) -> bool:
        """Whether the kernel puts nothing here that it cannot move."""
        return self.name == "Movable"


def zones(host: Host) -> tuple[Zone, ...]:
    """All zones that have pages, in the kernel's order. Raises Unavailable, Failed or Garbled."""
    path = host.proc / "zoneinfo"
    return tuple(
        _zone(path, line, head, fields)
        for line, head, fields in _blocks(path)
        # The kernel prints no start_pfn where nothing is present.
        if fields.get("present") != 0
    )


def movable_nodes(found: tuple[Zone, ...]) -> frozenset[int]:
    """The nodes all of whose pages are in zone Movable: memory such as CXL's, which can be taken off line."""
    return frozenset(zone.node for zone in found) - {zone.node for zone in found if not zone.movable}


def _blocks(path: Path) -> Iterator[tuple[int, re.Match[str], Mapping[str, int]]]:
    """The line number, head and fields of each zone's block."""
    starts: list[tuple[int, re.Match[str]]] = []
    blocks: list[dict[str, int]] = []
    for number, line in enumerate(read_lines(path), 1):
        if head := _HEAD.fullmatch(line):
            starts.append((number, head))
            blocks.append({})
        elif not blocks:
            raise Garbled(path, f"the head of a zone expected, found {line!r}", number)
        elif field := _FIELD.fullmatch(line):
            name = field[1] or field[2] or field[3]
            if name in blocks[-1]:
                raise Garbled(path, f"a second value of {name}", number)
            blocks[-1][name] = int(field[4])
    for (number, head), fields in zip(starts, blocks, strict=True):
        yield number, head, fields


def _zone(path: Path, line: int, head: re.Match[str], fields: Mapping[str, int]) -> Zone:
    try:
        return Zone(
            node=int(head[1]),
            name=head[2],
            start_pfn=fields["start_pfn"],
            spanned_pages=fields["spanned"],
            present_pages=fields["present"],
            managed_pages=fields["managed"],
            free_pages=fields["free"],
        )
    except KeyError as err:
        raise Garbled(path, f"this zone's block has no {err.args[0]}", line) from err
