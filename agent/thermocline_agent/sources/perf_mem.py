"""PerfMem: physical addresses of sampled loads, on every CPU, by Intel PEBS or AMD IBS."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from thermocline_agent.frames import Frames
from thermocline_agent.sources.counting import by_page, observation
from thermocline_agent.sources.source import Observation
from thermocline_kernel import perf
from thermocline_kernel.errors import Unavailable
from thermocline_kernel.host import Host
from thermocline_kernel.perf import Event, Sampler

# What a sample costs the CPU that it interrupts, which no clock of ours sees: PEBS and IBS take 1 to 2 us.
SAMPLE_SECONDS: Final = 2e-6
_PERIOD_FIRST: Final = 10_007
_PERIOD_LOWEST: Final = 1_009
_PERIOD_HIGHEST: Final = 100_000_007


@dataclass(slots=True)
class PerfMem:
    """The source. `events` tells what this machine can sample; `period` is every how manieth access is taken."""

    host: Host
    cpu_limit_cores: float
    name: str = "PerfMem"
    events: Callable[[Host], tuple[Event, ...]] = perf.memory_events
    period: int = _PERIOD_FIRST
    _frames: tuple[Frames, ...] = ()
    _samplers: list[Sampler] = field(default_factory=list)
    _observed: float = 0.0

    def start(self, frames: Sequence[Frames]) -> None:
        """Begin to sample. Raises Unavailable (no such event), Denied, Failed or Garbled."""
        self.stop()
        self._frames = tuple(frames)
        events = self.events(self.host)
        if not events:
            raise Unavailable("event_source", "this CPU has neither Intel's mem-loads nor AMD's ibs_op")
        try:
            for event in events:
                self._samplers.append(Sampler.open(self.host, event, self.period))
        except BaseException:
            self.stop()
            raise
        self._observed = time.monotonic()

    def observe(self) -> Observation:
        """Samples by page. Raises Garbled, or Failed."""
        began = time.thread_time()
        parts = [sampler.read() for sampler in self._samplers]
        addresses = np.concatenate([part.addresses for part in parts])
        known = addresses[addresses != 0]
        lost = sum(part.lost for part in parts)
        missed = lost + sum(
            int((part.addresses == 0).sum())
            for part, sampler in zip(parts, self._samplers, strict=True)
            if not sampler.event.ibs
        )
        taken, period = addresses.size + lost, self.period
        self._adapt(taken)
        found = by_page(known, np.ones(known.shape, dtype=np.uint64))
        seconds = time.thread_time() - began + taken * SAMPLE_SECONDS
        return observation(self._frames, found, float(period), seconds, missed)

    def _adapt(self, taken: int) -> None:
        now = time.monotonic()
        period = next_period(self.period, taken, now - self._observed, self.cpu_limit_cores)
        self._observed = now
        if period != self.period:
            self.period = period
            for sampler in self._samplers:
                sampler.set_period(period)

    def stop(self) -> None:
        """End sampling."""
        while self._samplers:
            self._samplers.pop().close()


def next_period(period: int, samples: int, elapsed_seconds: float, limit_cores: float) -> int:
    """The period at which samples would cost what the limit allows. Pure.

    It stays while they cost from half of the limit to the limit, and never changes more than fourfold at a time.
    It is odd, so that it does not keep step with loops; events that take no odd one round it down.
    """
    if elapsed_seconds <= 0:
        return period
    used = samples * SAMPLE_SECONDS / elapsed_seconds
    if limit_cores / 2 <= used <= limit_cores:
        return period
    factor = min(4.0, max(0.25, used / (0.75 * limit_cores)))
    return min(_PERIOD_HIGHEST, max(_PERIOD_LOWEST, int(period * factor) | 1))
