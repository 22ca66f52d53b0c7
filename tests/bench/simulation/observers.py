"""What a source sees of the accesses: with the noise that it has on a real machine.

Each turns one interval's accesses, shape (pages,), into counts of a byte, and those, by frame, into the
observation that a source would hand to the agent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.extent import I64, U8
from thermocline_agent.observation import AccessBits, Observation, Regions, Samples

# A sampler catches one of so many accesses: one sample a page and interval on average, which for 4 GiB and 10
# s are 100,000 a second; MEMTIS allows as many. The sparse one has a tenth.
PERIOD, SPARSE_PERIOD = 64, 640
# Idle bits are set this part of an interval before they are read. Over a whole one every page is touched.
_SHORT = 64
_REGION_PAGES = 16
_CHECKS = 20
_CHECK_WINDOW = 256


@dataclass(frozen=True, slots=True)
class Observer:
    """`see`: accesses to counts, by page; `tell`: counts by frame to an observation."""

    name: str
    see: Callable[[I64, np.random.Generator], U8]
    tell: Callable[[U8], Observation]


def _sampled(period: int) -> Observer:
    def see(accesses: I64, random: np.random.Generator) -> U8:
        return np.minimum(random.binomial(accesses, 1 / period), 255).astype(np.uint8)

    def tell(counts: U8) -> Observation:
        index = np.flatnonzero(counts)
        return Samples(index, counts[index], ((0, len(counts)),), float(period))

    return Observer("samples" if period == PERIOD else "sparse samples", see, tell)


def _bits(name: str, part: int) -> Observer:
    def see(accesses: I64, random: np.random.Generator) -> U8:
        return (random.binomial(accesses, 1 / part) > 0).astype(np.uint8)

    def tell(counts: U8) -> Observation:
        return AccessBits(np.packbits(counts, bitorder="little"), ((0, len(counts)),))

    return Observer(name, see, tell)


def _checked(accesses: I64, random: np.random.Generator) -> U8:
    """DAMON: each check looks at one page of each region, whether it was accessed since a moment ago."""
    touched = (1 - np.exp(-accesses / _CHECK_WINDOW)).reshape(-1, _REGION_PAGES).mean(axis=1)
    found = random.binomial(_CHECKS, touched)
    return np.repeat(found, _REGION_PAGES).astype(np.uint8)


def _regions(counts: U8) -> Observation:
    """Regions of frames with one count; where pages have moved, DAMON would split its regions as well."""
    edges = np.flatnonzero(np.diff(counts)) + 1
    first = np.concatenate(([0], edges)).astype(np.int64)
    pages: NDArray[np.int64] = np.diff(np.append(first, len(counts)))
    return Regions(first, pages, counts[first], _CHECKS)


SAMPLES = _sampled(PERIOD)
SPARSE = _sampled(SPARSE_PERIOD)
BITS = _bits("access bits", _SHORT)
LONG_BITS = _bits("access bits over whole intervals", 1)
REGIONS = Observer("regions", _checked, _regions)
