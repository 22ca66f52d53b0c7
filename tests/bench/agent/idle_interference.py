"""What an agent with nothing to move takes from a program beside it, and how much memory and CPU it has for itself.

The program's CPU time for the same work, without the agent and with it, in counted instructions: what scans do to its
pages is in that. It is not the CPU that the agent has for itself, which cpuLimit bounds: that is an arm.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench import samples
from tests.bench.nodes import COUNTING, Effort
from tests.bench.rows import Row, controlled
from tests.bench.samples import Boot
from tests.commands import node_python

PROGRAM: Final = Path(__file__).with_name("idle.py")
CASE: Final = "page"
# What may be kept of each page beside the rest, whatever is.
PAGE_ALLOWANCE_BYTES: Final = 2


def measure(effort: Effort) -> Sequence[Row]:
    """A node of two kinds of memory, whose pages all lie where they belong."""
    ran = [
        node_python(PROGRAM, str(effort.rounds), options=f"--memory 1G {COUNTING}", timeout_seconds=3000).text
        for _ in range(effort.boots)
    ]
    return rows([samples.parse(each) for each in ran])


def rows(boots: Sequence[Boot]) -> list[Row]:
    """The program's loss, and the agent's memory: its peak, less what it may keep of each page."""
    found = samples.ratio(boots, "without", "with", CASE)
    used = samples.middle(boots, "agent", CASE) / samples.middle(boots, "wall", CASE)
    loss = Row(
        metric="idle_interference",
        value=round(found.value, 4),
        unit="ratio",
        limit=1.0,
        target=">= 0.995",
        spread=(round(found.least, 4), round(found.most, 4)),
        arms={
            **{f"{arm} ms": round(samples.middle(boots, arm, CASE) / 1e6, 2) for arm in ("without", "with")},
            "agent's share of a CPU": round(used, 4),
        },
    )
    control = max(
        (samples.control(boots, f"{arm}_again", arm, CASE) for arm in ("without", "with")),
        key=lambda value: abs(value - 1),
    )
    return [controlled(loss, control), _memory(boots)]


def _memory(boots: Sequence[Boot]) -> Row:
    pages = samples.middle(boots, "pages", "resident")
    allowed_mib = pages * PAGE_ALLOWANCE_BYTES / (1 << 20)
    beside = samples.over_boots(boot.middle("peak_kib", "resident") / 1024 - allowed_mib for boot in boots)
    return Row(
        metric="agent_memory_beside_pages",
        value=round(beside.value, 1),
        unit="MiB",
        target="<= 64",
        spread=(round(beside.least, 1), round(beside.most, 1)),
        arms={
            "peak MiB": round(samples.middle(boots, "peak_kib", "resident") / 1024, 1),
            "resident MiB": round(samples.middle(boots, "resident_kib", "resident") / 1024, 1),
            "allowed for pages MiB": round(allowed_mib, 2),
        },
    )
