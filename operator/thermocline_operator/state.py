"""What decisions are made from: the objects of a cluster, as far as they matter, at one time.

Values only. reading.py makes them of what the API server says, and nothing else is known: an operator that
starts sees the same as one that has run for a year.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from thermocline_api.conditions import Condition, Status
from thermocline_api.policy import PolicyStatus
from thermocline_api.report import NodeDryRun, TopPod, Totals
from thermocline_api.rollout import AbortReason, Rollout
from thermocline_api.selector import LabelSelector
from thermocline_api.settings import KernelTiering, Mode


class Kind(StrEnum):
    """What there are objects of."""

    POLICY = "MemoryTierPolicy"
    NODE = "Node"
    TIER_NODE = "MemoryTierNode"
    REVISION = "ControllerRevision"


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the cluster. `since` is when its Ready condition last changed, as far as it has one."""

    name: str
    uid: str
    labels: Mapping[str, str] = field(hash=False)
    is_ready: bool
    since: datetime


@dataclass(frozen=True, slots=True)
class Given:
    """When a node was given its revision, and what it had suffered before that.

    `before` are the conditions that told of trouble then, as TYPE/REASON, with the time of their transition: one that
    has the same time now is the same trouble, and not the revision's fault. No clock is compared with another's.
    """

    at: datetime
    before: Mapping[str, datetime] = field(default_factory=dict, hash=False)
    oom_kills: int = 0
    counting_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What an agent last reported. `heard_at` is when, by the API server's clock."""

    heard_at: datetime
    policy: str | None = None
    revision: str | None = None
    pods_matched: int | None = None
    totals: Totals = field(default_factory=Totals)
    oom_kills: int = 0
    counting_since: datetime | None = None
    dry_run: NodeDryRun | None = None
    top_pods: tuple[TopPod, ...] = ()
    conditions: tuple[Condition, ...] = ()

    def told(self, kind: str, status: Status = Status.TRUE) -> Condition | None:
        """The condition of a type, where it has the status."""
        return next((each for each in self.conditions if each.type == kind and each.status is status), None)


@dataclass(frozen=True, slots=True)
class TierNode:
    """A MemoryTierNode. `digest` is that of its settings, None without any; `report` None if there is none.

    `problem` is what of it cannot be read: its spec, and it counts as empty, or its status, and there is no report.
    """

    name: str
    uid: str
    created_at: datetime
    policy: str | None = None
    revision: str | None = None
    paused: bool = False
    settings: Mapping[str, Any] | None = field(default=None, hash=False, repr=False)
    digest: str | None = None
    given: Given | None = None
    report: Report | None = None
    problem: str | None = None

    @property
    def is_applied(self) -> bool:
        """Whether its agent says that it applies what it was given."""
        return (
            self.report is not None
            and self.report.policy == self.policy
            and self.report.revision == self.revision
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """A MemoryTierPolicy. `settings` are as the API server returns them, defaults applied; `digest` is theirs.

    One that breaks the schema has `problem`, and beside it only a priority and a pause, if those can be read.
    """

    name: str
    uid: str
    generation: int
    created_at: datetime
    priority: int = 0
    paused: bool = False
    selector: LabelSelector = field(default_factory=LabelSelector)
    rollout: Rollout = field(default_factory=Rollout)
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    digest: str = ""
    mode: Mode = Mode.OBSERVE
    kernel_tiering: KernelTiering = KernelTiering.DEFER
    status: PolicyStatus = field(default_factory=PolicyStatus)
    is_leaving: bool = False
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Trip:
    """A node that aborted a rollout, and one of the reasons."""

    node: str
    reason: AbortReason


@dataclass(frozen=True, slots=True)
class Abort:
    """Why a revision was given up: some of the nodes that tripped, with all their reasons, and how many nodes did."""

    at: datetime
    trips: tuple[Trip, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Marks:
    """How far the rollout of a revision is; they stand on its ControllerRevision."""

    soaking_since: datetime | None = None
    soaked_at: datetime | None = None
    completed_at: datetime | None = None
    good_at: datetime | None = None
    abort: Abort | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """A ControllerRevision of a policy: settings that its nodes have, had or are to have."""

    name: str
    policy: str
    policy_uid: str
    number: int
    settings: Mapping[str, Any] = field(hash=False)
    digest: str
    marks: Marks = field(default_factory=Marks)


@dataclass(frozen=True, slots=True)
class Doubt:
    """An object that must be read afresh, by a GET, before what depends on it is done."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The cluster. `confirmed` was read afresh for this snapshot: it is there as said, or known to be gone.

    `refused`: nodes whose objects the API server would not have written last time; others come before them.
    """

    policies: Mapping[str, Policy] = field(hash=False)
    nodes: Mapping[str, Node] = field(hash=False)
    tier_nodes: Mapping[str, TierNode] = field(hash=False)
    revisions: Mapping[str, Revision] = field(hash=False)
    confirmed: frozenset[Doubt] = frozenset()
    refused: frozenset[str] = frozenset()
