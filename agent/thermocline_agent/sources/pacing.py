"""How much a source may look at in an interval, so that it keeps within its share of a CPU. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# How far one measurement moves the estimate of the cost of a unit.
_WEIGHT: Final = 0.3
# Only so much of the limit is planned with: what is measured varies.
_HEADROOM: Final = 0.9


@dataclass(frozen=True, slots=True)
class Pace:
    """What a unit (a page, a region, a sample) costs, in seconds of CPU."""

    unit_seconds: float

    def after(self, units: float, cpu_seconds: float) -> Pace:
        """The pace once `units` have cost so much. Nothing is learnt from nothing, or from a clock that went back."""
        if units <= 0 or cpu_seconds < 0:
            return self
        measured = cpu_seconds / units
        return Pace(self.unit_seconds + _WEIGHT * (measured - self.unit_seconds))

    def affordable(self, limit_cores: float, interval_seconds: float) -> int:
        """How many units fit into the limit in an interval; at least one, or nothing would ever be learnt."""
        if self.unit_seconds <= 0:
            raise ValueError("a unit that costs nothing has no pace")
        return max(1, int(_HEADROOM * limit_cores * interval_seconds / self.unit_seconds))


def resized(current: int, used_cores: float, limit_cores: float, lowest: int, highest: int) -> int:
    """The number of a kernel's units, such as DAMON's regions, that would use what the limit allows.

    It stays as it is while use is from half of the limit to the limit, for each change costs what was learnt.
    """
    if used_cores <= 0:
        return min(highest, max(lowest, current))
    if limit_cores / 2 <= used_cores <= limit_cores and lowest <= current <= highest:
        return current
    fitting = int(current * _HEADROOM * limit_cores / used_cores)
    # No more than double at a time: what was measured with few need not hold for many.
    return min(highest, max(lowest, min(fitting, 2 * current)))
