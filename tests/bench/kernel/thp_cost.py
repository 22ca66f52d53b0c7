"""What a huge page costs beside its copy, for each of its 512 base pages, against a base page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.bench import nodes, profiler, samples
from tests.bench.nodes import Effort
from tests.bench.rows import Row, controlled
from tests.bench.samples import Boot, Ratio

TARGET: Final = "<= 0.025"
LIMIT: Final = 1 / 512
CASE: Final = "pages"


def measure(effort: Effort) -> Sequence[Row]:
    """Eight huge pages a call beside as many bytes of base pages."""
    ran = nodes.boots(effort, "moves", "huge", effort.rounds)
    copy = profiler.profile("move_phy_pages", "huge", 4, 1).copy
    return rows([samples.parse(each) for each in ran], copy)


def rows(boots: Sequence[Boot], copy: float) -> list[Row]:
    """Beside the copy, with one entry a huge page and with one a base page; with the copy; against move_pages(2).

    `copy` is what copying a base page takes, in instructions.
    """
    arms = {
        arm: samples.middle(boots, arm, CASE) / 1000
        for arm in ("base", "huge", "huge_by_tails", "huge_move_pages")
    }
    arms["copy"] = copy
    arms = {arm: round(value, 1) for arm, value in arms.items()}
    control = samples.control(boots, "base_again", "base", CASE)

    def row(metric: str, found: Ratio, target: str | None = None, limit: float | None = None) -> Row:
        spread = (round(found.least, 5), round(found.most, 5))
        made = Row(metric, round(found.value, 5), "ratio", limit, target, spread, arms)
        return controlled(made, control)

    def beside(arm: str) -> Ratio:
        return samples.over_boots(
            (boot.middle(arm, CASE) / 1000 - copy) / (boot.middle("base", CASE) / 1000 - copy)
            for boot in boots
        )

    return [
        row("thp_cost", beside("huge"), TARGET, LIMIT),
        row("thp_cost_by_tails", beside("huge_by_tails")),
        row("thp_total", samples.ratio(boots, "huge", "base", CASE)),
        row("thp_move_tax", samples.ratio(boots, "huge", "huge_move_pages", CASE)),
    ]
