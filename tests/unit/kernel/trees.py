"""Trees that stand for /proc and /sys."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from thermocline_kernel.host import Host


def host(root: Path) -> Host:
    """A host whose /proc and /sys are empty folders below `root`."""
    made = Host(proc=root / "proc", sys=root / "sys")
    made.proc.mkdir()
    made.sys.mkdir()
    return made


def plant(root: Path, files: Mapping[str, str]) -> None:
    """Write files below `root`, by their paths; what is there already is replaced."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def words(values: Iterable[int]) -> bytes:
    """64-bit words as the kernel writes them."""
    return b"".join(struct.pack("=Q", value) for value in values)
