"""Feed's frames: bytes to records. Pure. The format is documented in docs/reference/feed-socket.md."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from thermocline_kernel.arrays import U64

MAGIC: Final = b"TCLF"
VERSION: Final = 1
# magic, version, space, number of records, reserved, name of the memdev
HEADER: Final = struct.Struct("<4sHHII32s")
RECORD_BYTES: Final = 16
MAX_RECORDS: Final = 8192
MAX_FRAME_BYTES: Final = HEADER.size + MAX_RECORDS * RECORD_BYTES
_MEMDEV: Final = re.compile(rb"mem[0-9]{1,6}")


class Space(IntEnum):
    """What the addresses of a frame are."""

    HPA = 1
    DPA = 2


class BadFrame(Exception):
    """A frame that is not what the documentation says; the sentence goes back to the sender."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Addresses and how many accesses were counted there, shape (n,); `memdev` is empty for host addresses."""

    space: Space
    memdev: str
    addresses: U64
    counts: U64


def decode(data: bytes) -> Frame:
    """The records of one frame. Raises BadFrame."""
    if len(data) < HEADER.size:
        raise BadFrame(f"a frame has at least {HEADER.size} bytes, this one has {len(data)}")
    magic, version, space, count, reserved, name = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise BadFrame(f"a frame begins with {MAGIC.decode()}")
    if version != VERSION:
        raise BadFrame(f"version {version} is not understood, only {VERSION} is")
    if space not in set(Space):
        raise BadFrame(f"address space {space} is not known: write 1 for HPA or 2 for DPA")
    if reserved != 0:
        raise BadFrame("the reserved field must be 0")
    if count > MAX_RECORDS:
        raise BadFrame(f"{count} records: a frame takes at most {MAX_RECORDS}, so send several")
    if len(data) != HEADER.size + count * RECORD_BYTES:
        raise BadFrame(f"{count} records take {HEADER.size + count * RECORD_BYTES} bytes, not {len(data)}")
    records = np.frombuffer(data, dtype="<u8", offset=HEADER.size).astype(np.uint64).reshape(-1, 2)
    return Frame(Space(space), _memdev(Space(space), name), records[:, 0].copy(), records[:, 1].copy())


def encode(space: Space, memdev: str, addresses: U64, counts: U64) -> bytes:
    """The frame that says so. Raises ValueError for more than MAX_RECORDS."""
    if addresses.shape != counts.shape or addresses.size > MAX_RECORDS:
        raise ValueError(f"{addresses.size} addresses and {counts.size} counts make no frame")
    records = np.stack((addresses, counts), axis=1).astype("<u8")
    return HEADER.pack(MAGIC, VERSION, space, addresses.size, 0, memdev.encode()) + records.tobytes()


def _memdev(space: Space, field: bytes) -> str:
    name = field.rstrip(b"\0")
    if space is Space.HPA:
        if name:
            raise BadFrame("host addresses belong to no memdev: leave its name empty")
        return ""
    if not _MEMDEV.fullmatch(name):
        raise BadFrame("device addresses need the name of a memdev, such as mem0")
    return name.decode()
