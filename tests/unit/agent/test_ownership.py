"""Whose pages are, in runs or one by one: told as an array would tell it, whatever is done to it and in which order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermocline_agent.extent import I64, Mask
from thermocline_agent.ownership import CHUNK_PAGES, U16, Ownership
from thermocline_agent.tails import Tails

# Few owners, so that neighbours are alike, and numbers that need two bytes.
NUMBERS = (0, 0, 1, 2, 255, 256, 65535)
OWNERS = 1 << 16


def array(random: np.random.Generator, pages: int) -> U16:
    """Runs of one page or of many."""
    run = int(random.choice([1, 2, 20, 100]))
    values = random.choice(NUMBERS[: int(random.choice([3, 5, 7]))], pages // run + 1)
    return np.repeat(values, run)[:pages].astype(np.uint16)


def check(kept: Ownership, model: U16, random: np.random.Generator) -> None:
    assert kept[:].tolist() == model.tolist()
    start, stop = sorted(random.integers(0, len(model) + 1, 2).tolist())
    assert kept[start:stop].tolist() == model[start:stop].tolist()
    index = random.integers(0, len(model), 30)
    assert kept[index].tolist() == model[index].tolist()
    assert kept[np.sort(index)].tolist() == model[np.sort(index)].tolist()
    into = np.full(stop - start, 7, dtype=np.uint8)
    assert kept.owned(start, into).tolist() == (model[start:stop] != 0).tolist()
    table = np.array([5, 6, 7], dtype=np.uint8)
    assert kept.translated(table, start, stop).tolist() == table[np.minimum(model[start:stop], 2)].tolist()
    counts = np.bincount(model[start:stop], minlength=OWNERS)
    assert kept.counts(start, stop, OWNERS).tolist() == counts.tolist()


@given(st.lists(st.integers(1, 300), min_size=1, max_size=5), st.integers(0, 1 << 32), st.integers(0, 6))
def test_it_tells_what_an_array_would(sizes: list[int], seed: int, steps: int) -> None:
    random = np.random.default_rng(seed)
    kept, model = Ownership(sizes), np.zeros(sum(sizes), dtype=np.uint16)
    for _ in range(steps):
        match int(random.integers(3)):
            case 0:
                start, stop = sorted(random.integers(0, len(model) + 1, 2).tolist())
                model[start:stop] = array(random, stop - start)
                kept.write(start, model[start:stop].copy())
            case 1:
                index: I64 = random.integers(0, len(model), int(random.integers(20)))
                model[index] = 0
                kept.forget(index)
            case _:
                gone = random.choice(NUMBERS, 2).astype(np.uint16)
                model[np.isin(model, gone)] = 0
                kept.forget_owners(gone)
    check(kept, model, random)


@pytest.mark.parametrize("pages", [1, CHUNK_PAGES - 1, CHUNK_PAGES, 2 * CHUNK_PAGES + 77])
def test_chunks_of_every_size(pages: int) -> None:
    random = np.random.default_rng(pages)
    model = array(random, pages)
    kept = Ownership.of(model)
    assert len(kept) == pages
    check(kept, model, random)
    assert Ownership.of(model[:0])[:].tolist() == []


@pytest.mark.parametrize("sizes", [[0], [CHUNK_PAGES + 1], [5, -1]])
def test_chunks_that_cannot_be(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="chunks have"):
        Ownership(sizes)


@pytest.mark.parametrize(
    ("run", "owners", "most"),
    [
        (1, 255, 1.0),
        (1, 65535, 2.0),
        (8, 255, 1.0),
        (17, 255, 3 / 17),
        (512, 255, 3 / 512),
        (512, 65535, 4 / 512),
    ],
)
def test_what_a_page_takes_at_most(run: int, owners: int, most: float) -> None:
    pages = 4 * CHUNK_PAGES
    # Owners of both sizes of numbers in every chunk.
    model = np.repeat(np.arange(pages // run + 1) * 331 % owners + 1, run)[:pages].astype(np.uint16)
    assert Ownership.of(model).nbytes <= most * pages * 1.01


@given(st.integers(1, 90), st.integers(0, 1 << 32), st.integers(0, 4))
def test_tails_tell_what_an_array_would(chunks: int, seed: int, steps: int) -> None:
    random = np.random.default_rng(seed)
    pages = chunks * 1000
    kept, model = Tails(pages), np.zeros(pages, dtype=np.bool_)
    for _ in range(steps):
        start, stop = sorted(random.integers(0, pages + 1, 2).tolist())
        model[start:stop] = random.random(stop - start) < random.choice([0.0, 0.5])
        kept.write(start, model[start:stop].copy())
    assert len(kept) == pages
    assert same(kept[:], model)
    start, stop = sorted(random.integers(0, pages + 1, 2).tolist())
    assert same(kept[start:stop], model[start:stop])
    index = random.integers(0, pages, 50)
    assert same(kept[index], model[index])
    assert kept.nbytes <= pages / 8 + 1
    kept.write(0, np.zeros(pages, dtype=np.bool_))
    assert kept.nbytes == 0


def same(left: Mask, right: Mask) -> bool:
    return bool((left == right).all()) and left.shape == right.shape
