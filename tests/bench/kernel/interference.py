"""What a neighbour notices of moves on another CPU, by our call and by move_pages(2), as many pages a second each.

And how long a call takes with another CPU awake: move_pages(2) waits for all of them. It is measured in real time, so
whatever else the machine does disturbs it: run it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from types import MappingProxyType
from typing import Final

from tests.bench import nodes, samples
from tests.bench.nodes import Effort
from tests.bench.rows import Row, controlled
from tests.bench.samples import Boot

WINDOW_MS: Final = 400
# Pages a call, and pages a second: as many as move_pages(2) can move by calls of this size, with room to spare.
RATES: Final = MappingProxyType({16: 512, 512: 8192})


def measure(effort: Effort) -> Sequence[Row]:
    """A node of two CPUs for each size of call."""
    found: list[Row] = []
    for entries, pages_per_second in RATES.items():
        arguments = (effort.timed_rounds, WINDOW_MS, pages_per_second, entries)
        ran = nodes.run("neighbour", *arguments, options=nodes.TIMED)
        found += rows(samples.parse(ran), entries)
    return found


def rows(boot: Boot, entries: int) -> list[Row]:
    """The neighbour's turns a second: ours against none, move_pages(2)'s against none, the two; and a call's time."""
    found = [
        _turns(boot, f"interference_{entries}", "move_phy_pages", "idle"),
        _turns(boot, f"interference_move_pages_{entries}", "move_pages", "idle"),
        _turns(boot, f"interference_against_move_pages_{entries}", "move_phy_pages", "move_pages"),
        _call_time(boot, f"call_time_{entries}", entries),
    ]
    return [controlled(row, _control(boot)) for row in found]


def _control(boot: Boot) -> float:
    """The two idle arms against each other: of the middle half of the rounds, the one farthest from 1.

    Their median alone would be 1 on the noisiest machine.
    """
    pairs = zip(boot.values("idle_again", "turns"), boot.values("idle", "turns"), strict=True)
    return max(_middle_half([a / b for a, b in pairs]), key=lambda ratio: abs(ratio - 1))


def _middle_half(ratios: Sequence[float]) -> tuple[float, float]:
    ranked = sorted(ratios)
    quarter = len(ranked) // 4
    return ranked[quarter], ranked[-1 - quarter]


def _turns(boot: Boot, metric: str, over: str, under: str) -> Row:
    # A round has two windows of each arm.
    seconds = 2 * WINDOW_MS / 1000
    arms = {arm: round(boot.middle(arm, "turns") / 2000, 1) for arm in (over, under)}
    arms |= {f"{arm}: pages/s": round(boot.middle(arm, "moved") / seconds) for arm in (over, under)}
    pairs = zip(boot.values(over, "turns"), boot.values(under, "turns"), strict=True)
    return _of_rounds(metric, [a / b for a, b in pairs], arms, limit=1.0)


def _call_time(boot: Boot, metric: str, entries: int) -> Row:
    times = {
        arm: [
            busy / (moved / entries)
            for busy, moved in zip(boot.values(arm, "busy"), boot.values(arm, "moved"), strict=True)
        ]
        for arm in ("move_phy_pages", "move_pages")
    }
    pairs = zip(times["move_phy_pages"], times["move_pages"], strict=True)
    arms = {f"{arm}: us": round(median(each), 1) for arm, each in times.items()}
    return _of_rounds(metric, [a / b for a, b in pairs], arms)


def _of_rounds(
    metric: str, ratios: Sequence[float], arms: dict[str, float], limit: float | None = None
) -> Row:
    """The median over rounds, and the middle half of them: single rounds are other processes' noise."""
    least, most = _middle_half(ratios)
    return Row(
        metric, round(median(ratios), 4), "ratio", limit, None, (round(least, 4), round(most, 4)), arms
    )
