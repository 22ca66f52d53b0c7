"""Whether a page is worth the place of another: what an exchange brings, against what it costs, and how sure
it is.

It brings the difference of what the two pages will be accessed in the horizon (forecast.py), times what an
access to slow memory takes longer. It must be more than two moves cost, and a good part of what the hotter
page brings: pages that are nearly alike would be sorted for ever.

A forecast is right on average, and wrong for many a page. Where that must not be, heats must also differ by
so many standard deviations. And a page that has just arrived in fast memory does not make way for another unless it
is surely colder than its threshold. The variance of a count is as large as its mean; but its square root has the same
variance everywhere, a quarter, and so has the arc sine of the root of a share of rounds (Bartlett 1936,
Anscombe 1948). Those are compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.extent import F64, I64, Mask
from thermocline_agent.heat import HOTTEST, Heat
from thermocline_agent.memory import KNOWN, LONGEST, SETTLED
from thermocline_agent.settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """`counts`: what a page of each heat will be counted in an interval, shape (256,). `one_move`: the counts
    that pay for one page's move. `hysteresis`: which part of the hotter page's counts the difference must be.
    `scores`: heat in standard deviations of the difference of two, by log2 of the memory's length, shape (5,
    256). `length`: that of each owner, `settled`: whether its pages had the time to be sorted, and `sure`:
    how many standard deviations are asked of them; `new`: whose pages cannot be told apart yet; all of shape (owners,).
    `beyond_doubt`: standard deviations for all of them. `full`: see Observation.
    """

    counts: F64
    one_move: float
    hysteresis: float
    scores: F64
    length: I64
    settled: Mask
    sure: F64
    beyond_doubt: float
    new: Mask
    full: int | None

    @staticmethod
    def of(heat: Heat, settings: Settings, owners: int) -> Worth | None:
        """From what heat has been worth, and the settings; None while nothing is known of that.

        Owners whose hot set has just moved are not asked to be sure: their pages lie wrong, and any forecast
        is better than none.
        """
        counts = heat.forecast.by_heat()
        if counts is None:
            return None
        costs = settings.costs
        saved = heat.accesses_per_count * costs.access_seconds * costs.horizon_seconds
        one_move = costs.move_seconds * settings.interval_seconds / saved
        lengths = 2.0 ** np.arange(LONGEST + 1)
        # So many rounds of equal weight tell as much as a memory does in which older ones weigh less; one
        # that has just begun is no longer than it is.
        rounds = np.array([*lengths[:2], *(2 * lengths[2:] - 1)])[:, None]
        values = np.minimum(np.arange(256), HOTTEST)[None, :] / heat.scale
        if heat.full:
            scores = np.arcsin(np.sqrt(values / heat.full)) * np.sqrt(2 * rounds * heat.full)
        else:
            scores = np.sqrt(2 * rounds * values)
        memory = heat.memory.sized(owners)
        settled = memory.rounds[:owners] >= SETTLED
        sure = np.where(memory.shaken[:owners], 0.0, costs.sure)
        new = (memory.rounds[:owners] < KNOWN) & ~memory.shaken[:owners]
        length = memory.shifts[:owners].astype(np.int64)
        return Worth(
            counts, one_move, costs.hysteresis, scores, length, settled, sure, costs.sure, new, heat.full
        )

    def unsure(self) -> Worth:
        """The same, but of those whose pages had the time to be sorted nobody is asked to be sure."""
        return replace(self, sure=np.where(self.settled, 0.0, self.sure))

    def surely(self, hot: NDArray[Any], cold: NDArray[Any], owner: NDArray[Any]) -> Mask:
        """Whether pages as hot as `hot`, of `owner`, are hotter than those as hot as `cold` beyond doubt. All of one
        shape.
        """
        length = self.length[owner]
        differ: Mask = self.scores[length, hot] - self.scores[length, cold] >= self.beyond_doubt
        return differ

    def used(self, heat: NDArray[Any], rounds: int) -> F64:
        """How probably pages of these heats will be seen accessed in any of so many rounds."""
        counts = self.counts[heat]
        used: F64 = 1 - np.exp(-rounds * counts)
        if self.full is not None:
            used = 1 - (1 - np.minimum(counts / self.full, 1)) ** (rounds * self.full)
        return used

    def alone(self, heat: NDArray[Any]) -> Mask:
        """Whether pages of these heats are worth the move where there is a place for nothing."""
        pays: Mask = (self.counts[heat] >= self.one_move) & (heat > 0)
        return pays

    def pays(self, hot: NDArray[Any], cold: NDArray[Any], owner: NDArray[Any] | int) -> Mask:
        """Whether pages as hot as `hot`, of `owner`, are worth the places of those as hot as `cold`.

        All of one shape.
        """
        gain = self.counts[hot] - self.counts[cold]
        enough: Mask = (gain >= np.maximum(2 * self.one_move, self.hysteresis * self.counts[hot])) & (
            hot > cold
        )
        length = self.length[owner]
        differ: Mask = self.scores[length, hot] - self.scores[length, cold] >= self.sure[owner]
        return enough & differ
