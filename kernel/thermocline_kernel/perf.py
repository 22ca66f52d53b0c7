"""perf_event_open(2): the physical addresses of sampled loads and stores, of every process, on every CPU.

Source: include/uapi/linux/perf_event.h, kernel/events/core.c, arch/x86/events/{intel/ds.c,amd/ibs.c}, Linux 6.12;
Documentation/ABI/testing/sysfs-bus-event_source-devices-{events,format}. PERF_SAMPLE_PHYS_ADDR is there since 4.13. It
needs CAP_PERFMON (since 5.8) or CAP_SYS_ADMIN. An address is 0 where the kernel could not translate it.

A record of the ring buffer, as these events write them:

    u32 type, u16 misc, u16 size, then u64 phys_addr      (PERF_RECORD_SAMPLE, 16 bytes)
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

from thermocline_kernel.arrays import U64
from thermocline_kernel.errors import Garbled, Unavailable, failure
from thermocline_kernel.host import PAGE_BYTES, Host, read_ids, read_line, read_number
from thermocline_kernel.syscall import call

NAME: Final = "perf_event_open(2)"
NUMBERS: Final = {"x86_64": 298, "aarch64": 241}

_SAMPLE_PHYS_ADDR: Final = 1 << 19
_FLAG_DISABLED: Final = 1 << 0
_FLAG_EXCLUDE_KERNEL: Final = 1 << 5
_FLAG_EXCLUDE_HV: Final = 1 << 6
_PRECISE_SHIFT: Final = 15
_FLAG_FD_CLOEXEC: Final = 1 << 3
_ATTR_BYTES: Final = 112  # PERF_ATTR_SIZE_VER5: kernels since 4.1 take it
_IOC_ENABLE: Final = 0x2400
_IOC_PERIOD: Final = 0x40082404

_IBS_LOWEST: Final = 0x90

_RECORD_LOST: Final = 2
_RECORD_THROTTLE: Final = 5
_RECORD_SAMPLE: Final = 9
_HEADER: Final = struct.Struct("=IHH")
_SAMPLE_BYTES: Final = 16
_SAMPLE_HEADER: Final = np.uint64(_SAMPLE_BYTES << 48 | _RECORD_SAMPLE)
# Bits 32 to 47 of a header are `misc`: in which mode the CPU was, and more.
_WITHOUT_MISC: Final = np.uint64(0xFFFF_0000_FFFF_FFFF)

# struct perf_event_mmap_page
_DATA_HEAD: Final = 1024
_DATA_TAIL: Final = 1032


@dataclass(frozen=True, slots=True)
class Event:
    """What to sample: fields of struct perf_event_attr. `cpus` None: every CPU on line."""

    name: str
    type: int
    config: int = 0
    config1: int = 0
    precise: int = 0
    user_only: bool = True
    cpus: frozenset[int] | None = None
    # An event that must lead the group: Intel since Sapphire Rapids counts no loads without it.
    leader_config: int | None = None
    # IBS samples any instruction: address 0 is then of one that accessed no memory. Its hardware counts in sixteens,
    # from nine of them on, and refuses a period in between (arch/x86/events/amd/ibs.c).
    ibs: bool = False

    def fitting(self, period: int) -> int:
        """The period nearest below that the event can have."""
        return max(_IBS_LOWEST, period & ~0xF) if self.ibs else period

    def attributes(self, period: int) -> bytes:
        """The struct perf_event_attr of the sampling event. It is off until its leader, or itself, is switched on."""
        flags = self.precise << _PRECISE_SHIFT | (_FLAG_DISABLED if self.leader_config is None else 0)
        return self._attributes(self.config, self.config1, self.fitting(period), _SAMPLE_PHYS_ADDR, flags)

    def leader_attributes(self) -> bytes:
        """That of the leader, which counts and takes no samples."""
        return self._attributes(self.leader_config or 0, 0, 0, 0, _FLAG_DISABLED)

    def _attributes(self, config: int, config1: int, period: int, sample_type: int, flags: int) -> bytes:
        if self.user_only:
            flags |= _FLAG_EXCLUDE_KERNEL | _FLAG_EXCLUDE_HV
        fields = (self.type, _ATTR_BYTES, config, period, sample_type, 0, flags, 0, 0, config1, 0)
        return struct.pack("=IIQQQQQIIQQ", *fields).ljust(_ATTR_BYTES, b"\0")


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Physical addresses, 0 where unknown, in the order of one ring; and what the kernel says of those missing."""

    addresses: U64
    lost: int = 0
    throttled: int = 0


def memory_events(host: Host) -> tuple[Event, ...]:
    """The events of this machine whose samples tell what memory was accessed, one for each kind of CPU.

    Intel: mem-loads (PEBS), of cpu, or of cpu_core and cpu_atom; AMD: ibs_op. None on a machine that has neither,
    such as most virtual ones. Raises Failed or Garbled.
    """
    found: list[Event] = []
    for name in ("cpu", "cpu_core", "cpu_atom"):
        folder = host.sys / "bus/event_source/devices" / name
        if (folder / "events/mem-loads").exists():
            found.append(_loads(folder, name))
    folder = host.sys / "bus/event_source/devices/ibs_op"
    if folder.exists():
        # Before 6.14 the PMU refuses to leave the kernel out.
        found.append(Event("ibs_op", read_number(folder / "type"), user_only=False, ibs=True))
    return tuple(found)


def _loads(folder: Path, name: str) -> Event:
    formats = {path.name: read_line(path) for path in sorted((folder / "format").iterdir())}
    words = encode(read_line(folder / "events/mem-loads"), formats)
    leader = None
    auxiliary = folder / "events/mem-loads-aux"
    if auxiliary.exists():
        leader = encode(read_line(auxiliary), formats).get("config", 0)
    return Event(
        f"{name}/mem-loads/",
        read_number(folder / "type"),
        config=words.get("config", 0),
        config1=words.get("config1", 0),
        precise=2,
        cpus=read_ids(folder / "cpus") if (folder / "cpus").exists() else None,
        leader_config=leader,
    )


def encode(event: str, formats: Mapping[str, str]) -> dict[str, int]:
    """The config words of an event such as `event=0xcd,umask=0x1,ldlat=3`, by formats such as `config1:0-15`.

    Raises Garbled.
    """
    words: dict[str, int] = {}
    for term in event.split(","):
        name, _, text = term.partition("=")
        try:
            value = int(text or "1", 0)
            word, bits = formats[name].split(":")
            places = [_places(piece) for piece in bits.split(",")]
        except (KeyError, ValueError) as err:
            raise Garbled(
                "event_source", f"a term of an event expected, found {term!r} in {event!r}"
            ) from err
        for low, high in places:
            width = high - low + 1
            words[word] = words.get(word, 0) | (value & ((1 << width) - 1)) << low
            value >>= width
        if value:
            raise Garbled("event_source", f"{term!r} has more bits than its format {formats[name]}")
    return words


def _places(piece: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", piece)
    if match is None or int(match[2] or match[1]) < int(match[1]) or int(match[2] or 0) > 63:
        raise ValueError(piece)
    return int(match[1]), int(match[2] or match[1])


def decode(data: bytes) -> Samples:
    """The samples in whole records of a ring. Raises Garbled when a record's size makes no sense."""
    if len(data) % _SAMPLE_BYTES == 0:
        pairs = np.frombuffer(data, dtype=np.uint64).reshape(-1, 2)
        if ((pairs[:, 0] & _WITHOUT_MISC) == _SAMPLE_HEADER).all():
            return Samples(pairs[:, 1].copy())
    return _decode_each(data)


def _decode_each(data: bytes) -> Samples:
    """As decode does, where there are other records between the samples."""
    addresses: list[int] = []
    lost = throttled = at = 0
    while at < len(data):
        if at + _HEADER.size > len(data):
            raise Garbled(NAME, f"half a header at byte {at} of {len(data)}")
        kind, _, size = _HEADER.unpack_from(data, at)
        if size < _HEADER.size or size % 8 or at + size > len(data):
            raise Garbled(NAME, f"a record of {size} bytes at byte {at} of {len(data)}")
        if kind == _RECORD_SAMPLE:
            if size != _SAMPLE_BYTES:
                raise Garbled(NAME, f"a sample of {size} bytes, {_SAMPLE_BYTES} were asked for")
            addresses.append(struct.unpack_from("=Q", data, at + 8)[0])
        elif kind == _RECORD_LOST:
            if size < 24:
                raise Garbled(NAME, f"a record of lost samples of {size} bytes, at least 24 expected")
            lost += struct.unpack_from("=Q", data, at + 16)[0]
        elif kind == _RECORD_THROTTLE:
            throttled += 1
        at += size
    return Samples(np.array(addresses, dtype=np.uint64), lost, throttled)


def unwrap(ring: memoryview | bytes, tail: int, head: int) -> bytes:
    """What lies between two positions, which count bytes since the beginning, of a ring that wraps around.

    Raises Garbled when that is more than the ring holds.
    """
    size = len(ring)
    if not 0 <= head - tail <= size:
        raise Garbled(NAME, f"positions {tail} and {head} in a ring of {size} bytes")
    first, last = tail % size, head % size
    if head == tail:
        return b""
    return bytes(ring[first:last]) if first < last else bytes(ring[first:]) + bytes(ring[:last])


@dataclass(slots=True)
class Sampler:
    """One event on every CPU that has it. Use as a context manager, or close() it."""

    event: Event
    rings: list[_Ring]

    @classmethod
    def open(cls, host: Host, event: Event, period: int, *, ring_pages: int = 64) -> Sampler:
        """Start sampling every `period`-th occurrence; `ring_pages`, a power of two, hold 256 samples each.

        Raises Unavailable (no such event, or none on these CPUs), Denied, or Failed.
        """
        online = read_ids(host.sys / "devices/system/cpu/online")
        cpus = sorted(online if event.cpus is None else online & event.cpus)
        if not cpus:
            raise Unavailable(NAME, f"no CPU on line has {event.name}")
        sampler = cls(event, [])
        try:
            for cpu in cpus:
                sampler.rings.append(_Ring.open(event, cpu, period, ring_pages))
            for ring in sampler.rings:
                ring.control(_IOC_ENABLE, 0)
        except BaseException:
            sampler.close()
            raise
        return sampler

    def read(self) -> Samples:
        """What has come since the last time, of all CPUs. Raises Garbled; the sampler is of no use then."""
        parts = [decode(ring.take()) for ring in self.rings]
        return Samples(
            np.concatenate([part.addresses for part in parts]),
            sum(part.lost for part in parts),
            sum(part.throttled for part in parts),
        )

    def set_period(self, period: int) -> None:
        """Sample every `period`-th occurrence from now on. Raises Failed."""
        for ring in self.rings:
            ring.set_period(self.event.fitting(period))

    def close(self) -> None:
        """End sampling."""
        for ring in self.rings:
            ring.close()
        self.rings.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(slots=True)
class _Ring:
    """The ring buffer of one CPU. `leader` is the descriptor to switch on: that of the group."""

    descriptor: int
    leader: int
    area: mmap.mmap
    data_bytes: int

    @classmethod
    def open(cls, event: Event, cpu: int, period: int, pages: int) -> _Ring:
        leader = -1
        if event.leader_config is not None:
            leader = _open(event.leader_attributes(), cpu, -1)
        try:
            descriptor = _open(event.attributes(period), cpu, leader)
        except BaseException:
            if leader >= 0:
                os.close(leader)
            raise
        try:
            area = mmap.mmap(descriptor, (1 + pages) * PAGE_BYTES)
        except OSError as err:
            for each in {descriptor, leader} - {-1}:
                os.close(each)
            raise failure(f"{NAME}, ring buffer", err) from err
        return cls(descriptor, descriptor if leader < 0 else leader, area, pages * PAGE_BYTES)

    def take(self) -> bytes:
        """The records since the last time. The kernel goes on writing meanwhile, after those."""
        # x86 keeps loads in order and stores in order, which is what the kernel's protocol asks of a reader.
        head = int.from_bytes(self.area[_DATA_HEAD : _DATA_HEAD + 8], "little")
        tail = int.from_bytes(self.area[_DATA_TAIL : _DATA_TAIL + 8], "little")
        with memoryview(self.area) as area, area[PAGE_BYTES:] as ring:
            data = unwrap(ring, tail, head)
        self.area[_DATA_TAIL : _DATA_TAIL + 8] = head.to_bytes(8, "little")
        return data

    def control(self, request: int, argument: int) -> None:
        try:
            fcntl.ioctl(self.leader, request, argument)
        except OSError as err:
            raise failure(NAME, err) from err

    def set_period(self, period: int) -> None:
        try:
            fcntl.ioctl(self.descriptor, _IOC_PERIOD, struct.pack("=Q", period))
        except OSError as err:
            raise failure(NAME, err) from err

    def close(self) -> None:
        self.area.close()
        for each in {self.descriptor, self.leader}:
            os.close(each)


def _open(attributes: bytes, cpu: int, group: int) -> int:
    """The descriptor of an event of every process (-1) on one CPU."""
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    return call(
        NAME,
        NUMBERS.get(platform.machine()),
        ctypes.addressof(buffer),
        -1,
        cpu,
        group,
        _FLAG_FD_CLOEXEC,
    )
