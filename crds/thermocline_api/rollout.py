"""How a change of a policy reaches its nodes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from thermocline_api.codec import Codec, enumerated, listed, record, wire
from thermocline_api.rule import SECONDS


class AbortReason(StrEnum):
    """What on a node aborts a rollout."""

    PRESSURE = "Pressure"
    PING_PONG = "PingPong"
    ERRORS = "Errors"
    OOM_KILLS = "OOMKills"


@dataclass(frozen=True, slots=True)
class NodeCount:
    """A number of nodes, or a percentage of a policy's."""

    amount: int
    is_percent: bool = False

    def of(self, nodes: int) -> int:
        """How many of so many nodes: at least one, and at most all. A percentage rounds up."""
        wanted = -(-nodes * self.amount // 100) if self.is_percent else self.amount
        return min(nodes, max(1, wanted))


def read_count(value: int | str) -> NodeCount:
    """A count as the API writes it. Raises ValueError."""
    text = str(value)
    return NodeCount(int(text.removesuffix("%")), text.endswith("%"))


def write_count(count: NodeCount) -> int | str:
    """A count as the API reads it."""
    return f"{count.amount}%" if count.is_percent else count.amount


_COUNT: Final = Codec(read_count, write_count)


@record
class Rollout:
    """A canary, its soak, and waves."""

    canary: NodeCount = wire("canary", _COUNT, default=NodeCount(5, is_percent=True))
    max_unavailable: NodeCount = wire("maxUnavailable", _COUNT, default=NodeCount(25, is_percent=True))
    soak_seconds: float = wire("soak", SECONDS, default=600.0)
    auto_rollback: bool = wire("autoRollback", default=True)
    abort_on: tuple[AbortReason, ...] = wire(
        "abortOn", listed(enumerated(AbortReason)), default=tuple(AbortReason)
    )
