"""move_pages(2) on this machine's kernel; moves between tiers are tried on the lab's nodes."""

from __future__ import annotations

import errno
import mmap
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from thermocline_kernel import move_pages, numa, syscall
from thermocline_kernel.arrays import U64
from thermocline_kernel.errors import Failed, Unavailable
from thermocline_kernel.host import PAGE_BYTES, Host

PAGES = 8


@pytest.fixture
def touched() -> Iterator[U64]:
    """The addresses of pages that were written to, but for the last, which was not."""
    memory = mmap.mmap(-1, PAGES * PAGE_BYTES)
    view = np.frombuffer(memory, dtype=np.uint8)
    view.setflags(write=False)
    for page in range(PAGES - 1):
        memory[page * PAGE_BYTES] = page + 1
    yield (np.arange(PAGES) * PAGE_BYTES + view.ctypes.data).astype(np.uint64)
    assert [int(view[page * PAGE_BYTES]) for page in range(PAGES)] == [*range(1, PAGES), 0]


def test_pages_are_where_they_are(touched: U64) -> None:
    statuses = move_pages.query(0, touched)
    assert statuses.dtype == np.int32
    assert set(statuses[:-1].tolist()) <= numa.online(Host())
    assert statuses[-1] in {-errno.ENOENT, -errno.EFAULT}


def test_a_page_that_is_on_its_node_stays(touched: U64) -> None:
    nodes = move_pages.query(0, touched)[:-1].copy()
    assert move_pages.move(0, touched[:-1], nodes).tolist() == nodes.tolist()
    assert move_pages.move(0, touched[:-1], nodes, shared=True).tolist() == nodes.tolist()


def test_nothing_to_move_is_no_error() -> None:
    nothing = np.empty(0, dtype=np.uint64)
    assert move_pages.query(0, nothing).tolist() == []


def test_what_fails_as_a_whole_is_an_exception(touched: U64) -> None:
    with pytest.raises(Unavailable) as caught:
        move_pages.move(0, touched, np.full(PAGES, 1023, dtype=np.int32))
    assert (caught.value.path, caught.value.errno) == ("move_pages(2)", errno.ENODEV)
    with subprocess.Popen(["true"]) as gone:
        pass
    with pytest.raises(Unavailable) as caught:
        move_pages.query(gone.pid, touched)
    assert caught.value.errno == errno.ESRCH


def test_arrays_are_taken_as_they_are_or_refused(touched: U64) -> None:
    with pytest.raises(TypeError, match="addresses must be uint64"):
        move_pages.query(0, touched.astype(np.int64))
    with pytest.raises(TypeError, match="nodes must be int32"):
        move_pages.move(0, touched, np.zeros(PAGES, dtype=np.int64))
    with pytest.raises(ValueError, match="one node for each address"):
        move_pages.move(0, touched, np.zeros(1, dtype=np.int32))


def test_the_numbers_are_the_kernels() -> None:
    for machine, header in (
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ):
        found = re.search(r"^#define __NR_move_pages (\d+)$", Path(header).read_text(), re.MULTILINE)
        assert found is not None
        assert int(found[1]) == move_pages.NUMBERS[machine]


def test_an_unknown_call_is_unavailable_and_a_refused_one_failed() -> None:
    for number in (None, 100_000):
        with pytest.raises(Unavailable, match="ENOSYS"):
            syscall.call("nothing(2)", number)
    with pytest.raises(Failed, match="EINVAL"):
        syscall.call("move_pages(2)", move_pages.NUMBERS[platform.machine()], 0, 0, None, None, None, 1 << 30)
