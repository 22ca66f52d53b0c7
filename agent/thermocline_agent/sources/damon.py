"""Damon: DAMON on physical addresses. Of each region, in which share of the samples a page of it had been accessed.

Regions adapt to where accesses differ, between a lower and an upper bound of their number; cost goes with the number,
so the upper bound follows cpuLimit. When it changes, monitoring begins again with the regions found so far.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from thermocline_agent import frames as sets
from thermocline_agent.frames import Frames
from thermocline_agent.kdamonds import MONITOR, Kdamonds, cpu_seconds
from thermocline_agent.sources.pacing import resized
from thermocline_agent.sources.source import ACCESSES_PER_BIT, Observation, Scale
from thermocline_kernel.damon import Action, Context, Range, Scheme, TriedRegions
from thermocline_kernel.errors import Unavailable
from thermocline_kernel.host import PAGE_BYTES, Host

# DAMON's own default for the upper bound is 1000; below a hundred a region says little.
_REGIONS_FIRST: Final = 1000
_REGIONS_LOWEST: Final = 100
_REGIONS_HIGHEST: Final = 10_000
# An aggregation has so many samples, and an interval so many aggregations, in which regions split and merge.
_SAMPLES: Final = 20
_AGGREGATIONS: Final = 4
_SAMPLE_US_LOWEST: Final = 5_000
_SAMPLE_US_HIGHEST: Final = 250_000
# What a sample of a region is taken to cost where the kernel's thread cannot be seen: more than it does on a machine of
# today, where it walks the few mappings of one page.
_ASSUMED_SAMPLE_SECONDS: Final = 10e-6
# How often regions are asked for before it is said that nothing is known.
_TRIES: Final = 3


@dataclass(slots=True)
class Damon:
    """The source. `regions_max` is the upper bound in force."""

    host: Host
    kdamonds: Kdamonds
    interval_seconds: float
    cpu_limit_cores: float
    name: str = "Damon"
    regions_max: int = _REGIONS_FIRST
    _frames: tuple[Frames, ...] = ()
    _pid: int | None = None
    _cpu_seconds: float = 0.0
    _observed: float = 0.0

    def start(self, frames: Sequence[Frames]) -> None:
        """Monitor these frames. Raises Busy while others use DAMON, Unavailable, Denied, Failed or Garbled."""
        self._frames = tuple(frames)
        self.kdamonds.acquire(MONITOR)
        self._begin(even_ranges(self._frames, self.regions_max // 2))

    def observe(self) -> Observation:
        """The regions as they are. Takes a fraction of a second. Raises as start does."""
        began = time.thread_time()
        regions = self._regions()
        own_seconds = time.thread_time() - began
        now = time.monotonic()
        elapsed = now - self._observed
        kernel_seconds = self._kernel_seconds(elapsed)
        self._observed = now
        found = observation(self._frames, regions, _SAMPLES, own_seconds + kernel_seconds)
        wanted = resized(
            self.regions_max,
            (kernel_seconds + own_seconds) / elapsed if elapsed > 0 else 0.0,
            self.cpu_limit_cores,
            _REGIONS_LOWEST,
            _REGIONS_HIGHEST,
        )
        if wanted != self.regions_max and regions.starts.size:
            self.regions_max = wanted
            self.kdamonds.admin.stop(MONITOR)
            self._begin(regions_kept(regions, wanted))
        return found

    def _regions(self) -> TriedRegions:
        """All regions; none when the kernel's thread had no CPU for so long that the kernel gave up waiting for it."""
        for _ in range(_TRIES - 1):
            if (regions := self.kdamonds.admin.tried_regions(MONITOR)).starts.size:
                return regions
        return self.kdamonds.admin.tried_regions(MONITOR)

    def stop(self) -> None:
        """Stop monitoring. Raises as start does."""
        self.kdamonds.release(MONITOR)
        self._pid = None

    def _begin(self, ranges: tuple[Range, ...]) -> None:
        admin = self.kdamonds.admin
        admin.start(MONITOR, context(ranges, self.interval_seconds, self.regions_max))
        self._pid = admin.pid(MONITOR)
        self._cpu_seconds = 0.0
        self._observed = time.monotonic()
        self._kernel_seconds(0.0)

    def _kernel_seconds(self, elapsed: float) -> float:
        """CPU that the kernel's thread has used since the last time, so many seconds ago."""
        if self._pid is None:
            raise Unavailable("DAMON", "its thread has ended: somebody switched it off")
        used = cpu_seconds(self.host, self._pid)
        if used is None:
            return assumed_seconds(self.regions_max, self.interval_seconds, elapsed)
        before, self._cpu_seconds = self._cpu_seconds, used
        return max(0.0, used - before)


def assumed_seconds(regions: int, interval_seconds: float, elapsed: float) -> float:
    """CPU that monitoring so many regions takes at most, where nobody can tell. Pure."""
    return regions * _ASSUMED_SAMPLE_SECONDS * elapsed / (_sample_us(interval_seconds) / 1e6)


def _sample_us(interval_seconds: float) -> int:
    sample_us = int(interval_seconds * 1e6 / _AGGREGATIONS / _SAMPLES)
    return min(_SAMPLE_US_HIGHEST, max(_SAMPLE_US_LOWEST, sample_us))


def context(ranges: tuple[Range, ...], interval_seconds: float, regions_max: int) -> Context:
    """What the kernel is told for an interval of the agent's. Pure."""
    sample_us = _sample_us(interval_seconds)
    # Applied at every other sample, a scheme that does nothing lets regions be read without long waiting.
    watch = Scheme(Action.STAT, apply_us=2 * sample_us)
    return Context(ranges, sample_us, _SAMPLES * sample_us, max(10, regions_max // 10), regions_max, (watch,))


def even_ranges(frames: Sequence[Frames], count: int) -> tuple[Range, ...]:
    """The frames as about `count` ranges of equal size: to begin with, for halving takes many aggregations. Pure."""
    step = max(1, sets.total_pages(frames) // max(1, count))
    return tuple(
        Range(first * PAGE_BYTES, min(first + step, each.end_pfn) * PAGE_BYTES)
        for each in frames
        for first in range(each.first_pfn, each.end_pfn, step)
    )


def regions_kept(regions: TriedRegions, count: int) -> tuple[Range, ...]:
    """At most about half of `count` of the ranges, so that there is room to split: every n-th edge is kept. Pure."""
    step = max(1, -(-2 * regions.starts.size // max(1, count)))
    starts, ends = regions.starts, regions.ends
    apart = np.flatnonzero(starts[1:] != ends[:-1]) + 1
    first = np.union1d(np.arange(0, starts.size, step), apart)
    last = np.append(first[1:], starts.size) - 1
    return tuple(
        Range(start, end) for start, end in zip(starts[first].tolist(), ends[last].tolist(), strict=True)
    )


def observation(
    frames: tuple[Frames, ...], regions: TriedRegions, samples: int, cpu_seconds: float
) -> Observation:
    """Regions as extents; what is covered is what the regions are of the frames. Pure."""
    firsts = -(-regions.starts.astype(np.int64) // PAGE_BYTES)
    ends = regions.ends.astype(np.int64) // PAGE_BYTES
    whole = ends > firsts
    firsts, ends = firsts[whole], ends[whole]
    covered = sets.intersection(frames, map(Frames, firsts.tolist(), ends.tolist()))
    # What a region had before it was merged or split may add up to a little more.
    counts = np.minimum(regions.accesses[whole], np.uint64(samples))
    return Observation(
        Scale.SHARE,
        covered,
        firsts.astype(np.uint64),
        (ends - firsts).astype(np.uint64),
        counts,
        samples,
        ACCESSES_PER_BIT,
        cpu_seconds,
    )
