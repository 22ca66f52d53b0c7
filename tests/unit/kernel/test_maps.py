"""Mappings, from files that stand for them and from this process."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from tests.unit.kernel import trees
from thermocline_kernel import maps
from thermocline_kernel.errors import Garbled, Unavailable
from thermocline_kernel.host import Host
from thermocline_kernel.maps import Mapping

TEXT = """\
55d0c0a00000-55d0c0a02000 r-xp 00000000 fe:00 42                         /usr/bin/a name with spaces
7f0c1c000000-7f0c1c021000 rw-p 00000000 00:00 0
7ffc00000000-7ffc00004000 r--p 00000000 00:00 0                          [vvar]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""


def test_mappings_that_hold_pages(tmp_path: Path) -> None:
    trees.plant(tmp_path, {"5/maps": TEXT, "6/maps": "", "self/maps": "", "17/maps": TEXT})
    host = Host(proc=tmp_path)
    found = maps.read(host, 5)
    assert found == (
        Mapping(0x55D0C0A00000, 0x55D0C0A02000), Mapping(0x7F0C1C000000, 0x7F0C1C021000)
    )  # fmt: skip
    assert [each.pages for each in found] == [2, 33]
    assert maps.read(host, 6) == ()
    assert maps.processes(host) == (5, 6, 17)


@pytest.mark.parametrize(
    "text", ["nonsense\n", TEXT[:40], "2000-1000 rw-p 0 00:00 0\n", "1001-3000 rw-p 0 00:00 0\n"]
)
def test_garbage_is_refused(tmp_path: Path, text: str) -> None:
    trees.plant(tmp_path, {"5/maps": text})
    with pytest.raises(Garbled) as caught:
        maps.read(Host(proc=tmp_path), 5)
    assert caught.value.line == 1


def test_a_process_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        maps.read(Host(proc=tmp_path), 5)


def test_this_process_is_read() -> None:
    with mmap.mmap(-1, 1 << 20) as area:
        view = np.frombuffer(area, dtype=np.uint8)
        address = view.ctypes.data
        found = maps.read(Host(), os.getpid())
        assert any(each.start <= address and address + (1 << 20) <= each.end for each in found)
        del view
