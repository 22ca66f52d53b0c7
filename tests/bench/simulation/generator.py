"""Programs that access memory: how often each page is accessed in each interval, from a seed.

Rates are what a program means to do; accesses are what it does, Poisson around that. Everything is scaled
down: 16,384 pages (64 MiB), a fast tier for a quarter of them, and 64 accesses a page and interval on
average, which is enough for the accesses themselves to be known to a few percent: what makes planning hard is
what is *seen* of them (observers.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.extent import F64, I64

PAGES = 16384
FAST_PAGES = PAGES // 4
MEAN_ACCESSES = 64
# Pages that are allocated together are used together, more or less: a run of 64 pages has one rank.
CLUSTER = 64
SHIFT_INTERVALS = 20

Rates = Iterator[F64]


@dataclass(frozen=True, slots=True)
class Scenario:
    """`rates(random, intervals)` yields each interval's rates, shape (PAGES,). `owner_of`: whose each page
    is.
    """

    name: str
    rates: Callable[[np.random.Generator, int], Rates]
    owner_of: NDArray[np.uint16]
    phase: int | None = None


def _shares(pages: int, exponent: float, random: np.random.Generator, run: int = 1) -> F64:
    """Zipf's law over pages in random order, or over runs of pages; the sum is 1."""
    runs = pages // run
    share = 1.0 / np.arange(1, runs + 1) ** exponent
    shuffled: F64 = np.repeat(random.permutation(share), run)
    shuffled /= shuffled.sum()
    return shuffled


def zipf(random: np.random.Generator, intervals: int, run: int = 1) -> Rates:
    """The n-th page is accessed in proportion to n to the power of -0.99, as YCSB's keys are."""
    rates = _shares(PAGES, 0.99, random, run) * PAGES * MEAN_ACCESSES
    for _ in range(intervals):
        yield rates


def clustered(random: np.random.Generator, intervals: int) -> Rates:
    """The same, but runs of 64 pages have one rate: what a monitor of regions needs."""
    return zipf(random, intervals, CLUSTER)


def shifting(random: np.random.Generator, intervals: int) -> Rates:
    """A hot set of 0.8 of the fast tier has 90 % of the accesses; every 20 intervals it is other pages."""
    hot: I64 = np.zeros(0, dtype=np.int64)
    size = FAST_PAGES * 8 // 10
    rates = np.zeros(PAGES)
    for interval in range(intervals):
        if interval % SHIFT_INTERVALS == 0:
            others = np.setdiff1d(np.arange(PAGES), hot)
            hot = random.permutation(others)[:size]
            rates = np.full(PAGES, 0.1 * PAGES * MEAN_ACCESSES / (PAGES - size))
            rates[hot] = 0.9 * PAGES * MEAN_ACCESSES * _shares(size, 0.5, random)
        yield rates


def drifting(random: np.random.Generator, intervals: int) -> Rates:
    """The same hot set, but in every interval 2 % of it are replaced: no moment at which anything shifts."""
    size = FAST_PAGES * 8 // 10
    order = random.permutation(PAGES)
    hot, cold = order[:size].copy(), order[size:].copy()
    weights = 0.9 * PAGES * MEAN_ACCESSES * _shares(size, 0.5, random)
    for _ in range(intervals):
        rates = np.full(PAGES, 0.1 * PAGES * MEAN_ACCESSES / (PAGES - size))
        rates[hot] = weights
        yield rates
        out = random.choice(size, size // 50, replace=False)
        into = random.choice(len(cold), size // 50, replace=False)
        hot[out], cold[into] = cold[into], hot[out].copy()


def scan(random: np.random.Generator, intervals: int) -> Rates:
    """A hot set of 0.4 of the fast tier, while a scan reads half of all pages in each interval, every line
    once.
    """
    size = FAST_PAGES * 4 // 10
    hot = random.permutation(PAGES)[:size]
    weights = _shares(size, 0.5, random) * 600 * PAGES
    step = PAGES // 2
    for interval in range(intervals):
        rates = np.zeros(PAGES)
        first = interval * step % PAGES
        rates[first : first + step] = 64
        rates[hot] += weights
        yield rates


def overflow(random: np.random.Generator, intervals: int) -> Rates:
    """A hot set of 1.5 times the fast tier, each page as hot as the other."""
    size = FAST_PAGES * 3 // 2
    rates = np.full(PAGES, 0.05 * PAGES * MEAN_ACCESSES / (PAGES - size))
    rates[random.permutation(PAGES)[:size]] = 0.95 * PAGES * MEAN_ACCESSES / size
    for _ in range(intervals):
        yield rates


# Three tenants of an eighth of the pages each, and a hog that has the rest.
TENANTS, HOG = (1, 2, 3), 4
_TENANT_PAGES = PAGES // 8


def tenants(random: np.random.Generator, intervals: int) -> Rates:
    """Each tenant has 20 % of the accesses, by Zipf's law; the hog reads all it has, again and again, for 40
    %.
    """
    rates = np.empty(PAGES)
    for tenant in TENANTS:
        pages = slice((tenant - 1) * _TENANT_PAGES, tenant * _TENANT_PAGES)
        rates[pages] = 0.2 * _shares(_TENANT_PAGES, 0.99, random)
    rates[len(TENANTS) * _TENANT_PAGES :] = 0.4 / (PAGES - len(TENANTS) * _TENANT_PAGES)
    rates *= PAGES * MEAN_ACCESSES
    for _ in range(intervals):
        yield rates


_ONE = np.ones(PAGES, dtype=np.uint16)
_MANY = np.minimum(np.arange(PAGES) // _TENANT_PAGES + 1, HOG).astype(np.uint16)

SCENARIOS = {
    "zipf": Scenario("zipf", zipf, _ONE),
    "clustered": Scenario("clustered", clustered, _ONE),
    "shifting": Scenario("shifting", shifting, _ONE, SHIFT_INTERVALS),
    "drifting": Scenario("drifting", drifting, _ONE, 1),
    "scan": Scenario("scan", scan, _ONE),
    "overflow": Scenario("overflow", overflow, _ONE),
    "tenants": Scenario("tenants", tenants, _MANY),
}
