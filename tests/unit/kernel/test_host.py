"""Small text files, whole and broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermocline_kernel import host
from thermocline_kernel.errors import Failed, Garbled, Unavailable


def kernel_list(ids: frozenset[int]) -> str:
    """The list format, as the kernel's bitmap_list_string() writes it."""
    runs: list[list[int]] = []
    for number in sorted(ids):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


@given(st.frozensets(st.integers(0, 1023)))
def test_a_list_comes_back(ids: frozenset[int]) -> None:
    assert host.parse_ids(kernel_list(ids)) == ids


@pytest.mark.parametrize(
    "text", [",", "0,", ",0", "1-", "-1", "3-1", "0-1-2", "a", "0 1", "0x1", "٣", "0-99999999999", "1\n"]
)
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a list such as"):
        host.parse_ids(text)


@given(st.text(max_size=20))
def test_any_text_is_a_list_or_a_value_error(text: str) -> None:
    try:
        ids = host.parse_ids(text)
    except ValueError:
        return
    assert all(number >= 0 for number in ids)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", 1),
        (b"12", 1),
        (b"\n", 1),
        (b"1\n2\n", 2),
        (b"-1\n", 1),
        (b"1.5\n", 1),
        (b"\xff\n", None),
        (b"0x10\n", 1),
    ],
)
def test_what_is_no_number_is_garbled(tmp_path: Path, content: bytes, line: int | None) -> None:
    path = tmp_path / "number"
    path.write_bytes(content)
    with pytest.raises(Garbled) as caught:
        host.read_number(path)
    assert (caught.value.path, caught.value.line) == (str(path), line)


def test_numbers_may_be_padded(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("  12 \n")
    assert host.read_number(tmp_path / "number") == 12


def test_what_is_missing_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        host.read_line(tmp_path / "nothing")
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    with pytest.raises(Unavailable):
        host.numbered(tmp_path / "nothing", "node")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="EISDIR"):
        host.read_line(tmp_path)


def test_numbered_entries_come_in_the_order_of_numbers(tmp_path: Path) -> None:
    for name in ("node10", "node9", "node", "nodes1", "node1x", "xnode2"):
        (tmp_path / name).mkdir()
    assert list(host.numbered(tmp_path, "node").items()) == [
        (9, tmp_path / "node9"),
        (10, tmp_path / "node10"),
    ]
