"""The rules of a policy: which pods and host services, and what happens to their pages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from thermocline_api import duration, quantity, ratio
from thermocline_api.codec import AS_IT_IS, Codec, enumerated, listed, nested, record, wire
from thermocline_api.selector import LabelSelector

SECONDS: Final = Codec(duration.parse_seconds, duration.format_seconds)
DEFAULT_COLD_AFTER_SECONDS: Final = 60.0
DEFAULT_HOT_ROUNDS: Final = 2


class Placement(StrEnum):
    """What happens to the pages that a rule governs."""

    TIER = "Tier"
    PIN_FAST = "PinFast"
    PREFER_SLOW = "PreferSlow"
    IGNORE = "Ignore"


class QosClass(StrEnum):
    """A pod's quality-of-service class."""

    GUARANTEED = "Guaranteed"
    BURSTABLE = "Burstable"
    BEST_EFFORT = "BestEffort"


@dataclass(frozen=True, slots=True)
class Share:
    """An amount of memory: bytes, or a percentage of what is resident. Exactly one of the two is given."""

    size_bytes: int | None = None
    percent: int | None = None

    def of(self, resident_bytes: int) -> int:
        """The bytes that it is of a pod or service with so much resident memory, rounded down."""
        if self.percent is None:
            return self.size_bytes or 0
        return resident_bytes * self.percent // 100


def read_share(value: int | str) -> Share:
    """A share as the API writes it. Raises ValueError."""
    if isinstance(value, str) and value.endswith("%"):
        return Share(percent=ratio.parse_percent(value))
    return Share(size_bytes=quantity.parse_bytes(value))


def write_share(share: Share) -> str:
    """A share as the API reads it."""
    if share.percent is not None:
        return ratio.format_percent(share.percent)
    return quantity.format_bytes(share.size_bytes or 0)


_SHARE: Final = Codec(read_share, write_share)


@record
class FastShare:
    """How much of its memory each pod or service has in fast memory: floor, ceiling, and weight between."""

    min: Share | None = wire("min", _SHARE, default=None)
    max: Share | None = wire("max", _SHARE, default=None)
    weight: int = wire("weight", default=100)


@record
class Rule:
    """One rule. A selector that is None is not given; cgroups and the selectors of pods exclude each other.

    cold_after_seconds and hot_rounds are None but for placement Tier; `of_tier` has them with their defaults.
    """

    name: str = wire("name")
    namespace_selector: LabelSelector | None = wire("namespaceSelector", nested(LabelSelector), default=None)
    pod_selector: LabelSelector | None = wire("podSelector", nested(LabelSelector), default=None)
    qos_classes: tuple[QosClass, ...] | None = wire("qosClasses", listed(enumerated(QosClass)), default=None)
    cgroups: tuple[str, ...] | None = wire("cgroups", listed(AS_IT_IS), default=None)
    placement: Placement = wire("placement", enumerated(Placement), default=Placement.TIER)
    cold_after_seconds: float | None = wire("coldAfter", SECONDS, default=None)
    hot_rounds: int | None = wire("hotRounds", default=None)
    fast_share: FastShare | None = wire("fastShare", nested(FastShare), default=None)

    @property
    def of_tier(self) -> tuple[float, int]:
        """When a page counts as cold, in seconds, and after how many rounds as hot."""
        cold = DEFAULT_COLD_AFTER_SECONDS if self.cold_after_seconds is None else self.cold_after_seconds
        return cold, DEFAULT_HOT_ROUNDS if self.hot_rounds is None else self.hot_rounds
