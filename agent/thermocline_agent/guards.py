"""What stops movement: memory pressure, pages that move back, promotions that were of no use.

Pure state machines: the state goes in with what was measured, and comes out with a verdict and its reasons.
Each starts again only well below the point where it stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from thermocline_agent.settings import GuardLimits, PingPongAction

# Fewer pages moved, or arrived, are no evidence.
_ENOUGH_PAGES = 256
# Fewer pages moved back are no thrashing, whatever part of the moves they are: 4 MiB a window are a few milliseconds of
# copying, and which page came back is an estimate. On a small machine it is a part of fast memory.
_FEW_PAGES = 1024
_FEW_PART = 64
# How long promotions stop that were of no use, at first.
_USELESS_SECONDS = 60.0
_MOST_TRIPS = 7


class Why(Enum):
    """Why nothing moves, or not everything that should."""

    CLOCK_WENT_BACK = "ClockWentBack"
    NO_SLOW_TIER = "NoSlowTier"
    PRESSURE = "Pressure"
    PRESSURE_UNKNOWN = "PressureUnknown"
    PING_PONG = "PingPong"
    NOT_USEFUL = "NotUseful"
    PROMOTE_BUDGET = "PromoteBudget"
    DEMOTE_BUDGET = "DemoteBudget"
    SLOW_FULL = "SlowFull"
    FLOORS = "Floors"


@dataclass(frozen=True, slots=True)
class Pressure:
    """PSI of memory, in basis points."""

    some_avg60: int
    full_avg10: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What the last window showed: pages moved, and those of them that moved back; pages that arrived in fast
    memory and were watched since, and those of them seen accessed; and which share of them should have been.
    """

    moved: int = 0
    returned: int = 0
    arrived: int = 0
    used: int = 0
    promised: float = 1.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """Open until `until`; each of `trips` that follow each other holds it open twice as long."""

    until: float = -float("inf")
    trips: int = 0

    def after(self, *, bad: bool, good: bool, now: float, hold_seconds: float) -> Breaker:
        """One round on. While it is open nothing counts; once `good` for a hold after that, trips are
        forgotten.
        """
        if now < self.until:
            return self
        if bad:
            trips = min(self.trips + 1, _MOST_TRIPS)
            return Breaker(now + hold_seconds * 2 ** (trips - 1), trips)
        if good and self.trips and now >= self.until + hold_seconds:
            return Breaker(self.until, 0)
        return self

    def open(self, now: float) -> bool:
        """Whether it holds movement back."""
        return now < self.until


@dataclass(frozen=True, slots=True)
class Guards:
    """The state of all guards."""

    pressed: bool = False
    ping_pong: Breaker = Breaker()
    useful: Breaker = Breaker()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be done: anything at all; promotions because of heat; swaps. And why not."""

    move: bool
    promote: bool
    swap: bool
    reasons: tuple[Why, ...]


def few_returned(fast_pages: int) -> int:
    """How many pages may move back within the window, with so much fast memory, before that counts as thrashing."""
    return min(_FEW_PAGES, fast_pages // _FEW_PART)


def judge(
    guards: Guards,
    limits: GuardLimits,
    pressure: Pressure | None,
    measured: Measured,
    now: float,
    *,
    few: int = 0,
) -> tuple[Guards, Verdict]:
    """The guards one round on, and what they allow. `few`: as few_returned has it.

    Pressure that is limited but not known stops everything. Usefulness is judged against what was promised:
    of pages that a sampler catches now and then, it cannot show all in use.
    """
    reasons: list[Why] = []
    pressed = _pressed(guards.pressed, limits, pressure)
    if pressed:
        reasons.append(Why.PRESSURE_UNKNOWN if pressure is None else Why.PRESSURE)
    move, swap, promote = not pressed, True, True

    ping_pong = guards.ping_pong
    if limits.ping_pong is not None:
        percent = 100 * measured.returned / max(measured.moved, _ENOUGH_PAGES)
        bad = percent > limits.ping_pong.max_percent and measured.returned > few
        good = percent <= limits.ping_pong.max_percent / 2 or measured.returned <= few
        ping_pong = ping_pong.after(bad=bad, good=good, now=now, hold_seconds=limits.ping_pong.window_seconds)
        if ping_pong.open(now):
            reasons.append(Why.PING_PONG)
            swap = False
            if limits.ping_pong.action is PingPongAction.STOP:
                move = False

    useful = guards.useful
    if limits.min_usefulness_percent is not None:
        enough = measured.arrived >= _ENOUGH_PAGES
        percent = 100 * measured.used / max(measured.arrived * measured.promised, 1)
        bad = enough and percent < limits.min_usefulness_percent
        useful = useful.after(bad=bad, good=enough and not bad, now=now, hold_seconds=_USELESS_SECONDS)
        if useful.open(now):
            reasons.append(Why.NOT_USEFUL)
            promote = False
    return Guards(pressed, ping_pong, useful), Verdict(move, promote, swap and promote, tuple(reasons))


def _pressed(before: bool, limits: GuardLimits, pressure: Pressure | None) -> bool:
    if limits.pressure is None:
        return False
    if pressure is None:
        return True
    some, full = limits.pressure.some_avg60, limits.pressure.full_avg10
    if before:
        return pressure.some_avg60 * 2 > some or pressure.full_avg10 * 2 > full
    return pressure.some_avg60 > some or pressure.full_avg10 > full
