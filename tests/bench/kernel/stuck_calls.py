"""What a call costs in which nothing can move, against move_pages(2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.bench import nodes, samples
from tests.bench.kernel.move_tax import compared
from tests.bench.nodes import Effort
from tests.bench.rows import Row
from tests.bench.samples import Boot

# On their node already; mapped by two processes; referenced by a pipe that they were lent to.
CASES: Final = ("there_already", "shared", "lent")


def measure(effort: Effort) -> Sequence[Row]:
    """512 base pages a call, or 256 of them in the pipe."""
    ran = nodes.boots(effort, "moves", "stuck", effort.rounds)
    return rows([samples.parse(each) for each in ran])


def rows(boots: Sequence[Boot]) -> list[Row]:
    """A row for each reason."""
    return [compared(boots, f"stuck_calls_{case}", case) for case in CASES]
