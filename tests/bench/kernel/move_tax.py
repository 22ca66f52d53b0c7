"""What moving by physical address costs, against move_pages(2) that is given the right virtual addresses."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from tests.bench import nodes, profiler, samples
from tests.bench.nodes import Effort
from tests.bench.rows import Row, controlled
from tests.bench.samples import Boot

# Entries a call, and what the ratio must reach.
TARGETS: Final = MappingProxyType(
    {1: "<= 0.65", 16: "<= 0.9", 512: "<= 0.95", 2048: "<= 0.95", 16384: "<= 0.95"}
)


def measure(effort: Effort) -> Sequence[Row]:
    """Base pages, to the slow node and back, by calls of each size."""
    ran = nodes.boots(effort, "moves", "tax", effort.rounds, *TARGETS)
    copy = profiler.profile("move_pages", "move", 512, 1).copy
    return rows([samples.parse(each) for each in ran], copy)


def rows(boots: Sequence[Boot], copy: float) -> list[Row]:
    """A row for each number of entries. `copy` is what copying a page takes, in instructions: both calls must."""
    return [
        compared(
            boots,
            f"move_tax_{entries}",
            str(entries),
            target=target,
            limit=round(copy * 1000 / samples.middle(boots, "move_pages", str(entries)), 4),
        )
        for entries, target in TARGETS.items()
    ]


def compared(
    boots: Sequence[Boot], metric: str, case: str, *, target: str | None = None, limit: float | None = None
) -> Row:
    """Our call against move_pages(2), in instructions a page."""
    found = samples.ratio(boots, "move_phy_pages", "move_pages", case)
    row = Row(
        metric=metric,
        value=round(found.value, 4),
        unit="ratio",
        limit=limit,
        target=target,
        spread=(round(found.least, 4), round(found.most, 4)),
        arms={
            arm: round(samples.middle(boots, arm, case) / 1000, 1) for arm in ("move_phy_pages", "move_pages")
        },
    )
    return controlled(row, samples.control(boots, "move_pages_again", "move_pages", case))
