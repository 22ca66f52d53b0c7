"""Heat over rounds: what it forgets, what it keeps, and whose hot set moved."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.agent.machines import bits
from thermocline_agent import heat as module
from thermocline_agent.extent import BLOCK_PAGES, I64, U8, Layout, Span, Tier
from thermocline_agent.forecast import Forecast
from thermocline_agent.heat import HOTTEST, Heat, Pace
from thermocline_agent.memory import LONGEST, Memory
from thermocline_agent.observation import AccessBits, Regions, Samples
from thermocline_agent.ownership import Ownership

PACE = Pace(10.0, 1)
OWNER = Ownership.of(np.ones(12, dtype=np.uint16))
LAYOUT = Layout((Span(100, 6, 0, Tier.FAST), Span(1000, 6, 1, Tier.SLOW)))


def heated(rounds: int = 40, touched: list[int] | None = None, level: int = 60) -> Heat:
    heat = Heat(LAYOUT)
    seen = [page in (touched or [0, 6]) for page in range(12)]
    for number in range(1, rounds + 1):
        assert observe(heat, seen, number, level=level)
    return heat


def observe(
    heat: Heat, seen: list[bool], number: int, *, owner: list[int] | None = None, level: int = 60
) -> bool:
    owners = Ownership.of(np.array(owner or [1] * 12, dtype=np.uint16))
    levels = np.array([0, level, level], dtype=np.uint8)
    return heat.observe(bits(seen), owners, number * 10.0, levels=levels, pace=PACE)


def test_heat_is_the_share_of_rounds_in_which_a_page_was_accessed() -> None:
    heat = heated(200)
    assert heat.heat.tolist() == [240, 0, 0, 0, 0, 0, 240, 0, 0, 0, 0, 0]
    half = Heat(LAYOUT)
    for number in range(1, 201):
        observe(half, [number % 2 == 0] * 12, number)
    assert all(110 <= value <= 135 for value in half.heat.tolist())


def test_what_is_not_accessed_cools_down_to_nothing() -> None:
    heat = heated()
    values = []
    for number in range(41, 141):
        observe(heat, [False] * 12, number)
        values.append(int(heat.heat[0]))
    assert values == sorted(values, reverse=True)
    assert 70 <= values[15] <= 100, "a memory of 16 rounds has forgotten all but a third after 16"
    assert values[-1] == 0


@pytest.mark.parametrize("now", [0.0, 395.0, 399.9, float("nan")])
def test_a_clock_that_goes_back_or_hardly_on_changes_nothing(now: float) -> None:
    heat = heated(40)
    before = heat.heat.copy(), heat.state.copy(), heat.number, heat.memory, heat.forecast
    seen = bits([True] * 12)
    assert not heat.observe(seen, OWNER, now, levels=np.zeros(2, dtype=np.uint8), pace=PACE)
    assert (before[0] == heat.heat).all()
    assert (before[1] == heat.state).all()
    assert before[2:] == (heat.number, heat.memory, heat.forecast)


def test_frames_that_nobody_owns_are_unknown() -> None:
    heat = heated()
    observe(heat, [True] * 12, 41, owner=[0, *[1] * 11])
    assert (heat.heat[0], heat.state[0]) == (0, 0)
    assert heat.state[1] != 0


def test_pages_that_were_not_looked_at_keep_what_they_have() -> None:
    heat = heated()
    before = heat.heat.copy(), heat.state.copy()
    looked_at = AccessBits(np.array([255, 255], dtype=np.uint8), ((4, 8),))
    heat.observe(looked_at, OWNER, 410.0, levels=np.full(2, 60, dtype=np.uint8), pace=PACE)
    changed = (heat.heat != before[0]) | (heat.state != before[1])
    # Page 6 is as hot as can be, and stays so.
    assert np.flatnonzero(changed).tolist() == [4, 5, 7]


def test_a_page_that_appears_stays_until_it_is_known() -> None:
    heat = heated()
    heat.forget(np.array([1, 7]))
    assert heat.state[[1, 7]].tolist() == [0, 0]
    observe(heat, [False] * 12, 41, level=100)
    fast, slow = heat.heat[[1, 7]].tolist()
    assert 90 <= fast <= 100
    assert 40 <= slow <= 50


def test_blocks_and_spans_make_no_difference() -> None:
    pages = BLOCK_PAGES + 1000
    random = np.random.default_rng(3)
    one = Layout((Span(0, pages, 0, Tier.FAST),))
    edges = [*range(0, pages, 1000), pages]
    many = Layout(tuple(Span(a, b - a, 0, Tier.FAST) for a, b in itertools.pairwise(edges)))
    assert many.pages == pages
    found = []
    for layout in (one, many):
        heat = Heat(layout)
        random = np.random.default_rng(3)
        for number in range(1, 5):
            heat.observe(
                bits(random.random(pages) < 0.3), Ownership.of(np.ones(pages, dtype=np.uint16)), number * 10.0,
                levels=np.full(2, 90, dtype=np.uint8), pace=PACE,
            )  # fmt: skip
        found.append((heat.heat.copy(), heat.state.copy()))
    assert (found[0][0] == found[1][0]).all()
    assert (found[0][1] == found[1][1]).all()


@given(st.lists(st.lists(st.integers(0, 255), min_size=12, max_size=12), min_size=1, max_size=30))
def test_no_byte_overflows(rounds: list[list[int]]) -> None:
    heat = Heat(LAYOUT)
    for number, counts in enumerate(rounds, start=1):
        caught = np.array(counts, dtype=np.uint8)
        index = np.flatnonzero(caught)
        before = heat.heat.copy()
        heat.observe(
            Samples(index, caught[index], ((0, 12),), 100.0), OWNER, number * 10.0,
            levels=np.full(2, 90, dtype=np.uint8), pace=PACE,
        )  # fmt: skip
        assert heat.heat.max() <= HOTTEST
        # More accesses never cool a page, and none never warm it, but for a change of scale.
        assert (heat.heat[caught == 0] <= np.maximum(2 * before[caught == 0].astype(int), 90)).all()


def test_the_scale_of_samples_finds_the_threshold() -> None:
    heat = Heat(LAYOUT)
    for level, scale in ((200, 8.0), (200, 4.0), (100, 4.0), (5, 8.0)):
        found = Samples(np.arange(12), np.full(12, 3, dtype=np.uint8), ((0, 12),), 100.0)
        heat.observe(
            found,
            OWNER,
            heat.number * 10.0 + 10,
            levels=np.full(2, level, np.uint8),
            pace=PACE,
        )
        assert heat.scale == scale


def test_regions_have_the_heat_of_their_checks() -> None:
    heat = Heat(LAYOUT)
    regions = Regions(np.array([0, 6]), np.array([6, 6]), np.array([20, 5], dtype=np.uint8), 20)
    for number in range(1, 100):
        heat.observe(
            regions,
            OWNER,
            number * 10.0,
            levels=np.full(2, 90, dtype=np.uint8),
            pace=PACE,
        )
    assert heat.heat[:6].tolist() == [240] * 6
    assert all(50 <= value <= 70 for value in heat.heat[6:].tolist())


@pytest.mark.parametrize(
    ("covered", "blocks"),
    [
        (((0, 12),), [(0, 6), (6, 12)]),
        (((1, 3), (4, 5)), [(1, 3), (4, 5)]),
        (((2, 9), (10, 11)), [(2, 6), (6, 9), (10, 11)]),
        ((), []),
        (((7, 8),), [(7, 8)]),
    ],
)
def test_what_is_covered(covered: tuple[tuple[int, int], ...], blocks: list[tuple[int, int]]) -> None:
    seen = AccessBits(np.zeros(2, dtype=np.uint8), covered)
    assert [(each.start, each.stop) for each in module._covered(LAYOUT, seen)] == blocks


def run(memory: Memory, shares: list[float], total: float = 1000.0) -> tuple[Memory, list[int]]:
    began = []
    for number, share in enumerate(shares):
        memory = memory.after(np.array([0.0, share * total]), np.array([0.0, total]))
        if memory.began[1]:
            began.append(number)
    return memory, began


def test_memory_grows_while_the_past_predicts_the_present() -> None:
    memory = Memory.of(2)
    lengths = []
    for _ in range(20):
        memory, _ = run(memory, [0.8])
        lengths.append(int(memory.shifts[1]))
    assert lengths == [0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4]


def test_memory_begins_again_when_the_hot_set_moves() -> None:
    memory, began = run(Memory.of(2), [0.8] * 20 + [0.1] + [0.8] * 20)
    assert began == [20]
    assert memory.shifts[1] == LONGEST
    assert not memory.shaken[1]
    _, began = run(Memory.of(2), [0.8] * 20 + [0.5] * 5 + [0.8] * 5)
    assert began == [], "half as many hits would be a move; a few less are not"


def test_little_evidence_is_no_judgement() -> None:
    assert run(Memory.of(2), [0.8] * 20 + [0.1] * 3, total=50)[1] == []
    # Of 100 counts 10 usually hit: 3 hits are chance.
    assert run(Memory.of(2), [0.1] * 20 + [0.03], total=100)[1] == []


def test_newcomers_have_nothing_to_remember() -> None:
    memory, _ = run(Memory.of(2), [0.8] * 20 + [0.1] * 3)
    assert memory.sized(4).rounds.tolist() == [*memory.rounds.tolist(), 0, 0]
    assert memory.shaken[1]
    another = memory.without(1)
    assert (another.rounds[1], another.shaken[1]) == (0, False)


def test_a_forecast_is_the_mean_count_of_each_heat() -> None:
    pages, counts = np.zeros(256), np.zeros(256)
    pages[[0, 4, 8]], counts[[0, 4, 8]] = [100, 10, 10], [10, 5, 20]
    found = Forecast(pages, counts).by_heat()
    assert found is not None
    assert found[[0, 4, 8, 255]].tolist() == [0.1, 0.5, 2.0, 2.0]
    assert found[6] == pytest.approx(1.25)
    assert Forecast.none().by_heat() is None


@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(1, 50), st.integers(0, 90)), min_size=1, max_size=40)
)
def test_a_forecast_never_falls_and_keeps_the_mean(told: list[tuple[int, int, int]]) -> None:
    pages, counts = np.zeros(256), np.zeros(256)
    for heat, found, count in told:
        pages[heat] += found
        counts[heat] += count
    by_heat = Forecast(pages, counts).by_heat()
    assert by_heat is not None
    assert (np.diff(by_heat) >= -1e-9).all()
    assert by_heat.min() >= (counts[pages > 0] / pages[pages > 0]).min() - 1e-9
    assert by_heat.max() <= (counts[pages > 0] / pages[pages > 0]).max() + 1e-9


def test_a_forecast_follows_a_change_of_scale() -> None:
    pages: U8 = np.zeros(256, dtype=np.uint8)
    pages[[10, 11, 200]] = 1
    levels: I64 = np.flatnonzero(Forecast(pages.astype(np.float64), np.zeros(256)).scaled(0.5).pages)
    assert levels.tolist() == [5, 100]
