"""Observations by frame, told by index."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermocline_agent.extent import Layout, Span, Tier
from thermocline_agent.frames import Frames
from thermocline_agent.sighting import by_index
from thermocline_agent.sources.source import Observation, Scale
from thermocline_agent.tails import Tails

LAYOUT = Layout((Span(100, 40, 0, Tier.FAST), Span(200, 60, 1, Tier.SLOW)))
NO_TAILS = Tails(LAYOUT.pages)


def seen(
    scale: Scale, extents: list[tuple[int, int, int]], covered: list[Frames], full: int | None = 20
) -> Observation:
    columns = np.array(extents, dtype=np.uint64).reshape(-1, 3).T
    return Observation(scale, tuple(covered), columns[0], columns[1], columns[2], full, 64.0, 0.0)


def counts(observation: Observation, tails: Tails = NO_TAILS) -> list[int]:
    found, _ = by_index(observation, LAYOUT, tails, 1)
    filled = np.zeros(LAYOUT.pages, dtype=np.uint8)
    found.fill(0, filled)
    return filled.tolist()


@given(st.data())
def test_every_page_has_the_count_of_its_frame(data: st.DataObject) -> None:
    edges = sorted(data.draw(st.sets(st.integers(60, 300), min_size=2, max_size=20)))
    extents = [
        (first, end - first, data.draw(st.integers(0, 20)))
        for first, end in itertools.pairwise(edges)
        if data.draw(st.booleans())
    ]
    observation = seen(Scale.SHARE, extents, [Frames(60, 300)])
    wanted, _ = observation.of(Frames(100, 260))
    assert counts(observation) == [*wanted[:40].tolist(), *wanted[100:].tolist()]
    found, _ = by_index(observation, LAYOUT, NO_TAILS, 1)
    start, stop = sorted(data.draw(st.tuples(st.integers(0, 99), st.integers(0, 99))))
    part = np.zeros(stop - start, dtype=np.uint8)
    found.fill(start, part)
    assert part.tolist() == counts(observation)[start:stop]


def test_what_is_covered_is_told_without_the_holes_between_spans() -> None:
    found, _ = by_index(seen(Scale.SHARE, [], [Frames(90, 110), Frames(130, 205)]), LAYOUT, NO_TAILS, 1)
    assert found.covered == ((0, 10), (30, 45))
    assert found.full == 20


def test_a_sampled_access_is_its_whole_folios() -> None:
    tails = Tails(LAYOUT.pages)
    tails.write(41, np.ones(3, dtype=np.bool_))
    assert counts(seen(Scale.COUNT, [(203, 1, 8)], [Frames(100, 260)], None), tails)[38:46] == [
        0, 0, 2, 2, 2, 2, 0, 0,
    ]  # fmt: skip


def test_folios_are_aligned_as_frames_are_and_not_as_indexes() -> None:
    layout = Layout((Span(101, 3, 0, Tier.FAST), Span(200, 8, 1, Tier.SLOW)))
    tails = Tails(layout.pages)
    # Frames 204 to 207, of index 7 to 10.
    tails.write(8, np.ones(3, dtype=np.bool_))
    for pfn in range(204, 208):
        found, _ = by_index(seen(Scale.COUNT, [(pfn, 1, 8)], [Frames(101, 208)], None), layout, tails, 1)
        filled = np.zeros(layout.pages, dtype=np.uint8)
        found.fill(0, filled)
        assert filled.tolist() == [0] * 7 + [2] * 4


@pytest.mark.parametrize("largest", [3, 1000, 10**9])
def test_a_devices_counts_fit_into_bytes_by_their_unit(largest: int) -> None:
    extents = [(200 + place, 1, largest * (place + 1)) for place in range(10)]
    found, unit = by_index(seen(Scale.COUNT, extents, [Frames(100, 260)], None), LAYOUT, NO_TAILS, 1)
    filled = np.zeros(LAYOUT.pages, dtype=np.uint8)
    found.fill(0, filled)
    assert found.accesses_per_count == 64.0 * unit
    assert filled[40:50].astype(np.float64) * unit == pytest.approx(
        [largest * (place + 1) for place in range(10)], abs=unit
    )
    assert filled.max() < 255
    # A unit that was needed once stays.
    _, later = by_index(seen(Scale.COUNT, [(200, 1, 1)], [Frames(100, 260)], None), LAYOUT, NO_TAILS, 2, unit)
    assert later == unit


def test_a_silent_device_covers_nothing() -> None:
    found, _ = by_index(seen(Scale.COUNT, [], [], None), LAYOUT, NO_TAILS, 1)
    assert found.covered == ()
