"""The loop: a round every interval, told to all who want to know, until the agent is told to end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from thermocline_agent import terms
from thermocline_agent.clock import Clock, Ended, Woken
from thermocline_agent.lines import log_line
from thermocline_agent.report import Report, StatusSink
from thermocline_agent.rounds import Rounds
from thermocline_api.conditions import Status, find
from thermocline_api.node import NodeCondition

_log: Final = logging.getLogger(__name__)


def loop(rounds: Rounds, sinks: Sequence[StatusSink], clock: Clock, reload: Callable[[], None]) -> None:
    """Go on until the clock says END. A round that took too long is followed by the next at once."""
    until(rounds, sinks, clock, reload, lambda _: False)


def until(
    rounds: Rounds,
    sinks: Sequence[StatusSink],
    clock: Clock,
    reload: Callable[[], None],
    enough: Callable[[Report], bool],
) -> None:
    """Go on as `loop` does, or until a report is `enough`."""
    due = clock.monotonic()
    while True:
        try:
            report = rounds.run()
            _told(report, sinks)
            if enough(report):
                return
            due = max(due + _interval_seconds(rounds), clock.monotonic())
            if not _waited(rounds, clock, due, reload):
                return
        except Ended:
            return


def once(
    rounds: Rounds, sinks: Sequence[StatusSink], clock: Clock, reload: Callable[[], None]
) -> Report | None:
    """Observe until the rules can tell hot from cold, then plan and move once; the report of that.

    None when the agent was told to end before. Where there are no two tiers or no source, the first report is all.
    """
    try:
        return _once(rounds, sinks, clock, reload)
    except Ended:
        return None


def _once(
    rounds: Rounds, sinks: Sequence[StatusSink], clock: Clock, reload: Callable[[], None]
) -> Report | None:
    report = rounds.run(moving=False)
    tracking = rounds.tracking
    settings = rounds.assignment().settings
    if settings is None or tracking is None or not can_observe(report):
        _told(report, sinks)
        return report
    intervals = terms.rounds_to_tell(terms.planner_settings(settings, tracking.topology))
    for number in range(1, intervals + 1):
        _log.info("observing interval=%d of=%d seconds=%g", number, intervals, report.interval_seconds)
        if not _waited(rounds, clock, clock.monotonic() + report.interval_seconds, reload):
            return None
        report = rounds.run(moving=number == intervals)
    _told(report, sinks)
    return report


def _told(report: Report, sinks: Sequence[StatusSink]) -> None:
    for problem in report.problems:
        _log.warning("%s", problem)
    _log.info("%s", log_line(report))
    for sink in sinks:
        sink.publish(report)


def _waited(rounds: Rounds, clock: Clock, due: float, reload: Callable[[], None]) -> bool:
    """Wait until then, and look at memory in between as often as the source would; False when the agent shall end."""
    began, looks = clock.monotonic(), rounds.looks
    for number in range(1, looks):
        if not _slept(clock, began + (due - began) * number / looks, reload):
            return False
        rounds.look()
    return _slept(clock, due, reload)


def _slept(clock: Clock, due: float, reload: Callable[[], None]) -> bool:
    while True:
        match clock.wait(due - clock.monotonic()):
            case Woken.ELAPSED:
                return True
            case Woken.END:
                return False
            case Woken.RELOAD:
                reload()


def _interval_seconds(rounds: Rounds) -> float:
    settings = rounds.assignment().settings
    return settings.hotness.interval_seconds if settings is not None else 10.0


def can_observe(report: Report) -> bool:
    """Whether there are two tiers and a source."""
    kinds = (NodeCondition.TIERS_FOUND, NodeCondition.HOTNESS_AVAILABLE)
    found = [find(report.status.conditions, kind) for kind in kinds]
    return all(each is not None and each.status is Status.TRUE for each in found)
