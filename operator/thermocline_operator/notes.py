"""What the operator notes on its own objects, as annotations: how a node was before, how far a rollout is. Pure.

A note that cannot be read is none: a rollout then begins anew, with its canary.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from thermocline_api.codec import read_time
from thermocline_api.rollout import AbortReason
from thermocline_api.schema import GROUP
from thermocline_operator.state import Abort, Given, Marks, Trip

# On a MemoryTierNode, and on a ControllerRevision.
GIVEN: Final = f"{GROUP}/given"
MARKS: Final = f"{GROUP}/rollout"


def read_given(text: str | None) -> Given | None:
    """What was noted of a node."""
    if text is None:
        return None
    try:
        read = json.loads(text)
        return Given(
            at=read_time(read["at"]),
            before={kind: read_time(time) for kind, time in read.get("before", {}).items()},
            oom_kills=int(read.get("oomKills", 0)),
            counting_since=_optional_time(read.get("countingSince")),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def given_text(given: Given) -> str:
    """The same, as text."""
    return _text(
        at=_iso(given.at),
        before={kind: _iso(time) for kind, time in given.before.items()},
        oomKills=given.oom_kills,
        countingSince=None if given.counting_since is None else _iso(given.counting_since),
    )


def read_marks(text: str | None) -> Marks:
    """How far a rollout is."""
    if text is None:
        return Marks()
    try:
        read = json.loads(text)
        abort = read.get("abort")
        return Marks(
            soaking_since=_optional_time(read.get("soakingSince")),
            soaked_at=_optional_time(read.get("soakedAt")),
            completed_at=_optional_time(read.get("completedAt")),
            good_at=_optional_time(read.get("goodAt")),
            abort=None
            if abort is None
            else Abort(
                read_time(abort["at"]),
                tuple(Trip(each["node"], AbortReason(each["reason"])) for each in abort["trips"]),
                int(abort["count"]),
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return Marks()


def marks_text(marks: Marks) -> str:
    """The same, as text."""
    times = {
        "soakingSince": marks.soaking_since,
        "soakedAt": marks.soaked_at,
        "completedAt": marks.completed_at,
        "goodAt": marks.good_at,
    }
    abort = marks.abort
    return _text(
        **{name: None if time is None else _iso(time) for name, time in times.items()},
        abort=None
        if abort is None
        else {
            "at": _iso(abort.at),
            "trips": [{"node": trip.node, "reason": str(trip.reason)} for trip in abort.trips],
            "count": abort.count,
        },
    )


def _text(**values: Any) -> str:
    kept = {name: value for name, value in values.items() if value not in (None, {}, 0)}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"))


def _optional_time(text: str | None) -> datetime | None:
    return None if text is None else read_time(text)


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
