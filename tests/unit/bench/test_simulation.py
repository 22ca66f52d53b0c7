"""The simulation's own arithmetic: what arms may do, what is counted, and that they come out in the right order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.simulation import figures, measure, start
from tests.bench.simulation.generator import FAST_PAGES, PAGES, SCENARIOS
from tests.bench.simulation.observers import BITS, LONG_BITS, REGIONS, SAMPLES, SPARSE, Observer
from tests.bench.simulation.policies import LeastRecentlyUsed, Threshold, best, exchanged


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=40), st.integers(0, 40))
def test_an_exchange_keeps_the_number_of_pages_and_the_budget(
    told: list[tuple[bool, int]], budget: int
) -> None:
    placed = np.array([fast for fast, _ in told])
    worth = np.array([value for _, value in told])
    after = exchanged(placed, worth, budget)
    assert after.sum() == placed.sum()
    assert np.count_nonzero(after & ~placed) <= budget
    assert worth[after].sum() >= worth[placed].sum()
    if budget >= len(told):
        assert worth[after].sum() == worth[best(worth, int(placed.sum()))].sum()


def test_simple_policies() -> None:
    lru = LeastRecentlyUsed(np.array([True, True, False, False]), 4)
    lru.step(np.array([1, 0, 0, 0], dtype=np.uint8), 0)
    lru.step(np.array([0, 0, 1, 0], dtype=np.uint8), 1)
    assert lru.in_fast.tolist() == [True, False, True, False]
    threshold = Threshold(np.array([True, True, False, False]), 4, 3)
    threshold.step(np.array([1, 0, 3, 2], dtype=np.uint8), 0)
    assert threshold.in_fast.tolist() == [True, False, True, False]


@pytest.mark.parametrize("name", SCENARIOS)
def test_generators_repeat_and_keep_their_shape(name: str) -> None:
    first, again, other = (list(SCENARIOS[name].rates(np.random.default_rng(seed), 3)) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
    assert all(rates.shape == (PAGES,) and rates.min() >= 0 and rates.sum() > PAGES for rates in first)


@pytest.mark.parametrize("observer", [SAMPLES, SPARSE, BITS, LONG_BITS, REGIONS], ids=lambda each: each.name)
def test_what_is_told_is_what_was_seen(observer: Observer) -> None:
    random = np.random.default_rng(1)
    counts = observer.see(random.poisson(40, PAGES), random)
    told = observer.tell(counts)
    filled = np.zeros(1000, dtype=np.uint8)
    told.fill(3000, filled)
    assert (filled == counts[3000:4000]).all()
    assert told.covered == ((0, PAGES),)


def test_needed_moves_are_those_that_the_oracle_makes_too() -> None:
    start = best(np.arange(PAGES)[::-1], FAST_PAGES)
    rates = np.ones(PAGES)
    rates[-2:] = 9.0
    rates[:2] = 0.0
    ours = np.array([(PAGES - 1) * 2 + 1, 0 * 2, 5 * 2, 7000 * 2 + 1])
    assert measure._needed(start, [rates] * 3, [ours, ours[:0], ours[:0]], 3) == 2


def test_arms_come_out_in_the_right_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "WARM_UP", 5)
    monkeypatch.setattr(measure, "INTERVALS", 10)
    found = measure.run(SCENARIOS["zipf"], SAMPLES, 1)
    hits = found.hits
    assert hits["none"] < hits["ours"] < hits["oracle"] <= hits["unlimited oracle"]
    assert hits["ours"] < hits["clairvoyant"] < hits["oracle"]
    assert found.capture("oracle") == 1.0
    assert found.capture("none") == 0.0
    assert 1.0 <= found.waste < 3
    again = measure.run(SCENARIOS["zipf"], SAMPLES, 1)
    assert again == found


def test_a_start_is_from_slow_memory_and_repeats() -> None:
    found = start.started("scan", 4, 1)
    assert found.hits[0] < 0.5
    assert found.needed == start.CAPACITY
    assert 0.9 < found.capture < 1.01
    assert found.moves >= start.CAPACITY
    assert start.started("scan", 4, 1) == found


def test_what_shifts_has_to_be_moved() -> None:
    needed = {name: start.started(name, 1, 2).needed for name in ("zipf", "shifting")}
    hot = int(0.8 * start.CAPACITY)
    assert needed["zipf"] == start.CAPACITY
    # Pages that are not hot are alike: none of them needs to move for another.
    assert start.CAPACITY + hot < needed["shifting"] <= start.CAPACITY + 2 * hot


def test_every_row_has_a_name_of_its_own() -> None:
    names = [
        (figure.metric, observer.name) for _, observer, wanted in figures._QUESTIONS for figure in wanted
    ]
    assert len(set(names)) == len(names)
