"""The source and the engine in use: the first of the policy's lists that this machine has and that does not fail.

What fails is left alone for a while, twice as long each time it fails again, and the next of the list has its turn.
IdlePage and the engine Damon use the same idle bits: beside IdlePage another engine moves pages, and where there is no
other, another source observes. Beside others' DAMON it does not observe at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from thermocline_agent.engines import damon as damon_engine
from thermocline_agent.engines.engine import Engine
from thermocline_agent.engines.move_pages import MovePages
from thermocline_agent.engines.physical_call import PhysicalCall
from thermocline_agent.frames import Frames
from thermocline_agent.kdamonds import Kdamonds
from thermocline_agent.probe import Capability
from thermocline_agent.sources import damon as damon_source
from thermocline_agent.sources.feed import Feed
from thermocline_agent.sources.idle_page import IdlePage
from thermocline_agent.sources.perf_mem import PerfMem
from thermocline_agent.sources.referenced import Referenced
from thermocline_agent.sources.source import Source
from thermocline_api.settings import Hotness
from thermocline_kernel.arrays import U64
from thermocline_kernel.damon import Admin
from thermocline_kernel.errors import KernelInterfaceError
from thermocline_kernel.host import Host

Kind = Literal["Source", "Engine"]
_FIRST_PAUSE_SECONDS: Final = 30.0
_MOST_DOUBLINGS: Final = 6


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something is left alone until then."""

    until: float
    message: str
    times: int


@dataclass(slots=True)
class Parts:
    """What is in use now. `capabilities` are the last probe's, `wanted` what the policy lists. `halted`: whether an
    engine must leave off.
    """

    host: Host
    feed_path: Path
    capabilities: tuple[Capability, ...] = ()
    source: Source | None = None
    engine: Engine | None = None
    share: Callable[[Frames, U64], None] | None = None
    halted: Callable[[], bool] = lambda: False
    kdamonds: Kdamonds = field(init=False)
    failures: dict[tuple[Kind, str], Failure] = field(default_factory=dict)
    wanted: Mapping[Kind, Sequence[str]] = field(default_factory=dict)
    _feed: Feed | None = None
    _watched: tuple[Sequence[Frames], Hotness] | None = None

    def __post_init__(self) -> None:
        self.kdamonds = Kdamonds(Admin(self.host))

    @property
    def senders(self) -> int:
        """How many tools are connected to the feed socket."""
        return self._feed.senders if self._feed is not None else 0

    @property
    def looks(self) -> int:
        """How often the source looks at memory in this interval: all but the last time when it is told to."""
        return self.source.looks if isinstance(self.source, IdlePage) else 1

    def use_source(self, frames: Sequence[Frames], hotness: Hotness, now: float) -> bool:
        """Have a source observe these frames; whether it has just begun, so that there is nothing to observe yet."""
        self._listen(hotness, frames, now)
        names = [name for name in map(str, hotness.sources) if self.hindrance("Source", name, now) is None]
        # A feed that has got a sender goes before what stood in for it; nothing else is preferred anew.
        feed_waits = names[:1] == ["Feed"] and self.source is not self._feed
        kept = self.source is not None and self.source.name in names and not feed_waits
        if kept and self._watched == (frames, hotness):
            return False
        self.drop_source()
        for name in names:
            made = self._made_source(name, hotness)
            try:
                made.start(frames)
            except KernelInterfaceError as err:
                self._stop(made)
                self.failed("Source", name, str(err), now)
                continue
            self.source, self._watched = made, (frames, hotness)
            return True
        return False

    def use_engine(self, wanted: Sequence[str], fast: frozenset[int], now: float) -> None:
        """Have the first engine that there is."""
        name = next((name for name in wanted if self.hindrance("Engine", name, now) is None), None)
        if self.engine is not None and self.engine.name == name:
            if isinstance(self.engine, damon_engine.Damon):
                self.engine.fast = fast
            return
        self.drop_engine()
        if name is not None:
            self.engine = self._made_engine(name, fast)

    def hindrance(self, kind: Kind, name: str, now: float) -> tuple[str, str] | None:
        """Why a source or an engine cannot be used now, as a reason and a sentence; None when it can."""
        failure = self.failures.get((kind, name))
        if failure is not None and now < failure.until:
            return "Failed", failure.message
        if (kind, name) == ("Source", "Feed"):
            return None if self.senders else ("NoSender", "nothing is connected to the feed socket")
        if (kind, name) == ("Engine", "Damon") and self.source is not None and self.source.name == "IdlePage":
            # mm/damon/ops-common.c marks pages idle for itself, and so would spoil what IdlePage sees.
            return "IdlePageInUse", "DAMON uses the same idle bits as the source IdlePage"
        for each in self.capabilities:
            if (each.kind, each.name) == (kind, name):
                if not each.available:
                    return each.reason, each.message
                return self._spoilt(now) if (kind, name) == ("Source", "IdlePage") else None
        return "Unknown", "this machine has not been probed"

    def _spoilt(self, now: float) -> tuple[str, str] | None:
        """Whether IdlePage leaves the idle bits to DAMON: to others', and to our engine where there is no other one and
        another source.
        """
        if any((each.name, each.reason) == ("Damon", "DamonBusy") for each in self.capabilities):
            return "DamonBusy", "others' DAMON uses the same idle bits: end it, or list Referenced"
        # An engine that fails for a while is no reason to forget what IdlePage has seen.
        engines = [name for name in self.wanted.get("Engine", ()) if self._had("Engine", name)]
        others = [name for name in self.wanted.get("Source", ()) if name != "IdlePage"]
        if engines != ["Damon"] or not any(
            self._had("Source", name) and not self._paused("Source", name, now) for name in others
        ):
            return None
        return "DamonOnly", "the only engine here, Damon, uses the same idle bits"

    def _had(self, kind: Kind, name: str) -> bool:
        return any(each.available for each in self.capabilities if (each.kind, each.name) == (kind, name))

    def _paused(self, kind: Kind, name: str, now: float) -> bool:
        failure = self.failures.get((kind, name))
        return failure is not None and now < failure.until

    def failed(self, kind: Kind, name: str, message: str, now: float) -> None:
        """Leave it alone for a while."""
        before = self.failures.get((kind, name))
        times = min(before.times + 1, _MOST_DOUBLINGS) if before is not None else 0
        self.failures[kind, name] = Failure(now + _FIRST_PAUSE_SECONDS * 2**times, message, times)

    def worked(self, kind: Kind, name: str) -> None:
        """Forget that it has failed."""
        self.failures.pop((kind, name), None)

    def told(self, now: float) -> tuple[Capability, ...]:
        """The capabilities, with what failed since."""
        found = []
        for each in self.capabilities:
            kind: Kind = each.kind
            why = self.hindrance(kind, each.name, now)
            if why is None:
                found.append(replace(each, available=True, reason=""))
            else:
                found.append(replace(each, available=False, reason=why[0], message=why[1]))
        return tuple(found)

    def drop_source(self) -> None:
        """Stop observing."""
        if self.source is not None and self.source is not self._feed:
            self._stop(self.source)
        self.source = self._watched = None

    def drop_engine(self) -> None:
        """Have no engine."""
        if self.engine is not None:
            self._stop(self.engine)
        self.engine = None

    def close(self) -> None:
        """Leave nothing running in the kernel."""
        self.drop_engine()
        self.drop_source()
        if self._feed is not None:
            self._stop(self._feed)
            self._feed = None

    def _listen(self, hotness: Hotness, frames: Sequence[Frames], now: float) -> None:
        """Have the feed socket open as long as the policy names it: who has nothing to connect to cannot connect."""
        if "Feed" not in map(str, hotness.sources):
            if self._feed is not None:
                if self.source is self._feed:
                    self.source = None
                self._stop(self._feed)
                self._feed = None
            return
        failure = self.failures.get(("Source", "Feed"))
        if self._feed is None and (failure is None or now >= failure.until):
            feed = Feed(self.host, self.feed_path)
            try:
                feed.start(frames)
            except KernelInterfaceError as err:
                self.failed("Source", "Feed", str(err), now)
            else:
                self._feed = feed

    def _made_source(self, name: str, hotness: Hotness) -> Source:
        seconds, cores = hotness.interval_seconds, hotness.cpu_limit_cores
        match name:
            case "Feed" if self._feed is not None:
                return self._feed
            case "PerfMem":
                return PerfMem(self.host, cores)
            case "Damon":
                return damon_source.Damon(self.host, self.kdamonds, seconds, cores)
            case "IdlePage":
                return IdlePage(self.host, seconds, cores, share=self.share)
            case "Referenced":
                return Referenced(self.host, seconds, cores)
        raise ValueError(f"no source is called {name}")

    def _made_engine(self, name: str, fast: frozenset[int]) -> Engine:
        match name:
            case "PhysicalCall":
                return PhysicalCall(self.host)
            case "Damon":
                return damon_engine.Damon(self.host, self.kdamonds, fast, self.halted)
            case "MovePages":
                return MovePages(self.host, self.halted)
        raise ValueError(f"no engine is called {name}")

    def _stop(self, part: Source | Engine) -> None:
        try:
            part.stop()
        except KernelInterfaceError as err:
            kind: Kind = "Engine" if part is self.engine else "Source"
            self.failures[kind, part.name] = Failure(float("-inf"), str(err), 0)
