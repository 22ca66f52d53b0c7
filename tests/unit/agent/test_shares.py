"""Fast memory divided: weights, minimums, thresholds, and who has how much."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermocline_agent.extent import Layout, Span, Tier
from thermocline_agent.ownership import Ownership
from thermocline_agent.settings import Amount, FastShare, Placement, Rule
from thermocline_agent.shares import NOBODY, PINNED, POOL, SINKING, divide, parties, residency, thresholds
from thermocline_agent.tails import Tails, folio_pages, heads

PARTY = st.tuples(st.integers(0, 50), st.integers(0, 100), st.integers(0, 300))


@given(st.integers(0, 400), st.lists(PARTY, min_size=1, max_size=8))
def test_division_keeps_its_bounds(capacity: int, told: list[tuple[int, int, int]]) -> None:
    minimum = np.array([least for least, _, _ in told], dtype=np.float64)
    demand = minimum + [more for _, more, _ in told]
    weight = np.array([part for _, _, part in told], dtype=np.float64)
    given_ = divide(capacity, minimum, demand, weight)
    assert given_.sum() <= max(capacity, 0) + 1e-6
    assert (given_ <= demand + 1e-6).all()
    if minimum.sum() <= capacity:
        assert (given_ >= minimum - 1e-6).all()
        # Who got less than wanted got as much by weight, beyond the minimum, as anybody, or more.
        wants = (given_ < demand - 1e-6) & (weight > 0)
        if wants.any():
            assert given_.sum() == pytest.approx(capacity)
            each = (given_ - minimum)[weight > 0] / weight[weight > 0]
            assert ((given_ - minimum)[wants] / weight[wants] >= each.max() - 1e-6).all()


@pytest.mark.parametrize(
    ("capacity", "minimum", "demand", "weight", "expected"),
    [
        (100, [0, 0], [100, 100], [300, 100], [75, 25]),
        (100, [0, 0], [40, 100], [300, 100], [40, 60]),
        (100, [20, 0], [100, 100], [100, 100], [60, 40]),
        (100, [80, 120], [80, 120], [1, 1], [40, 60]),
        (0, [0], [5], [1], [0]),
    ],
)
def test_division(
    capacity: int, minimum: list[int], demand: list[int], weight: list[int], expected: list[int]
) -> None:
    found = divide(capacity, *(np.array(each, dtype=np.float64) for each in (minimum, demand, weight)))
    assert found.tolist() == expected


RULES = (
    Rule("tier"),
    Rule("pin", Placement.PIN_FAST),
    Rule("sink", Placement.PREFER_SLOW),
    Rule("no", Placement.IGNORE),
    Rule("share", fast_share=FastShare(Amount(share=0.5), Amount(pages=30))),
)


def test_parties() -> None:
    found = parties(RULES, np.array([-1, 0, 1, 2, 3, 4, 4, -1], dtype=np.int16))
    assert found.of_owner.tolist() == [NOBODY, POOL, PINNED, SINKING, NOBODY, 3, 4, NOBODY]
    assert found.owner_of.tolist() == [0, 0, 0, 5, 6]
    resident = np.array([0, 0, 0, 41, 80])
    amounts = found.with_amounts(RULES, np.array([-1, 0, 1, 2, 3, 4, 4, -1], dtype=np.int16), resident)
    assert amounts.minimum.tolist() == [0, 0, 0, 20, 30]
    assert amounts.maximum.tolist()[3:] == [30, 30]


@given(st.lists(st.integers(0, 240), min_size=1, max_size=60), st.integers(0, 80))
def test_the_hot_set_just_fits(heats: list[int], capacity: int) -> None:
    histogram = np.zeros((3, 2, 256))
    histogram[POOL, Tier.SLOW] = np.bincount(heats, minlength=256)
    found = thresholds(histogram, parties(RULES, np.array([-1, 0], dtype=np.int16)), capacity, 1)
    above = sum(heat > found.pool for heat in heats)
    assert above <= capacity
    if found.pool:
        assert sum(heat >= found.pool for heat in heats) >= capacity


@given(st.lists(st.integers(0, 6), min_size=2, max_size=200), st.integers(1, 199))
def test_residency_is_counted(owners: list[int], fast: int) -> None:
    fast = min(fast, len(owners) - 1)
    layout = Layout((Span(0, fast, 0, Tier.FAST), Span(fast, len(owners) - fast, 1, Tier.SLOW)))
    found = residency(layout, Ownership.of(np.array(owners, dtype=np.uint16)), 7)
    assert found[Tier.FAST].tolist() == np.bincount(owners[:fast], minlength=7).tolist()
    assert found[Tier.SLOW].tolist() == np.bincount(owners[fast:], minlength=7).tolist()


SPANS = Layout((Span(1000, 10, 1, Tier.SLOW), Span(100, 5, 0, Tier.FAST), Span(200, 5, 0, Tier.FAST)))


def test_indexes_and_frames() -> None:
    index = np.arange(20)
    pfns = SPANS.pfn(index)
    assert pfns.tolist() == [*range(100, 105), *range(200, 205), *range(1000, 1010)]
    assert SPANS.index(pfns).tolist() == index.tolist()
    outside = np.array([0, 99, 105, 199, 205, 999, 1010, 1 << 40], dtype=np.uint64)
    assert SPANS.index(outside).tolist() == [-1] * 8
    assert SPANS.node(index).tolist() == [0] * 10 + [1] * 10
    assert [(block.start, block.stop, block.tier) for block in SPANS.blocks()] == [
        (0, 5, Tier.FAST), (5, 10, Tier.FAST), (10, 20, Tier.SLOW),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="overlaps"):
        Layout((Span(0, 5, 0, Tier.FAST), Span(4, 5, 0, Tier.FAST)))


@given(st.lists(st.sampled_from([1, 2, 4, 8, 1024]), min_size=1, max_size=20))
def test_folios(sizes: list[int]) -> None:
    tails: list[bool] = []
    starts = []
    for size in sizes:
        while len(tails) % size:
            starts.append((len(tails), 1))
            tails.append(False)
        starts.append((len(tails), size))
        tails += [False, *([True] * (size - 1))]
    marks = Tails.of(np.array(tails))
    found = heads(marks, np.arange(len(tails)))
    expected = [start for start, size in starts for _ in range(size)]
    assert found.tolist() == expected
    told = folio_pages(marks, np.array([start for start, _ in starts]), 512)
    assert told.tolist() == [size for _, size in starts]
