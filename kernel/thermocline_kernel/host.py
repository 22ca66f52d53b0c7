"""Where the kernel's file systems are mounted, and how their small text files are read.

Tests and containers have them elsewhere, so every reader in this package is handed a Host.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from thermocline_kernel.errors import Garbled, failure

# The size of a base page: the unit of frame numbers, of pagemap and of zoneinfo.
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Host:
    """Roots of procfs and sysfs."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")


def read_lines(path: Path) -> list[str]:
    """All lines of a text file. Raises Unavailable, Failed, or Garbled when it is not ASCII or cut off."""
    try:
        text = path.read_text(encoding="ascii")
    except OSError as err:
        raise failure(path, err) from err
    except UnicodeDecodeError as err:
        raise Garbled(path, "not text") from err
    # Every file that is read here ends its last line; without that, the end is missing.
    if not text.endswith("\n"):
        raise Garbled(path, "cut off: the last line does not end", text.count("\n") + 1)
    return text[:-1].split("\n")


def read_line(path: Path) -> str:
    """The one line of an attribute, stripped (some are padded). Raises as read_lines does."""
    lines = read_lines(path)
    if len(lines) != 1:
        raise Garbled(path, f"one line expected, found {len(lines)}", 2)
    return lines[0].strip()


def read_number(path: Path) -> int:
    """The decimal number of an attribute, not negative. Raises as read_lines does."""
    line = read_line(path)
    if not re.fullmatch(r"[0-9]+", line):
        raise Garbled(path, f"a number expected, found {line!r}", 1)
    return int(line)


def parse_ids(text: str) -> frozenset[int]:
    """{0, 1, 4} of the kernel's list format `0-1,4`; nothing of an empty text. Raises ValueError.

    Source: Documentation/admin-guide/cgroup-v2.rst and lib/vsprintf.c, %*pbl.
    """
    ids: set[int] = set()
    for piece in text.split(",") if text else ():
        match = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", piece)
        if match is None:
            raise ValueError(f"a list such as 0-1,4 expected, found {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        # No kernel is built for as many nodes or CPUs; a garbled bound must not fill the memory.
        if last < first or last >= 1 << 16:
            raise ValueError(f"a list such as 0-1,4 expected, found {text!r}")
        ids.update(range(first, last + 1))
    return frozenset(ids)


def read_ids(path: Path) -> frozenset[int]:
    """The numbers of an attribute in list format. Raises as read_lines does."""
    try:
        return parse_ids(read_line(path))
    except ValueError as err:
        raise Garbled(path, str(err), 1) from err


def numbered(folder: Path, prefix: str) -> Mapping[int, Path]:
    """The entries of a folder named PREFIX and a number, by that number. Raises Unavailable or Failed."""
    try:
        entries = list(folder.iterdir())
    except OSError as err:
        raise failure(folder, err) from err
    found = {
        int(match[1]): path for path in entries if (match := re.fullmatch(f"{prefix}([0-9]+)", path.name))
    }
    return dict(sorted(found.items()))
