"""Whether a status is worth a write now, and what of it fits. Pure.

A change is told at once and once; counters once a minute at most, in quiet times every few minutes. So an agent that
has nothing new to say writes less than a twentieth of what its node's kubelet does (a lease every 10 s).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from thermocline_api.codec import encode
from thermocline_api.conditions import Condition, Status, updated
from thermocline_api.node import NodeCondition, NodeStatus

# The first counters after a change say what came of it; the operator takes 15 minutes without any for silence.
SOON_SECONDS: Final = 60.0
STEADY_SECONDS: Final = 240.0
# A condition that comes and goes all the time is told no more often than that.
_BURST: Final = 5
_BURST_SECONDS: Final = 60.0
MOST_BYTES: Final = 4096
_COUNTED: Final = ("counters", "dryRun", "topPods", "podsMatched")
_SHORT: Final = 60


@dataclass(frozen=True, slots=True)
class Written:
    """What the API server has, as far as we wrote it. `times` are of the last changes, monotonic, newest last."""

    status: NodeStatus
    at: float
    was_change: bool
    times: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """Write now, or look again in so many seconds; `is_change` when more than counters differ."""

    write: bool
    is_change: bool
    wait_seconds: float


def decide(status: NodeStatus, written: Written | None, now: float, chance: float = 0.0) -> Decision:
    """Whether to write. `chance`, between 0 and 1 and an agent's own, keeps agents from writing together."""
    if written is None:
        return Decision(write=True, is_change=True, wait_seconds=0.0)
    if substance(status) != substance(written.status):
        recent = [time for time in written.times if time > now - _BURST_SECONDS]
        wait = recent[0] + _BURST_SECONDS - now if len(recent) >= _BURST else 0.0
        return Decision(write=wait <= 0, is_change=True, wait_seconds=max(0.0, wait))
    pause = SOON_SECONDS if written.was_change else STEADY_SECONDS
    wait = written.at + pause * (1 + chance / 8) - now
    is_due = wait <= 0 and encode(status) != encode(written.status)
    return Decision(write=is_due, is_change=False, wait_seconds=max(0.0, wait))


def after(written: Written | None, status: NodeStatus, now: float, *, is_change: bool) -> Written:
    """What is remembered of a write that was done."""
    times = () if written is None else written.times
    if is_change:
        times = (*times, now)[-_BURST:]
    return Written(status, now, is_change, times)


def continued(status: NodeStatus, before: NodeStatus) -> NodeStatus:
    """The status, its conditions with the times since which they hold."""
    return replace(status, conditions=updated(before.conditions, status.conditions))


def substance(status: NodeStatus) -> Mapping[str, Any]:
    """What of a status makes a change: not what is counted, nor free memory, nor the wording of conditions."""
    data = encode(status)
    for key in _COUNTED:
        data.pop(key, None)
    for tier in data.get("tiers", ()):
        for node in tier.get("nodes", ()):
            node.pop("freeBytes", None)
    data["capabilities"] = [
        {key: each.get(key) for key in ("kind", "name", "available", "reason")}
        for each in data.get("capabilities", ())
    ]
    data["conditions"] = sorted(map(_told, status.conditions))
    return data


def _told(condition: Condition) -> tuple[str, str, str]:
    """What of a condition makes a change. Whether the last round moved pages or had none to move does not."""
    is_at_work = condition.type == NodeCondition.MIGRATING and condition.status is Status.TRUE
    return condition.type, condition.status, "" if is_at_work else condition.reason


def fitted(status: NodeStatus) -> dict[str, Any]:
    """The status as it is written, in at most MOST_BYTES: sentences of capabilities get short, then pods fewer."""
    data = encode(status)
    if _size(data) <= MOST_BYTES:
        return data
    for each in data.get("capabilities", ()):
        if "message" in each:
            each["message"] = _cut(each["message"], _SHORT)
    while _size(data) > MOST_BYTES and data.get("topPods"):
        data["topPods"] = data["topPods"][:-1]
    for limit in (256, _SHORT):
        if _size(data) > MOST_BYTES:
            for each in data["conditions"]:
                each["message"] = _cut(each["message"], limit)
    if _size(data) > MOST_BYTES:
        # A machine of dozens of NUMA nodes: its tiers are told by `thermocline-agent probe`.
        for tier in data.get("tiers", ()):
            tier["nodes"] = [{"id": node["id"]} for node in tier.get("nodes", ())]
    return data


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _size(data: Mapping[str, Any]) -> int:
    return len(json.dumps(data, separators=(",", ":")).encode())
