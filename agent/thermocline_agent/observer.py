"""Observing: a source's interval and the census of owners, brought into heat.

With IdlePage the census reads what the source reads anyway. Beside other sources it goes round the memory by itself, as
fast as half of cpuLimit allows; of the rest it says what it said before, and a move asks anew in any case.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final

from thermocline_agent import frames as sets
from thermocline_agent import observation
from thermocline_agent.extent import U8
from thermocline_agent.frames import Frames
from thermocline_agent.heat import Pace
from thermocline_agent.parts import Parts
from thermocline_agent.sighting import by_index
from thermocline_agent.sources import pacing
from thermocline_agent.sources.idle_page import IdlePage
from thermocline_agent.sources.source import Observation, Source
from thermocline_agent.tracking import Tracking
from thermocline_api.settings import Hotness
from thermocline_kernel.arrays import U64
from thermocline_kernel.errors import KernelInterfaceError
from thermocline_kernel.host import Host

_FIRST_PACE: Final = pacing.Pace(2e-7)
_CENSUS_PART: Final = 0.5


@dataclass(frozen=True, slots=True)
class Observed:
    """What one round has seen. `gone` are numbers of owners that are no more. `seen` None: nothing, this time."""

    gone: frozenset[int] = frozenset()
    seen: Observation | None = None
    cpu_seconds: float = 0.0


@dataclass(slots=True)
class Observer:
    """Keeps what belongs together: what is tracked, and which source fills it.

    `interruptible`: as Clock has it. A source is not interrupted while it starts, as DAMON's could then be left on.
    """

    host: Host
    parts: Parts
    interruptible: Callable[[], AbstractContextManager[None]] = nullcontext
    tracking: Tracking | None = None
    problems: list[str] = field(default_factory=list)
    _pace: pacing.Pace = _FIRST_PACE
    _next_pfn: int = 0
    _unit: int = 1
    _source_name: str | None = None
    _shared: bool = False

    def __post_init__(self) -> None:
        self.parts.share = self._share

    def observe(self, tracking: Tracking, hotness: Hotness, now: float) -> Observed:
        """End an interval, and begin the next. The result of it is in `tracking` once `learn` is called."""
        self.tracking = tracking
        try:
            gone = tracking.census.renew(self.host)
        except KernelInterfaceError as err:
            self.problems.append(f"owners are not known: {err}")
            return Observed()
        if self.parts.use_source(tracking.frames, hotness, now):
            self._begun(tracking)
            return Observed(gone)
        source = self.parts.source
        if source is None:
            return Observed(gone)
        self._shared = False
        try:
            with self.interruptible():
                seen = source.observe()
        except KernelInterfaceError as err:
            self._lost(source, err, now)
            return Observed(gone)
        self.parts.worked("Source", source.name)
        seconds = 0.0 if self._shared else self._go_round(tracking, hotness)
        return Observed(gone, seen, seen.cpu_seconds + seconds)

    def look(self, now: float) -> None:
        """One of the source's looks before the interval's last."""
        source = self.parts.source
        if not isinstance(source, IdlePage):
            return
        try:
            with self.interruptible():
                source.look()
        except KernelInterfaceError as err:
            self._lost(source, err, now)

    def learn(
        self, tracking: Tracking, seen: Observation, levels: U8, pace: Pace, now: float
    ) -> observation.Observation | None:
        """Bring an observation into heat; that by index, or None when it came out of turn."""
        heat, census = tracking.heat, tracking.census
        found, self._unit = by_index(seen, tracking.layout, census.tails, heat.number + 1, self._unit)
        return found if heat.observe(found, census.owner, now, levels=levels, pace=pace) else None

    def _lost(self, source: Source, err: KernelInterfaceError, now: float) -> None:
        self.problems.append(f"{source.name}: {err}")
        self.parts.failed("Source", source.name, str(err), now)
        self.parts.drop_source()

    def _begun(self, tracking: Tracking) -> None:
        """Another source's counts are of another kind: what was learnt of heat means nothing to it."""
        name = self.parts.source.name if self.parts.source is not None else None
        if name != self._source_name and self._source_name is not None:
            tracking.heat.begin()
        self._source_name, self._unit = name, 1

    def _share(self, chunk: Frames, flags: U64) -> None:
        """IdlePage has read these flags."""
        if self.tracking is not None:
            self.tracking.census.look(self.host, chunk, flags)
            self._shared = True

    def _go_round(self, tracking: Tracking, hotness: Hotness) -> float:
        began = time.thread_time()
        pages = self._pace.affordable(_CENSUS_PART * hotness.cpu_limit_cores, hotness.interval_seconds)
        window, self._next_pfn = sets.window(tracking.frames, self._next_pfn, pages)
        try:
            with self.interruptible():
                for chunk in sets.chunks(window):
                    tracking.census.look(self.host, chunk)
        except KernelInterfaceError as err:
            self.problems.append(f"owners are not known: {err}")
        seconds = time.thread_time() - began
        self._pace = self._pace.after(sets.total_pages(window), seconds)
        return seconds
