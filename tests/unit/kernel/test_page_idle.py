"""The idle page bitmap, from files that stand for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kernel import trees
from thermocline_kernel import page_idle
from thermocline_kernel.errors import Garbled, Unavailable
from thermocline_kernel.host import Host


def planted(root: Path, words: list[int]) -> tuple[Host, Path]:
    path = root / "kernel/mm/page_idle/bitmap"
    path.parent.mkdir(parents=True)
    path.write_bytes(trees.words(words))
    return Host(sys=root), path


def test_a_bit_a_page_lowest_first(tmp_path: Path) -> None:
    host, _ = planted(tmp_path, [1 << 63, 0b101])
    assert page_idle.read(host, 62, 6).tolist() == [False, True, True, False, True, False]
    assert page_idle.read(host, 64, 0).size == 0


def test_only_the_range_is_marked(tmp_path: Path) -> None:
    host, path = planted(tmp_path, [0, 0, 0])
    page_idle.mark(host, 62, 4)
    # A plain file holds what was written; the kernel leaves pages alone whose bit is 0.
    assert path.read_bytes() == trees.words([3 << 62, 0b11, 0])


@given(first=st.integers(0, 300), count=st.integers(0, 300))
def test_what_is_marked_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, first: int, count: int
) -> None:
    host, _ = planted(tmp_path_factory.mktemp("idle"), [0] * 10)
    page_idle.mark(host, first, count)
    marked = page_idle.read(host, 0, 640)
    assert np.flatnonzero(marked).tolist() == list(range(first, first + count))


def test_a_last_word_that_the_kernel_does_not_give_is_left_out(tmp_path: Path) -> None:
    host, _ = planted(tmp_path, [0, 0])
    assert page_idle.read(host, 100, 50).size == 28
    with pytest.raises(Garbled, match="4 words from word 1 on expected, found 1"):
        page_idle.read(host, 100, 200)


def test_no_bitmap_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        page_idle.read(Host(sys=tmp_path), 0, 1)
    with pytest.raises(Unavailable):
        page_idle.mark(Host(sys=tmp_path), 0, 1)
    with pytest.raises(ValueError, match="no -1 pages"):
        page_idle.read(Host(sys=tmp_path), 0, -1)
