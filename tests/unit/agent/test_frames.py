"""Sets of frames, held against sets of numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermocline_agent import frames as sets
from thermocline_agent.frames import Frames

RANGES = st.lists(
    st.builds(lambda first, pages: Frames(first, first + pages), st.integers(0, 60), st.integers(1, 20)),
    max_size=6,
)


def numbers(ranges: list[Frames] | tuple[Frames, ...]) -> set[int]:
    return {pfn for each in ranges for pfn in range(each.first_pfn, each.end_pfn)}


def is_tidy(ranges: tuple[Frames, ...]) -> bool:
    return all(left.end_pfn < right.first_pfn for left, right in itertools.pairwise(ranges))


@given(RANGES, RANGES)
def test_sets_of_frames_are_sets(left: list[Frames], right: list[Frames]) -> None:
    assert numbers(sets.union(left)) == numbers(left)
    assert is_tidy(sets.union(left))
    assert numbers(sets.intersection(left, right)) == numbers(left) & numbers(right)
    assert numbers(sets.difference(left, right)) == numbers(left) - numbers(right)
    assert sets.total_pages(sets.union(left)) == len(numbers(left))


@given(st.sets(st.integers(0, 50)))
def test_ranges_of_numbers(pfns: set[int]) -> None:
    found = sets.of_pfns(np.array(sorted(pfns), dtype=np.uint64))
    assert numbers(found) == pfns
    assert is_tidy(found)


@given(RANGES, st.integers(1, 16))
def test_chunks_are_the_same_frames_and_do_not_cross_multiples(ranges: list[Frames], pages: int) -> None:
    found = list(sets.chunks(sets.union(ranges), pages))
    assert numbers(found) == numbers(ranges)
    assert all(each.first_pfn // pages == (each.end_pfn - 1) // pages for each in found)


def test_a_window_goes_round() -> None:
    chunk = sets.CHUNK_PAGES
    ranges = (Frames(0, 3 * chunk), Frames(5 * chunk, 6 * chunk))
    first, at = sets.window(ranges, 0, 2 * chunk)
    assert (first, at) == ((Frames(0, 2 * chunk),), 2 * chunk)
    second, at = sets.window(ranges, at, 2 * chunk)
    assert (second, at) == ((Frames(2 * chunk, 3 * chunk), Frames(5 * chunk, 6 * chunk)), 0)
    third, at = sets.window(ranges, at, 10**9)
    assert third == ranges
    # At least a chunk, whatever it costs, and no more than there is.
    assert sets.window(ranges, 0, 1) == ((Frames(0, chunk),), chunk)
    assert sets.window((), 7, 100) == ((), 7)


@given(RANGES, st.integers(0, 100), st.integers(1, 40))
def test_windows_come_by_everything(ranges: list[Frames], start: int, pages: int) -> None:
    whole = sets.union(ranges)
    seen: set[int] = set()
    at = start
    for _ in range(100):
        taken, at = sets.window(whole, at, pages)
        assert numbers(taken) <= numbers(whole)
        seen |= numbers(taken)
    assert seen == numbers(whole)


def test_no_frames_are_no_range() -> None:
    for first, end in ((5, 5), (5, 4), (-1, 3)):
        with pytest.raises(ValueError, match="no frames lie"):
            Frames(first, end)
