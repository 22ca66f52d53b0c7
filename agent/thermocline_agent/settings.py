"""What one node shall do, resolved: plain values, every percentage and Quantity of the policy already a
number.

The planner reads these and nothing else of a policy. Sizes are in pages of 4 KiB (PAGE_BYTES), times in
seconds, shares of memory between 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from thermocline_agent import activity

PAGE_BYTES = 4096
USUAL_WEIGHT = 100
# The largest folio that is moved: 2 MiB. Gigantic pages stay where they are.
MAX_FOLIO_PAGES = 512


class Placement(Enum):
    """Where a rule wants its pods' pages. PreferSlow pages sink once cold, wanted or not, and never rise."""

    TIER = "Tier"
    PIN_FAST = "PinFast"
    PREFER_SLOW = "PreferSlow"
    IGNORE = "Ignore"


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of pages, or else a share of the owner's resident pages; exactly one of them is given."""

    pages: int | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        if (self.pages is None) == (self.share is None):
            raise ValueError("an amount is a number of pages or a share: give exactly one")
        if self.pages is not None and self.pages < 0:
            raise ValueError(f"an amount of pages is 0 or more, not {self.pages}")
        if self.share is not None and not 0 <= self.share <= 1:
            raise ValueError(f"a share lies between 0 and 1, not at {self.share}")


@dataclass(frozen=True, slots=True)
class FastShare:
    """How much fast memory each pod of a rule may have.

    `minimum`: another's heat never pushes the pod below it. `maximum`: the pod never has more. `weight`: pods of the
    usual weight compete by heat for what the minimums leave. A pod of another weight is set apart: its part of that
    is as its weight to the weights of all, whatever the others' heat, as long as it has use for it.
    """

    minimum: Amount | None = None
    maximum: Amount | None = None
    weight: int = USUAL_WEIGHT

    def __post_init__(self) -> None:
        if self.weight < 1:
            raise ValueError(f"a weight is 1 or more, not {self.weight}")


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done with the pages of the owners that this rule was chosen for.

    `hot_rounds`: in how many rounds, with no more than three between them, a page must have been seen
    accessed before it is promoted; at most MAX_HOT_ROUNDS. `cold_after_seconds`: how long a page must have
    been seen idle before room is made with it although nothing hotter asks for its place.
    """

    name: str
    placement: Placement = Placement.TIER
    cold_after_seconds: float = 60.0
    hot_rounds: int = 2
    fast_share: FastShare | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.hot_rounds <= activity.MAX_HOT_ROUNDS:
            raise ValueError(
                f"hot_rounds lie between 1 and {activity.MAX_HOT_ROUNDS}, not at {self.hot_rounds}"
            )
        if self.cold_after_seconds < 0:
            raise ValueError(f"cold_after_seconds are 0 or more, not {self.cold_after_seconds}")


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Free fast memory, as shares of all fast memory: below the first, pages sink up to the second."""

    demote_below: float = 0.08
    demote_until: float = 0.16

    def __post_init__(self) -> None:
        if not 0 <= self.demote_below <= self.demote_until < 1:
            raise ValueError(f"0 <= demote_below <= demote_until < 1 is needed, not {self}")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may move. The pod's limit holds for every span of 60 seconds, both directions together."""

    promote_bytes_per_second: int = 100 << 20
    demote_bytes_per_second: int = 100 << 20
    pod_bytes_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class PressureLimits:
    """PSI of memory, in basis points, above which nothing moves, until both are at half of it or less."""

    some_avg60: int = 10
    full_avg10: int = 100


class PingPongAction(Enum):
    """What pages that soon move back lead to: no swaps for a while, or no moves at all for a while."""

    BACKOFF = "Backoff"
    STOP = "Stop"


@dataclass(frozen=True, slots=True)
class PingPongLimits:
    """Which percentage of the pages moved within the window may be pages that move back within it."""

    window_seconds: float = 60.0
    max_percent: float = 10.0
    action: PingPongAction = PingPongAction.BACKOFF


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """When movement stops; None switches a guard off."""

    pressure: PressureLimits | None = None
    ping_pong: PingPongLimits | None = PingPongLimits()
    min_usefulness_percent: float | None = 30.0


@dataclass(frozen=True, slots=True)
class Costs:
    """What moves cost and bring, for the rule that a swap must pay within the horizon.

    `move_seconds`: one page's move; 1.24 us were measured on a Zen 3 at 3.3 GB/s, and unmapping costs the
    owner faults on top. `access_seconds`: how much longer an access to slow memory takes; HMAT tells better.
    `hysteresis`: which part of what the hotter page brings an exchange must bring. `sure`: by how
    many standard deviations their heats must differ, while nothing urges.
    """

    move_seconds: float = 5e-6
    access_seconds: float = 150e-9
    horizon_seconds: float = 60.0
    hysteresis: float = 0.3
    sure: float = 4.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that plan_round needs to know of a policy. `rest_seconds`: a page moved stays that long."""

    rules: tuple[Rule, ...]
    interval_seconds: float = 10.0
    rest_seconds: float = 30.0
    watermarks: Watermarks = field(default_factory=Watermarks)
    limits: Limits = field(default_factory=Limits)
    guards: GuardLimits = field(default_factory=GuardLimits)
    costs: Costs = field(default_factory=Costs)

    def __post_init__(self) -> None:
        if self.interval_seconds <= 0:
            raise ValueError(f"the interval must be longer than 0 s, not {self.interval_seconds}")

    def rounds(self, seconds: float) -> int:
        """The smallest number of intervals that last at least as long."""
        return max(0, -int(-seconds // self.interval_seconds))

    @property
    def stretch(self) -> int:
        """See activity.stretch: what the rule that waits longest needs."""
        return activity.stretch(
            self.rounds(max((rule.cold_after_seconds for rule in self.rules), default=0.0))
        )
