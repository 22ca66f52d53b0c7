"""Who gets how much fast memory: minimums first, weights divide the rest, nobody beyond demand or maximum.

A *party* is what fast memory is divided among: every owner that has a share of its own, and one party of all
owners that have none. Three parties are always there: those without a share, PinFast's and PreferSlow's
owners.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.extent import F64, I64, Layout, Mask, Tier
from thermocline_agent.ownership import Ownership
from thermocline_agent.settings import USUAL_WEIGHT, Amount, Placement, Rule

POOL, PINNED, SINKING = 0, 1, 2
_FIRST_SHARE = 3
_MUCH_COLDER = 4
NOBODY = -1


@dataclass(frozen=True, slots=True, eq=False)
class Parties:
    """`of_owner`: each owner's party, NOBODY for those whose pages never move. `owner_of`: the owner of each
    party with a share, 0 for the first three. `minimum` and `maximum` in pages, `weight` 0 for those that
    compete by heat alone; all three of shape (parties,).
    """

    of_owner: I64
    owner_of: I64
    minimum: F64
    maximum: F64
    weight: F64

    def fitting(self, capacity: float) -> Parties:
        """The same, with minimums that fit into so many pages: where they are too many together, all shrink alike."""
        together = float(self.minimum.sum())
        if together <= max(capacity, 0.0):
            return self
        return replace(self, minimum=np.floor(self.minimum * (max(capacity, 0.0) / together)))

    @property
    def sharing(self) -> slice:
        """The parties that have a share of their own."""
        return slice(_FIRST_SHARE, len(self.minimum))

    def with_amounts(
        self, rules: tuple[Rule, ...], rule_of: NDArray[np.int16], resident: NDArray[Any]
    ) -> Parties:
        """The same, with minimums and maximums for parties that have so many pages, shape (parties,)."""
        minimum, maximum = np.zeros(len(self.minimum)), np.full(len(self.minimum), np.inf)
        for number, rule in enumerate(rules):
            if rule.fast_share is not None:
                whose = _FIRST_SHARE + np.flatnonzero(rule_of[self.owner_of[self.sharing]] == number)
                minimum[whose] = _pages(rule.fast_share.minimum, resident[whose], 0.0)
                maximum[whose] = _pages(rule.fast_share.maximum, resident[whose], np.inf)
        # A minimum above the maximum is the policy's mistake; the maximum is the safer reading.
        return replace(self, minimum=np.minimum(minimum, maximum), maximum=maximum)


def parties(rules: tuple[Rule, ...], rule_of: NDArray[np.int16]) -> Parties:
    """Parties of owners, whose rules are `rule_of`, -1 for none. Owner 0 is nobody. No amounts yet."""
    kinds = np.array([*map(_kind, rules), NOBODY], dtype=np.int64)
    of_owner = kinds[rule_of]
    of_owner[:1] = NOBODY
    sharing = np.flatnonzero(of_owner == _FIRST_SHARE)
    of_owner[sharing] = _FIRST_SHARE + np.arange(len(sharing))
    apart = [rule.fast_share.weight if rule.fast_share else USUAL_WEIGHT for rule in rules]
    weights = np.array([0 if weight == USUAL_WEIGHT else weight for weight in apart] or [0])
    first = np.zeros(_FIRST_SHARE)
    return Parties(
        of_owner,
        np.concatenate((first.astype(np.int64), sharing)),
        np.zeros(_FIRST_SHARE + len(sharing)),
        np.full(_FIRST_SHARE + len(sharing), np.inf),
        np.concatenate((first, weights[rule_of[sharing]].astype(np.float64))),
    )


def _kind(rule: Rule) -> int:
    match rule.placement:
        case Placement.TIER:
            return POOL if rule.fast_share is None else _FIRST_SHARE
        case Placement.PIN_FAST:
            return PINNED
        case Placement.PREFER_SLOW:
            return SINKING
        case Placement.IGNORE:
            return NOBODY


def _pages(amount: Amount | None, resident: NDArray[Any], default: float) -> NDArray[Any]:
    if amount is None:
        return np.full(len(resident), default)
    most = resident if amount.share is None else np.floor(amount.share * resident)
    pages: NDArray[Any] = np.minimum(most, np.inf if amount.pages is None else amount.pages)
    return pages


def residency(layout: Layout, owner: Ownership, owners: int) -> I64:
    """How many pages each owner has in each tier, shape (2, owners)."""
    found = np.zeros((2, owners), dtype=np.int64)
    for block in layout.blocks():
        found[block.tier] += owner.counts(block.start, block.stop, owners)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Thresholds:
    """By party, shape (parties,): from which heat on pages of slow memory belong in fast, `rise`, and up to which heat
    those of fast memory need not be there, `sink`. `pool`: that of owners that compete by heat alone. `kept`: those
    whose heat alone would give them less than their minimum; so they may have that, and not more.
    """

    rise: NDArray[np.int16]
    sink: NDArray[np.int16]
    pool: int
    kept: Mask


def divide(capacity: float, minimum: F64, demand: F64, weight: F64) -> F64:
    """Fast memory for each party: its minimum, and of the rest in proportion to weights, at most its demand.

    Minimums that are too many together shrink alike. All of shape (parties,), demand at least the minimum.
    """
    floors = float(minimum.sum())
    if floors >= capacity:
        shrunk: F64 = minimum * (max(capacity, 0.0) / floors if floors else 0.0)
        return shrunk
    rest = capacity - floors
    room = demand - minimum
    # Parties reach their demand in this order while all get the same amount for each unit of weight.
    full_at = np.divide(room, weight, out=np.where(room > 0, np.inf, 0.0), where=weight > 0)
    given = np.zeros_like(minimum)
    open_weight = float(weight.sum())
    for party in np.argsort(full_at, kind="stable").tolist():
        if weight[party] <= 0 or open_weight <= 0:
            continue
        given[party] = min(room[party], rest * weight[party] / open_weight)
        rest -= given[party]
        open_weight -= float(weight[party])
    return minimum + given


def surely_more(pages: F64, most: F64, step: int) -> Mask:
    """Which counts are above their bounds by more than chance explains: of a sample, each page of which stands for
    `step`.
    """
    chance = 3 * np.sqrt(step * pages) if step > 1 else np.zeros(len(pages))
    found: Mask = pages - chance > most
    return found


def thresholds(
    histogram: NDArray[Any], sharing: Parties, capacity: float, pool_owners: int, step: int = 1
) -> Thresholds:
    """The heat from which each party's pages belong in fast memory.

    `histogram`: pages by party, tier and heat, shape (parties, 2, 256). `capacity`: how many pages of all
    parties but PINNED fit, minimums at least. `step`: how many pages each one counted stands for. A threshold is
    the heat of the last page that fits: pages of just that heat are on both sides.
    """
    # counts[p, t]: pages of party p with heat t or more.
    counts = histogram.sum(axis=1)[:, ::-1].cumsum(axis=1)[:, ::-1]
    takers = np.array([POOL, *range(_FIRST_SHARE, len(counts))])
    maximum = sharing.maximum
    # A minimum is not filled with pages that nobody uses; those of them that are in fast memory stay, though.
    there = np.minimum(sharing.minimum, histogram[:, Tier.FAST].sum(axis=1))
    minimum = np.maximum(np.minimum(sharing.minimum, counts[:, 1]), there)
    weighted = takers[sharing.weight[takers] > 0]
    by_heat = takers[sharing.weight[takers] <= 0]
    given = float(capacity)
    target = np.zeros(len(counts))
    if len(weighted):
        # Pages are asked for that are not much colder than those that would fit if heat alone decided.
        wanted = max(1, int(_last(counts[takers].sum(axis=0), capacity)) // _MUCH_COLDER)
        demand = np.maximum(np.minimum(counts[:, wanted], maximum), minimum)
        groups = np.concatenate(([demand[by_heat].sum()], demand[weighted]))
        floors = np.concatenate(([minimum[by_heat].sum()], minimum[weighted]))
        weights = np.concatenate(([pool_owners * float(USUAL_WEIGHT)], sharing.weight[weighted]))
        shares = divide(capacity, floors, groups, weights)
        given = float(shares[0])
        target[weighted] = shares[1:]
    clipped = np.maximum(np.minimum(counts[by_heat], maximum[by_heat, None]), minimum[by_heat, None])
    level = int(_last(clipped.sum(axis=0), given))
    target[by_heat] = np.clip(counts[by_heat, level], minimum[by_heat], maximum[by_heat])
    levels = _last(counts, target[:, None]).astype(np.int16)
    # Of those whose target is what they have at the pool's threshold, that is the threshold.
    same = by_heat[target[by_heat] == counts[by_heat, level]]
    levels[same] = level
    levels[[PINNED, SINKING]] = 0
    # What an owner has beyond its minimum it has by heat, and holds against others only by heat. One that has no
    # more than that exchanges pages only with itself.
    kept = np.zeros(len(counts), dtype=np.bool_)
    kept[by_heat] = levels[by_heat] < level
    surplus = kept & surely_more(histogram[:, Tier.FAST].sum(axis=1), sharing.minimum, step)
    return Thresholds(levels, np.where(surplus, level, levels).astype(np.int16), level, kept)


def _last(counts: NDArray[Any], pages: Any) -> NDArray[np.int64]:
    """The highest heat that at least so many pages have; 0 when there are not so many. Counts fall along the
    axis.
    """
    found: NDArray[np.int64] = np.maximum(np.count_nonzero(counts >= pages, axis=-1) - 1, 0)
    return found
