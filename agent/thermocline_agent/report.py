"""What the agent tells after each round, and who it is told to: values, and the interface of those who pass them on.

A status is what a MemoryTierNode has; beside it are details of a round and of its owners, for which no API server has
room: they are for the machine's own commands and for metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from thermocline_api.node import NodeStatus

# Heat is told in so many steps: unknown or never seen, and seven from hardly used to hottest.
HEAT_STEPS = 8


@dataclass(frozen=True, slots=True)
class Reasoned:
    """Pages that a round moved, or would move, by the rule and the reason that asked for it (moves.Reason's name)."""

    rule: str
    reason: str
    pages: int


@dataclass(frozen=True, slots=True)
class OwnerReport:
    """A pod or a host service, by its cgroup. `why` says which rule governs it, or why none does, as a sentence.

    `fast_pages` and `slow_pages` are by step of heat, HEAT_STEPS of them. Moves are counted since the agent started;
    `failed` by the name of what hindered them (engine.Result's).
    """

    path: str
    why: str
    rule: str | None = None
    placement: str | None = None
    pod_uid: str | None = None
    namespace: str | None = None
    name: str | None = None
    fast_pages: tuple[int, ...] = ()
    slow_pages: tuple[int, ...] = ()
    promoted_pages: int = 0
    demoted_pages: int = 0
    failed: Mapping[str, int] = field(default_factory=dict, hash=False)
    last_moved_at: datetime | None = None
    last_reasons: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class RoundReport:
    """One round. `planned` is what should move, `promoted_pages` and `demoted_pages` what did.

    `results` are pages by result (engine.Result's names), `waits` why not more is moved (guards.Why's values).
    """

    number: int
    planned: tuple[Reasoned, ...] = ()
    promoted_pages: int = 0
    demoted_pages: int = 0
    results: Mapping[str, int] = field(default_factory=dict, hash=False)
    waits: tuple[str, ...] = ()
    fast_hit_now: float | None = None
    fast_hit_planned: float | None = None
    source_cpu_seconds: float = 0.0
    engine_cpu_seconds: float = 0.0
    round_seconds: float = 0.0
    covered_pages: int = 0
    tracked_pages: int = 0
    missed_samples: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """All that is known once a round is over. `problems` are sentences of what failed; the next round goes on."""

    at: datetime
    interval_seconds: float
    status: NodeStatus
    last: RoundReport
    owners: tuple[OwnerReport, ...] = ()
    problems: tuple[str, ...] = ()


class StatusSink(Protocol):
    """Who passes reports on: a file, metrics, an API server. How often it writes is its own affair."""

    def publish(self, report: Report) -> None:
        """Take a round's report. Does not wait for a network, and never raises: what cannot be written is logged."""

    def close(self) -> None:
        """The agent ends."""
