"""Virtual pages to physical ones."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kernel import trees
from thermocline_kernel import pagemap
from thermocline_kernel.arrays import read_words
from thermocline_kernel.errors import Denied, Garbled, Unavailable
from thermocline_kernel.host import PAGE_BYTES, Host
from thermocline_kernel.pagemap import Pagemap

PRESENT = 1 << 63
SWAPPED = 1 << 62
FILE = 1 << 61
EXCLUSIVE = 1 << 56


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = trees.host(tmp_path)
    (made.proc / "12").mkdir()
    return made


def plant(host: Host, entries: list[int]) -> None:
    (host.proc / "12/pagemap").write_bytes(trees.words(entries))


def test_entries_are_told_apart(host: Host) -> None:
    plant(host, [0, PRESENT | EXCLUSIVE | 0x1234, SWAPPED | 0x77, PRESENT | FILE | (1 << 55) | 5])
    found = pagemap.read(host, 12, PAGE_BYTES + 17, 3)
    assert found.address == PAGE_BYTES
    assert found.present.tolist() == [True, False, True]
    assert found.swapped.tolist() == [False, True, False]
    assert found.exclusive.tolist() == [True, False, False]
    assert found.file_or_shared.tolist() == [False, False, True]
    assert found.pfns.tolist() == [0x1234, 0, 5]


@given(st.lists(st.integers(0, (1 << 64) - 1)))
def test_a_frame_is_told_only_where_a_page_is_present(entries: list[int]) -> None:
    found = Pagemap(0, np.array(entries, dtype=np.uint64))
    assert found.pfns.tolist() == [(entry & ((1 << 55) - 1)) if entry & PRESENT else 0 for entry in entries]


def test_hidden_frames_are_an_error_and_not_frame_zero(host: Host) -> None:
    plant(host, [0, PRESENT, PRESENT | EXCLUSIVE])
    assert pagemap.read(host, 12, 0, 1).present.tolist() == [False]
    with pytest.raises(Denied, match="CAP_SYS_ADMIN"):
        pagemap.read(host, 12, 0, 3)


def test_an_address_space_that_ends_is_garbled(host: Host) -> None:
    plant(host, [0, 0])
    with pytest.raises(Garbled, match="2 words from word 1 on expected, found 1"):
        pagemap.read(host, 12, PAGE_BYTES, 2)


def test_a_process_that_is_gone_is_unavailable(host: Host) -> None:
    with pytest.raises(Unavailable, match="13/pagemap"):
        pagemap.read(host, 13, 0, 1)


def test_this_process_is_read_as_far_as_it_may() -> None:
    with mmap.mmap(-1, 4 * PAGE_BYTES) as memory:
        memory[PAGE_BYTES] = 1
        address = np.frombuffer(memory, dtype=np.uint8).ctypes.data
        try:
            found = pagemap.read(Host(), "self", address, 4)
        except Denied:
            words = read_words(Path("/proc/self/pagemap"), address // PAGE_BYTES, 4)
            found = Pagemap(address, words)
            assert not found.pfns.any()
        assert found.present[1]
