"""What the agent's scan costs, against bare system calls on the same files: CPU time, in counted instructions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench import samples
from tests.bench.nodes import COUNTING, Effort
from tests.bench.rows import Row, controlled
from tests.bench.samples import Boot
from tests.commands import node_python

TARGET: Final = "<= 1.1"
PROGRAM: Final = Path(__file__).with_name("scan.py")
CASE: Final = "page"


def measure(effort: Effort) -> Sequence[Row]:
    """All memory of a node of two kinds of memory, half of it in use."""
    ran = [
        node_python(PROGRAM, str(effort.rounds), options=f"--memory 1G {COUNTING}", timeout_seconds=1800).text
        for _ in range(effort.boots)
    ]
    return rows([samples.parse(each) for each in ran])


def rows(boots: Sequence[Boot]) -> list[Row]:
    """The one row; arms are instructions a page."""
    found = samples.ratio(boots, "agent", "bare", CASE)
    pages = samples.middle(boots, "pages", CASE)
    row = Row(
        metric="scan_tax",
        value=round(found.value, 4),
        unit="ratio",
        limit=1.0,
        target=TARGET,
        spread=(round(found.least, 4), round(found.most, 4)),
        arms={arm: round(samples.middle(boots, arm, CASE) / pages, 1) for arm in ("agent", "bare")},
    )
    worst = max(
        (samples.control(boots, f"{arm}_again", arm, CASE) for arm in ("agent", "bare")),
        key=lambda value: abs(value - 1),
    )
    return [controlled(row, worst)]
