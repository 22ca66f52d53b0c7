"""What a policy says about a node, and so what its agent is given."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from thermocline_api import quantity, ratio
from thermocline_api.codec import AS_IT_IS, Codec, enumerated, listed, nested, record, wire
from thermocline_api.rule import SECONDS, Rule

_BYTES: Final = Codec(quantity.parse_bytes, quantity.format_bytes)
_CORES: Final = Codec(lambda value: float(quantity.parse(value)), quantity.format_cores)
_PERCENT: Final = Codec(ratio.parse_percent, ratio.format_percent)
_BASIS_POINTS: Final = Codec(ratio.parse_basis_points, ratio.format_basis_points)
_MIB: Final = 1024 * 1024


class Mode(StrEnum):
    """What agents do."""

    OBSERVE = "Observe"
    DRY_RUN = "DryRun"
    ENFORCE = "Enforce"


class TierSource(StrEnum):
    """Where it is known from which NUMA nodes are slow."""

    AUTO = "Auto"
    KERNEL = "Kernel"
    MANUAL = "Manual"


class Source(StrEnum):
    """A source of heat."""

    FEED = "Feed"
    PERF_MEM = "PerfMem"
    DAMON = "Damon"
    IDLE_PAGE = "IdlePage"
    REFERENCED = "Referenced"


class Engine(StrEnum):
    """What moves pages."""

    PHYSICAL_CALL = "PhysicalCall"
    DAMON = "Damon"
    MOVE_PAGES = "MovePages"


class PingPongAction(StrEnum):
    """What a tripped ping-pong guard does."""

    BACKOFF = "Backoff"
    STOP = "Stop"


class KernelTiering(StrEnum):
    """What to do while the kernel moves pages between tiers itself."""

    DEFER = "Defer"
    COEXIST = "Coexist"
    REFUSE = "Refuse"


class OnDelete(StrEnum):
    """What agents do when the policy no longer governs their node."""

    LEAVE_IN_PLACE = "LeaveInPlace"
    PROMOTE_BACK = "PromoteBack"


@record
class Tiers:
    """Which NUMA nodes are fast and slow; the lists are for TierSource.MANUAL."""

    source: TierSource = wire("source", enumerated(TierSource), default=TierSource.AUTO)
    fast: tuple[int, ...] | None = wire("fast", listed(AS_IT_IS), default=None)
    slow: tuple[int, ...] | None = wire("slow", listed(AS_IT_IS), default=None)


@record
class Hotness:
    """How heat is found: by the first of the sources that a node has, every interval, with so much CPU."""

    sources: tuple[Source, ...] = wire("sources", listed(enumerated(Source)), default=tuple(Source))
    interval_seconds: float = wire("interval", SECONDS, default=10.0)
    cpu_limit_cores: float = wire("cpuLimit", _CORES, default=0.1)


@record
class Migration:
    """How pages are moved. Bandwidths are of a node, 0 for none; per_pod_per_minute None for no limit."""

    engines: tuple[Engine, ...] = wire("engines", listed(enumerated(Engine)), default=tuple(Engine))
    promote_bytes_per_second: int = wire("promoteBandwidth", _BYTES, default=100 * _MIB)
    demote_bytes_per_second: int = wire("demoteBandwidth", _BYTES, default=100 * _MIB)
    per_pod_bytes_per_minute: int | None = wire("perPodPerMinute", _BYTES, default=None)


@record
class Watermarks:
    """Free fast memory, in percent: below the one, demotion for room begins; at the other it ends."""

    demote_below_percent: int = wire("demoteBelow", _PERCENT, default=8)
    demote_until_percent: int = wire("demoteUntil", _PERCENT, default=16)


@record
class MemoryPressure:
    """Pressure at which nothing is moved, in basis points of time; half of it lets movement resume."""

    some_avg60_basis_points: int = wire("someAvg60", _BASIS_POINTS, default=10)
    full_avg10_basis_points: int = wire("fullAvg10", _BASIS_POINTS, default=100)


@record
class PingPong:
    """How many moved pages may move back within the window, and what happens when more do."""

    window_seconds: float = wire("window", SECONDS, default=60.0)
    max_percent: int = wire("maxPercent", default=10)
    action: PingPongAction = wire("action", enumerated(PingPongAction), default=PingPongAction.BACKOFF)


@record
class Guards:
    """What stops movement."""

    memory_pressure: MemoryPressure = wire("memoryPressure", nested(MemoryPressure), default=MemoryPressure())
    ping_pong: PingPong = wire("pingPong", nested(PingPong), default=PingPong())
    min_usefulness_percent: int = wire("minUsefulnessPercent", default=30)
    kernel_tiering: KernelTiering = wire(
        "kernelTiering", enumerated(KernelTiering), default=KernelTiering.DEFER
    )


@record
class Settings:
    """All that an agent needs to know; `paused` stands beside it, for it is no part of a revision."""

    mode: Mode = wire("mode", enumerated(Mode), default=Mode.OBSERVE)
    tiers: Tiers = wire("tiers", nested(Tiers), default=Tiers())
    hotness: Hotness = wire("hotness", nested(Hotness), default=Hotness())
    migration: Migration = wire("migration", nested(Migration), default=Migration())
    watermarks: Watermarks = wire("watermarks", nested(Watermarks), default=Watermarks())
    guards: Guards = wire("guards", nested(Guards), default=Guards())
    rules: tuple[Rule, ...] = wire("rules", listed(nested(Rule)), default=())
    on_delete: OnDelete = wire("onDelete", enumerated(OnDelete), default=OnDelete.LEAVE_IN_PLACE)
