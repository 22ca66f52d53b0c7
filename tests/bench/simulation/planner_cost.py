"""What a round costs the planner: CPU nanoseconds for each page tracked, and bytes kept of it, at 1 and at 64 GiB.

Heat takes in an interval's access bits, and plan_round plans: both count. Measured where everything lies where it
belongs, as it mostly does.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

from tests.bench.nodes import Effort
from tests.bench.rows import Row
from tests.bench.simulation.planner import cost

GIB: Final = (1, 64)


def measure(effort: Effort) -> Sequence[Row]:
    """Rounds at each size; the middle half of them is the spread, as single rounds are another process's noise."""
    found: list[Row] = []
    for gib in GIB:
        measured = cost(gib, effort.timed_rounds)
        values = sorted(measured.ns_per_page)
        quarter = len(values) // 4
        arms = {
            "observe ns/page": round(median(measured.observe_seconds) / measured.pages * 1e9, 3),
            "plan ns/page": round(median(measured.plan_seconds) / measured.pages * 1e9, 3),
            "round ms": round(median(values) * measured.pages / 1e6, 3),
            "pages planned": median(measured.moves),
        }
        spread = (round(values[quarter], 3), round(values[-1 - quarter], 3))
        found.append(
            Row(f"planner_ns_per_page_{gib}", round(median(values), 3), "ns", None, "<= 4", spread, arms)
        )
        for name, census in (("", measured.census_bytes), ("_huge", measured.huge_census_bytes)):
            parts = {"heat": measured.heat_bytes / measured.pages, "census": census / measured.pages}
            kept = round(sum(parts.values()), 3)
            arms = {part: round(value, 3) for part, value in parts.items()}
            found.append(Row(f"bytes_per_page{name}_{gib}", kept, "bytes", 1.0, "<= 2", None, arms))
    return found
