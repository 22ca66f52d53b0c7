"""The last report in a file, for the machine's own commands: written whole or not at all, with the time since boot.

Its age is told by the clock that nobody sets, and whether an agent stands behind it by the agent's lock; so a reader
never takes what a dead agent left for what is.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from thermocline_agent.report import OwnerReport, Reasoned, Report, RoundReport
from thermocline_agent.runtime import is_running, state_file
from thermocline_api.codec import decode, encode
from thermocline_api.node import NodeStatus

_log: Final = logging.getLogger(__name__)
_VERSION: Final = 1


class NoState(Exception):
    """There is no report; the message says what to do."""


@dataclass(frozen=True, slots=True)
class State:
    """The last report, how old it is, and whether its agent still runs."""

    report: Report
    age_seconds: float
    running: bool

    @property
    def sentence(self) -> str:
        """How far it can be believed, for a person."""
        age = f"{self.age_seconds:.0f} s ago"
        if not self.running:
            return f"no agent runs now; this is what the last one told {age}"
        if self.age_seconds > 3 * self.report.interval_seconds:
            return f"the agent runs, but told this {age}: more than three intervals"
        return f"told {age}"


@dataclass(slots=True)
class StateFile:
    """The StatusSink that writes it."""

    folder: Path
    _problem: str | None = None

    def publish(self, report: Report) -> None:
        """See StatusSink."""
        try:
            _write(state_file(self.folder), as_json(report, _since_boot()))
        except OSError as err:
            # Once for each reason, and not each round.
            if err.strerror != self._problem:
                _log.warning("the state file cannot be written: %s", err)
            self._problem = err.strerror
        else:
            self._problem = None

    def close(self) -> None:
        """What stands there stays, for `explain`; the lock tells that nobody stands behind it."""


def as_json(report: Report, since_boot_seconds: float) -> dict[str, Any]:
    """A report as JSON. Pure."""
    return {
        "version": _VERSION,
        "at": report.at.isoformat(),
        "sinceBootSeconds": since_boot_seconds,
        "intervalSeconds": report.interval_seconds,
        "status": encode(report.status),
        "round": asdict(report.last),
        "owners": [
            {
                key: value.isoformat() if isinstance(value, datetime) else value
                for key, value in asdict(each).items()
            }
            for each in report.owners
        ],
        "problems": list(report.problems),
    }


def from_json(data: Mapping[str, Any]) -> Report:
    """The report in what as_json made. Raises KeyError, TypeError or ValueError for anything else. Pure."""
    if data["version"] != _VERSION:
        raise ValueError(f"version {data['version']}")
    last = dict(data["round"])
    last["planned"] = tuple(Reasoned(**each) for each in last["planned"])
    last["waits"] = tuple(last["waits"])
    return Report(
        datetime.fromisoformat(data["at"]),
        float(data["intervalSeconds"]),
        decode(NodeStatus, data["status"]),
        RoundReport(**last),
        tuple(map(_owner, data["owners"])),
        tuple(data["problems"]),
    )


def read(folder: Path) -> State:
    """The state that an agent has left in its folder. Raises NoState."""
    running = is_running(folder)
    path = state_file(folder)
    try:
        data = json.loads(path.read_text())
        report, told_at = from_json(data), float(data["sinceBootSeconds"])
    except FileNotFoundError as err:
        if running:
            raise NoState("the agent has not finished its first round: ask again in a moment") from err
        raise NoState(
            f"no agent has run on this machine: start one with `thermocline-agent run --policy FILE` ({path})"
        ) from err
    except OSError as err:
        raise NoState(f"{path} cannot be read: {err.strerror}; ask as root") from err
    except (KeyError, TypeError, ValueError) as err:
        raise NoState(
            f"{path} is of another version of the agent: ask with that agent's own command ({err})"
        ) from err
    return State(report, max(0.0, _since_boot() - told_at), running)


def _owner(data: Mapping[str, Any]) -> OwnerReport:
    fields = dict(data)
    moved_at = fields["last_moved_at"]
    fields["last_moved_at"] = None if moved_at is None else datetime.fromisoformat(moved_at)
    fields["fast_pages"], fields["slow_pages"] = tuple(fields["fast_pages"]), tuple(fields["slow_pages"])
    return OwnerReport(**fields)


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _write(path: Path, data: Mapping[str, Any]) -> None:
    draft = path.with_suffix(".new")
    with draft.open("w") as file:
        json.dump(data, file)
    # /run is lost with the machine, so nothing needs to reach a disk.
    draft.replace(path)
