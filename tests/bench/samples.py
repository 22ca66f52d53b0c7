"""What a measuring program prints, and what is concluded from it. Pure.

    ARM CASE ROUND VALUE

Rounds before 0 are warm-up. Within a round the arms were interleaved, so that what drifts meets all alike: ratios are
taken within a round, their median over a boot's rounds is that boot's, and the median over boots the figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

_LINE = re.compile(r"(\S+) (\S+) (-?[0-9]+) ([0-9]+)")


class NoSamples(Exception):
    """A program printed something that is no sample, or not what it was asked for."""


@dataclass(frozen=True, slots=True)
class Boot:
    """The samples of one boot: by arm and case, the sum of each round's values, in the order of rounds."""

    rounds: Mapping[tuple[str, str], Sequence[float]]

    def values(self, arm: str, case: str) -> Sequence[float]:
        """One value a round. Raises NoSamples."""
        try:
            return self.rounds[arm, case]
        except KeyError:
            raise NoSamples(f"there is no sample of {arm} in case {case}") from None

    def middle(self, arm: str, case: str) -> float:
        """The median over rounds. Raises NoSamples."""
        return median(self.values(arm, case))

    def ratio(self, over: str, under: str, case: str) -> float:
        """The median over rounds of the ratio of two arms. Raises NoSamples."""
        pairs = zip(self.values(over, case), self.values(under, case), strict=True)
        return median(a / b for a, b in pairs)


@dataclass(frozen=True, slots=True)
class Ratio:
    """The ratio of two arms over boots: the median, the least and the greatest."""

    value: float
    least: float
    most: float


def parse(text: str) -> Boot:
    """The samples in a program's output. Raises NoSamples at a line that is none, and when there is no line."""
    sums: dict[tuple[str, str], dict[int, float]] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            raise NoSamples(f"a sample expected, found {line!r}")
        number = int(match[3])
        if number >= 0:
            by_round = sums.setdefault((match[1], match[2]), {})
            by_round[number] = by_round.get(number, 0.0) + int(match[4])
    if not sums:
        raise NoSamples("a program printed no sample")
    return Boot({key: [value for _, value in sorted(found.items())] for key, found in sums.items()})


def over_boots(values: Iterable[float]) -> Ratio:
    """What boots say together."""
    found = sorted(values)
    return Ratio(median(found), found[0], found[-1])


def ratio(boots: Sequence[Boot], over: str, under: str, case: str) -> Ratio:
    """The ratio of two arms, over boots."""
    return over_boots(boot.ratio(over, under, case) for boot in boots)


def control(boots: Sequence[Boot], again: str, first: str, case: str) -> float:
    """The ratio of two arms that are the same, of the boot in which it is farthest from 1."""
    return max((boot.ratio(again, first, case) for boot in boots), key=lambda value: abs(value - 1))


def middle(boots: Sequence[Boot], arm: str, case: str) -> float:
    """An arm's median, over boots."""
    return median(boot.middle(arm, case) for boot in boots)
