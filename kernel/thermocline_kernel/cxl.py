"""/sys/bus/cxl: memory devices, the regions of physical memory that they make up, and addresses of one in the other.

Source: Documentation/ABI/testing/sysfs-bus-cxl, drivers/cxl/core/{port,region}.c, Linux 6.12 (regions since 6.0, of
volatile memory since 6.3); CXL 3.1, 8.2.4.20.13, Implementation Note: Device Decode Logic; 9.18.1.3, CFMWS.

A device knows its memory by device physical addresses (DPA), the CPUs by host physical addresses (HPA). In a region,
blocks of `granularity` bytes go to its targets in turn (modulo arithmetic). Where the root interleaves host bridges,
the platform may choose among them by XOR instead, which the kernel does not tell in sysfs, but ACPI does (CEDT).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from thermocline_kernel.arrays import U64, Mask
from thermocline_kernel.errors import Denied, Garbled, Unavailable, failure
from thermocline_kernel.host import Host, numbered, read_line, read_number

# Those of CXL 3.1, 8.2.4.20.7; 3, 6 and 12 since CXL 3.0.
_WAYS: Final = frozenset({1, 2, 3, 4, 6, 8, 12, 16})
_CFMWS: Final = 1
_CEDT_HEADER_BYTES: Final = 36


@dataclass(frozen=True, slots=True)
class Memdev:
    """A memory device; `serial` as the kernel writes it, sizes of its volatile memory."""

    name: str
    serial: str
    ram_bytes: int


@dataclass(frozen=True, slots=True)
class Target:
    """The part of a region that one device holds: its place in the interleave, and its range of DPA."""

    memdev: str
    position: int
    dpa_start: int
    dpa_bytes: int


@dataclass(frozen=True, slots=True)
class Region:
    """Host physical addresses from `start` on, spread over targets. `not_modulo`: why it may be XOR."""

    name: str
    start: int
    size_bytes: int
    ways: int
    granularity_bytes: int
    targets: tuple[Target, ...]
    not_modulo: str | None = None

    def to_hpa(self, target: Target, dpas: U64) -> tuple[U64, Mask]:
        """The HPA of each DPA of a target's device, shape (n,), and for which there is one: others are not here.

        Raises Unavailable where the arithmetic is not known to be modulo.
        """
        self._require_modulo()
        offsets = dpas - np.uint64(target.dpa_start)
        # Below the start the difference wraps around to something large.
        inside = offsets < np.uint64(min(target.dpa_bytes, self.size_bytes // self.ways))
        granularity = np.uint64(self.granularity_bytes)
        blocks = offsets // granularity
        within = offsets % granularity
        hpas = (blocks * np.uint64(self.ways) + np.uint64(target.position)) * granularity + within
        return np.where(inside, hpas + np.uint64(self.start), np.uint64(0)), inside

    def to_dpa(self, hpas: U64) -> tuple[U64, U64]:
        """Of HPAs inside the region, shape (n,): the place of the device in the interleave, and its DPA.

        Raises ValueError for an HPA outside, and Unavailable as to_hpa does.
        """
        self._require_modulo()
        offsets = hpas - np.uint64(self.start)
        if (offsets >= np.uint64(self.size_bytes)).any():
            raise ValueError(f"an address outside of {self.name}")
        granularity, ways = np.uint64(self.granularity_bytes), np.uint64(self.ways)
        blocks = offsets // granularity
        starts = np.zeros(self.ways, dtype=np.uint64)
        for target in self.targets:
            starts[target.position] = target.dpa_start
        positions = blocks % ways
        return positions, starts[positions] + blocks // ways * granularity + offsets % granularity

    def _require_modulo(self) -> None:
        if self.not_modulo is not None:
            raise Unavailable(self.name, self.not_modulo)


def memdevs(host: Host) -> tuple[Memdev, ...]:
    """All memory devices, by number. Raises Unavailable (no CXL), Failed or Garbled."""
    return tuple(
        Memdev(folder.name, read_line(folder / "serial"), _hexadecimal(folder / "ram/size"))
        for folder in numbered(_devices(host), "mem").values()
    )


def regions(host: Host) -> tuple[Region, ...]:
    """All regions that are in use, by number. Raises Unavailable (no CXL), Failed or Garbled."""
    found: list[Region] = []
    for folder in numbered(_devices(host), "region").values():
        try:
            if read_number(folder / "commit") != 1:
                continue
            found.append(_region(host, folder))
        except Denied:
            raise
        except Unavailable:
            # It went away, and what went with it, while it was read.
            if folder.exists():
                raise
    return tuple(found)


def _devices(host: Host) -> Path:
    return host.sys / "bus/cxl/devices"


def _region(host: Host, folder: Path) -> Region:
    start, size = _hexadecimal(folder / "resource"), _hexadecimal(folder / "size")
    ways = read_number(folder / "interleave_ways")
    granularity = read_number(folder / "interleave_granularity")
    if ways not in _WAYS:
        raise Garbled(folder / "interleave_ways", f"a number of ways of CXL expected, found {ways}", 1)
    if granularity not in {256 << shift for shift in range(7)}:
        path = folder / "interleave_granularity"
        raise Garbled(path, f"a power of two from 256 to 16384 expected, found {granularity}", 1)
    if size == 0 or size % (ways * granularity) or start + size > 1 << 64:
        raise Garbled(folder / "size", f"{size} bytes from {start:#x} on are no whole number of stripes", 1)
    targets = tuple(
        _target(_devices(host) / read_line(folder / f"target{position}"), position)
        for position in range(ways)
    )
    return Region(folder.name, start, size, ways, granularity, targets, _not_modulo(host, folder, start))


def _target(decoder: Path, position: int) -> Target:
    endpoint = _resolved(decoder).parent
    memdev = _resolved(endpoint / "uport").name
    if not re.fullmatch(r"mem[0-9]+", memdev):
        raise Garbled(endpoint / "uport", f"a memory device expected, found {memdev!r}")
    start, size = _hexadecimal(decoder / "dpa_resource"), _hexadecimal(decoder / "dpa_size")
    return Target(memdev, position, start, size)


def _not_modulo(host: Host, region: Path, start: int) -> str | None:
    """Why it is not known that the region's addresses are found by modulo arithmetic; None where it is known."""
    root = _resolved(region).parent
    if read_number(root / "interleave_ways") == 1:
        return None
    try:
        arithmetic = interleave_arithmetic(host, start)
    except Unavailable as err:
        return f"its host bridges are interleaved, and by which arithmetic is not known: {err}"
    if arithmetic != 0:
        return (
            "its host bridges are interleaved by XOR arithmetic, which is not supported: push host addresses"
        )
    return None


def interleave_arithmetic(host: Host, address: int) -> int:
    """0 (modulo) or 1 (XOR): how ACPI's CEDT says that the window of an address is interleaved.

    Raises Unavailable (no table, or no window there), Denied, Failed or Garbled.
    """
    path = host.sys / "firmware/acpi/tables/CEDT"
    try:
        table = path.read_bytes()
    except OSError as err:
        raise failure(path, err) from err
    for base, size, arithmetic in _windows(path, table):
        if base <= address < base + size:
            return arithmetic
    raise Unavailable(path, f"no window holds {address:#x}")


def _windows(path: Path, table: bytes) -> Iterator[tuple[int, int, int]]:
    """Base, size and arithmetic of each CXL fixed memory window structure."""
    if table[:4] != b"CEDT" or len(table) < _CEDT_HEADER_BYTES:
        raise Garbled(path, "no CEDT")
    at = _CEDT_HEADER_BYTES
    while at < len(table):
        if at + 4 > len(table) or (length := struct.unpack_from("<H", table, at + 2)[0]) < 4:
            raise Garbled(path, f"no structure at byte {at}")
        if at + length > len(table):
            raise Garbled(path, f"the structure at byte {at} is cut off")
        if table[at] == _CFMWS:
            if length < 36:
                raise Garbled(path, f"a window of {length} bytes at byte {at}")
            base, size, _, arithmetic = struct.unpack_from("<QQBB", table, at + 8)
            yield base, size, arithmetic
        at += length


def _resolved(link: Path) -> Path:
    try:
        return link.resolve(strict=True)
    except (OSError, RuntimeError) as err:
        raise Unavailable(link, "it leads nowhere") from err


def _hexadecimal(path: Path) -> int:
    """A number such as 0x20000000."""
    text = read_line(path)
    if not re.fullmatch(r"0x[0-9a-f]{1,16}|0", text):
        raise Garbled(path, f"a hexadecimal number expected, found {text!r}", 1)
    return int(text, 16)
