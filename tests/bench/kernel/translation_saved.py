"""What it saves not to look for the owners: (a reverse map over all processes + move_pages(2)) / our call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.bench import nodes, samples
from tests.bench.nodes import Effort
from tests.bench.rows import Row, controlled
from tests.bench.samples import Boot

# Processes of 64 MiB each.
PROCESSES: Final = (1, 5, 20, 50, 100, 200)
MAPPED_MIB: Final = 64
# Of these, private to each; what is left is one region that all share, for 200 x 64 MiB is more than a machine has.
PRIVATE_MIB: Final = 2
# The same with nothing shared, as far as memory goes: does sharing make a difference?
UNSHARED: Final = 20
TARGETS: Final = {200: ">= 60"}


def measure(effort: Effort) -> Sequence[Row]:
    """512 pages, spread evenly over all processes."""
    rounds = min(effort.rounds, 2)
    ran = nodes.boots(effort, "reverse", rounds, PRIVATE_MIB, *PROCESSES)
    found = rows([samples.parse(each) for each in ran], PROCESSES)
    alone = nodes.boots(effort, "reverse", rounds, MAPPED_MIB, UNSHARED, memory="2G")
    return [*found, *rows([samples.parse(each) for each in alone], (UNSHARED,), "_unshared")]


def rows(boots: Sequence[Boot], processes: Sequence[int], suffix: str = "") -> list[Row]:
    """A row for each number of processes."""
    return [_row(boots, each, suffix) for each in processes]


def _row(boots: Sequence[Boot], processes: int, suffix: str) -> Row:
    case = str(processes)
    found = samples.ratio(boots, "reverse", "physical", case)
    arms = {arm: samples.middle(boots, arm, case) for arm in ("physical", "reverse", "search")}
    row = Row(
        metric=f"translation_saved_{processes}{suffix}",
        value=round(found.value, 2),
        unit="ratio",
        target=None if suffix else TARGETS.get(processes),
        spread=(round(found.least, 2), round(found.most, 2)),
        arms={
            **arms,
            "a pagemap entry": round(samples.middle(boots, "entry", case) / 1000, 1),
            "mapped MiB": processes * MAPPED_MIB,
        },
    )
    return controlled(row, samples.control(boots, "physical_again", "physical", case))
