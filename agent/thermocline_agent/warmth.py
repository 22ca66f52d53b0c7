"""Steps of heat as three words, and pages by them: how heat is told everywhere. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from thermocline_agent.report import HEAT_STEPS, OwnerReport

# Hot is what is seen accessed in more than half of what heat reaches back to; cold, what never is.
_HOT_FROM: Final = HEAT_STEPS // 2


@dataclass(frozen=True, slots=True)
class Warmth:
    """Pages of one tier."""

    hot: int = 0
    warm: int = 0
    cold: int = 0

    @property
    def pages(self) -> int:
        """All of them."""
        return self.hot + self.warm + self.cold

    @property
    def used(self) -> int:
        """Those that are seen accessed at all: from a sampler even the hottest page may be warm."""
        return self.hot + self.warm

    def __add__(self, other: Warmth) -> Warmth:
        return Warmth(self.hot + other.hot, self.warm + other.warm, self.cold + other.cold)


def warmth(steps: Sequence[int]) -> Warmth:
    """Of pages by step of heat."""
    return Warmth(sum(steps[_HOT_FROM:]), sum(steps[1:_HOT_FROM]), sum(steps[:1]))


def by_tier(owners: Iterable[OwnerReport]) -> tuple[Warmth, Warmth]:
    """Of all owners' pages in fast and in slow memory."""
    fast, slow = Warmth(), Warmth()
    for each in owners:
        fast += warmth(each.fast_pages)
        slow += warmth(each.slow_pages)
    return fast, slow
