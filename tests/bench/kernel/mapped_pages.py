"""What a page costs that several processes map, against move_pages(2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.bench import nodes, samples
from tests.bench.kernel.move_tax import compared
from tests.bench.nodes import Effort
from tests.bench.rows import Row
from tests.bench.samples import Boot

# 64 is the most that the call moves.
MAPPERS: Final = (1, 8, 64)


def measure(effort: Effort) -> Sequence[Row]:
    """Anonymous base pages since fork(), by MPOL_MF_MOVE_ALL."""
    ran = nodes.boots(effort, "moves", "mappers", effort.rounds, *MAPPERS)
    return rows([samples.parse(each) for each in ran])


def rows(boots: Sequence[Boot]) -> list[Row]:
    """A row for each number of mappers."""
    return [compared(boots, f"mapped_pages_{mappers}", str(mappers)) for mappers in MAPPERS]
