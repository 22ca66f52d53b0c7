"""What DAMON's migrate_cold costs on the same ranges, against our call: CPU time of its thread / time of the call."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from tests.bench import nodes, samples
from tests.bench.nodes import Effort
from tests.bench.rows import Row, controlled
from tests.bench.samples import Boot

TARGET: Final = ">= 1"
PAGES: Final = 16384
# Entries a call: all pages by one call, as DAMON has them in one pass, and as an agent with a budget would.
ENTRIES: Final = MappingProxyType({"damon_ratio": 16384, "damon_ratio_2048": 2048})
CASE: Final = "page"


def measure(effort: Effort) -> Sequence[Row]:
    """Base pages in ranges of physical memory, at most 64 of them."""
    found: list[Row] = []
    for metric, entries in ENTRIES.items():
        ran = nodes.boots(effort, "damon", effort.rounds, PAGES, entries)
        found.append(row(metric, [samples.parse(each) for each in ran]))
    return found


def row(metric: str, boots: Sequence[Boot]) -> Row:
    """DAMON against calls of one size."""
    found = samples.ratio(boots, "damon", "call", CASE)
    arms = {arm: round(samples.middle(boots, arm, CASE) / 1000, 1) for arm in ("damon", "damon_stat", "call")}
    for arm in ("damon", "call"):
        arms[f"{arm}: pages"] = samples.middle(boots, arm, "moved")
        arms[f"{arm}: ranges"] = samples.middle(boots, arm, "ranges")
    made = Row(
        metric=metric,
        value=round(found.value, 4),
        unit="ratio",
        target=TARGET,
        spread=(round(found.least, 4), round(found.most, 4)),
        arms=arms,
    )
    worst = max(
        (samples.control(boots, f"{arm}_again", arm, CASE) for arm in ("damon", "call")),
        key=lambda value: abs(value - 1),
    )
    return controlled(made, worst)
