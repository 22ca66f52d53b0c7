"""Where the instructions of a call go: the functions that take most of them, a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.bench import profiler
from tests.bench.nodes import Effort
from tests.bench.profiler import Profile
from tests.bench.rows import Row

CALLS: Final = ("move_phy_pages", "move_pages")
# What is done, entries a call, calls.
PASSES: Final = (("move", 1, 512), ("move", 16, 32), ("move", 512, 1), ("query", 512, 1), ("huge", 4, 1))
FUNCTIONS: Final = 16


def measure(effort: Effort) -> Sequence[Row]:
    """Both calls, one boot each: instructions are counted, not sampled."""
    del effort
    return [
        row(f"profile_{call}_{what}_{entries}", profiler.profile(call, what, entries, calls))
        for what, entries, calls in PASSES
        for call in CALLS
    ]


def row(metric: str, found: Profile) -> Row:
    """All instructions a page, and the functions with the most."""
    return Row(metric, round(found.total, 1), "instructions", arms=found.top(FUNCTIONS))
