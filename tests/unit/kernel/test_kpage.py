"""Flags, map counts and cgroups of physical pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.unit.kernel import trees
from thermocline_kernel import kpage
from thermocline_kernel.arrays import U64
from thermocline_kernel.errors import Garbled, Unavailable
from thermocline_kernel.host import Host
from thermocline_kernel.kpage import PageFlag

# Debian's linux-libc-dev, which gcc needs.
HEADER = Path("/usr/include/linux/kernel-page-flags.h")
READERS = [("kpageflags", kpage.flags), ("kpagecount", kpage.mapcounts), ("kpagecgroup", kpage.cgroups)]


@pytest.mark.parametrize(("name", "read"), READERS)
def test_a_range_is_read(tmp_path: Path, name: str, read: Callable[[Host, int, int], U64]) -> None:
    host = trees.host(tmp_path)
    (host.proc / name).write_bytes(trees.words([7, 8, 9, (1 << 64) - 1]))
    assert read(host, 1, 3).tolist() == [8, 9, (1 << 64) - 1]
    assert read(host, 4, 0).tolist() == []
    with pytest.raises(Garbled, match=f"{name}.*found 2"):
        read(host, 2, 3)


@pytest.mark.parametrize(("name", "read"), READERS)
def test_a_kernel_without_it_says_so(
    tmp_path: Path, name: str, read: Callable[[Host, int, int], U64]
) -> None:
    with pytest.raises(Unavailable, match=name):
        read(trees.host(tmp_path), 0, 1)


def test_any_of_several_flags_is_found() -> None:
    flags = np.array([0, PageFlag.LRU, PageFlag.HUGE | PageFlag.ANON, PageFlag.THP], dtype=np.uint64)
    assert kpage.has(flags, PageFlag.HUGE | PageFlag.THP).tolist() == [False, False, True, True]


def test_the_flags_are_the_kernels() -> None:
    bits = re.findall(r"^#define KPF_(\w+)\s+(\d+)\b", HEADER.read_text(), re.MULTILINE)
    assert {name: 1 << int(bit) for name, bit in bits} == {flag.name: flag.value for flag in PageFlag}
