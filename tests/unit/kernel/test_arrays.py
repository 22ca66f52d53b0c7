"""Arrays that the kernel fills, and files of words."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kernel.trees import words
from thermocline_kernel.arrays import address_of, read_words, read_words_at, write_words
from thermocline_kernel.errors import Failed, Garbled, Unavailable

VALUES = [0, 1, (1 << 63) | 5, (1 << 64) - 1, 12]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("arrays") / "words"
    path.write_bytes(words(VALUES))
    return path


@given(st.integers(0, 7), st.integers(0, 7))
def test_a_range_is_whole_or_refused(file: Path, first: int, count: int) -> None:
    expected = VALUES[first : first + count]
    if count and len(expected) < count:
        with pytest.raises(
            Garbled, match=f"{count} words from word {first} on expected, found {len(expected)}"
        ):
            read_words(file, first, count)
    else:
        found = read_words(file, first, count)
        assert found.dtype == np.uint64
        assert found.tolist() == expected


def test_half_a_word_is_garbled(tmp_path: Path) -> None:
    (tmp_path / "words").write_bytes(words(VALUES)[:-3])
    with pytest.raises(Garbled, match="found 4"):
        read_words(tmp_path / "words", 0, 5)


def test_a_missing_file_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        read_words(tmp_path / "words", 0, 1)


@pytest.mark.parametrize(("first", "count"), [(-1, 1), (0, -1), (1 << 60, 1)])
def test_a_range_that_cannot_be_is_the_callers_mistake(file: Path, first: int, count: int) -> None:
    with pytest.raises(ValueError, match="no "):
        read_words(file, first, count)


def test_an_address_is_that_of_the_array_itself() -> None:
    array = np.arange(4, dtype=np.int32)
    assert address_of(array, np.int32, "nodes") == array.ctypes.data


def test_arrays_that_would_need_a_copy_are_refused() -> None:
    with pytest.raises(TypeError, match="nodes must be int32, not int64"):
        address_of(np.arange(4, dtype=np.int64), np.int32, "nodes")
    with pytest.raises(TypeError):
        address_of(np.arange(4, dtype=np.dtype(np.int32).newbyteorder()), np.int32, "nodes")
    for array in (np.arange(4, dtype=np.int32)[::2], np.zeros((2, 2), dtype=np.int32)):
        with pytest.raises(ValueError, match="one-dimensional and contiguous"):
            address_of(array, np.int32, "nodes")


def test_words_at_places_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes(words(range(1000, 2000)))
    places = np.array([999, 0, 17, 17, 3, 500], dtype=np.uint64)
    assert read_words_at(path, places).tolist() == [1999, 1000, 1017, 1017, 1003, 1500]
    assert read_words_at(path, places[:0]).size == 0
    with pytest.raises(Garbled):
        read_words_at(path, np.array([5, 1000], dtype=np.uint64))
    with pytest.raises(ValueError, match="no word can lie"):
        read_words_at(path, np.array([2**63], dtype=np.uint64))
    with pytest.raises(Unavailable):
        read_words_at(tmp_path / "none", places)


@given(st.lists(st.integers(0, 299)))
def test_words_at_places_are_those_of_a_whole_read(
    tmp_path_factory: pytest.TempPathFactory, places: list[int]
) -> None:
    path = tmp_path_factory.mktemp("words") / "words"
    path.write_bytes(words(value * 7 for value in range(300)))
    wanted = np.array(places, dtype=np.uint64)
    assert read_words_at(path, wanted).tolist() == [place * 7 for place in places]


def test_a_file_may_lack_its_last_words(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes(words([1, 2, 3]))
    assert read_words(path, 1, 3, may_lack=1).tolist() == [2, 3]
    with pytest.raises(Garbled):
        read_words(path, 1, 4, may_lack=1)
    path.write_bytes(words([1, 2, 3])[:-1])
    with pytest.raises(Garbled):
        read_words(path, 0, 3, may_lack=1)


def test_words_are_written_where_they_belong(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes(words([1, 2, 3]))
    write_words(path, 1, np.array([9, 8], dtype=np.uint64))
    assert path.read_bytes() == words([1, 9, 8])
    with pytest.raises(Unavailable):
        write_words(tmp_path / "none", 0, np.array([9], dtype=np.uint64))


def test_an_array_is_read_into_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes(words([1, 2, 3]))
    into = np.zeros(5, dtype=np.uint64)
    told = read_words(path, 1, 2, into=into)
    assert told.tolist() == [2, 3]
    assert np.shares_memory(told, into)
    with pytest.raises(ValueError, match="6 words do not fit into 5"):
        read_words(path, 0, 6, into=into)


def test_words_that_are_not_taken_end_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "words"
    path.write_bytes(bytes(32))
    # As the bitmap of idle pages does with a last word that is not whole: it takes it, and says that it took nothing.
    monkeypatch.setattr(os, "pwrite", lambda _, data, offset: min(len(data), 24 - offset))
    write_words(path, 0, np.arange(4, dtype=np.uint64), may_lack=1)
    with pytest.raises(Failed, match="8 of 32 bytes were not taken"):
        write_words(path, 0, np.arange(4, dtype=np.uint64))
