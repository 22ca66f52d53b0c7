"""`run --watch`: a table that is drawn anew after each round, or lines where the output is no terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from thermocline_agent import lines
from thermocline_agent.lines import percent, plain, size
from thermocline_agent.report import OwnerReport, Report
from thermocline_agent.warmth import by_tier, warmth
from thermocline_api.conditions import Status, find
from thermocline_api.node import NodeCondition

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST_OWNERS = 20


class Lines:
    """The StatusSink for what is no terminal: a line a round, and one for each trouble."""

    def publish(self, report: Report) -> None:
        """See StatusSink."""
        print(round_line(report))
        for trouble in lines.trouble(report):
            print(f"  {trouble}")
        sys.stdout.flush()

    def close(self) -> None:
        """Nothing is kept."""


class Screen:
    """The StatusSink for a terminal."""

    def __init__(self, console: Console) -> None:
        """The table appears at once, and stays when the agent ends."""
        self._live = Live(
            Text("observing…"),
            console=console,
            auto_refresh=False,
            redirect_stderr=False,
            redirect_stdout=False,
        )
        self._live.start(refresh=True)

    def publish(self, report: Report) -> None:
        """See StatusSink."""
        self._live.update(screen(report), refresh=True)

    def close(self) -> None:
        """Give the terminal back."""
        self._live.stop()


def round_line(report: Report) -> str:
    """A round in a line, for people. Pure."""
    last, status = report.last, report.status
    migrating = find(status.conditions, NodeCondition.MIGRATING)
    state = "" if migrating is None else f", {migrating.reason}"
    return (
        f"{report.at:%H:%M:%S} round {last.number}: {status.mode}{state}; "
        f"{percent(last.fast_hit_now)} of accesses to fast memory; "
        f"{size(last.promoted_pages)} promoted, {size(last.demoted_pages)} demoted"
        + (f"; waits for {', '.join(last.waits)}" if last.waits else "")
    )


def screen(report: Report) -> RenderableType:
    """What a terminal shows. Pure."""
    status = report.status
    fast, slow = by_tier(report.owners)
    head = Text(round_line(report))
    parts = Text(
        f"policy {status.policy or 'none'}, source {status.source or 'none'}, engine {status.engine or 'none'}; "
        f"fast {size(fast.pages)} ({size(fast.cold)} cold), slow {size(slow.pages)} ({size(slow.used)} used)"
    )
    rows: list[RenderableType] = [head, parts, _owners(report.owners)]
    for condition in status.conditions:
        wanted = Status.FALSE if condition.type in _BAD_WHEN_TRUE else Status.TRUE
        if condition.status is not wanted:
            rows.append(Text(f"{condition.type} {condition.status}: {condition.message}", style="yellow"))
    rows += [Text(problem, style="red") for problem in report.problems]
    return Group(*rows)


_BAD_WHEN_TRUE = (NodeCondition.GUARD_TRIPPED, NodeCondition.KERNEL_TIERING_ACTIVE)


def _owners(owners: tuple[OwnerReport, ...]) -> Table:
    table = Table(expand=True)
    table.add_column("pod or service", ratio=2, overflow="ellipsis", no_wrap=True)
    table.add_column("rule", ratio=1, overflow="ellipsis", no_wrap=True)
    for name in ("fast", "of it used", "slow", "of it used", "promoted", "demoted"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in owners[:_MOST_OWNERS]:
        fast, slow = warmth(each.fast_pages), warmth(each.slow_pages)
        table.add_row(
            Text(f"{each.namespace}/{each.name}" if each.namespace else plain(each.path)),
            each.rule or "-",
            *map(
                size, (fast.pages, fast.used, slow.pages, slow.used, each.promoted_pages, each.demoted_pages)
            ),
        )
    return table
