"""What asking where pages are costs by physical address, against move_pages(2) with virtual ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.bench import nodes, samples
from tests.bench.kernel.move_tax import compared
from tests.bench.nodes import Effort
from tests.bench.rows import Row
from tests.bench.samples import Boot

TARGET: Final = "<= 0.3"
ENTRIES: Final = (1, 16, 512, 16384)
# A call for one page is mostly the way into the kernel and back, which both calls share.
TARGETED: Final = frozenset({512, 16384})


def measure(effort: Effort) -> Sequence[Row]:
    """Base pages, by calls of each size."""
    ran = nodes.boots(effort, "moves", "query", effort.rounds, *ENTRIES)
    return rows([samples.parse(each) for each in ran])


def rows(boots: Sequence[Boot]) -> list[Row]:
    """A row for each number of entries."""
    return [
        compared(boots, f"query_tax_{entries}", str(entries), target=TARGET if entries in TARGETED else None)
        for entries in ENTRIES
    ]
