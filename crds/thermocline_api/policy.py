"""MemoryTierPolicy: what cluster admins want."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from thermocline_api.codec import (
    FLAG,
    INTEGER,
    TEXT,
    decode,
    encode,
    enumerated,
    inline,
    listed,
    nested,
    record,
    wire,
)
from thermocline_api.conditions import Condition
from thermocline_api.objectmeta import ObjectMeta
from thermocline_api.report import PolicyDryRun, Totals
from thermocline_api.rollout import Rollout
from thermocline_api.schema import API_VERSION, Schema
from thermocline_api.selector import LabelSelector
from thermocline_api.settings import Settings

KIND: Final = "MemoryTierPolicy"


class PolicyCondition(StrEnum):
    """Types of a policy's conditions."""

    ACCEPTED = "Accepted"
    PROGRESSING = "Progressing"
    READY = "Ready"
    DEGRADED = "Degraded"
    ROLLED_BACK = "RolledBack"
    SUPERSEDED = "Superseded"


class Phase(StrEnum):
    """The conditions in one word."""

    PENDING = "Pending"
    PROGRESSING = "Progressing"
    READY = "Ready"
    DEGRADED = "Degraded"
    ROLLED_BACK = "RolledBack"
    PAUSED = "Paused"
    SUPERSEDED = "Superseded"
    INVALID = "Invalid"


@record
class PolicySpec:
    """What is wanted. `settings` are what each node is given; a manifest has them beside the others."""

    priority: int = wire("priority", INTEGER, default=100)
    paused: bool = wire("paused", FLAG, default=False)
    node_selector: LabelSelector = wire("nodeSelector", nested(LabelSelector), default=LabelSelector())
    settings: Settings = inline(Settings, default=Settings())
    rollout: Rollout = wire("rollout", nested(Rollout), default=Rollout())


@record
class Revisions:
    """Names of ControllerRevisions."""

    current: str | None = wire("current", TEXT, default=None)
    target: str | None = wire("target", TEXT, default=None)
    last_good: str | None = wire("lastGood", TEXT, default=None)


@record
class NodeCounts:
    """How many nodes there are of each kind."""

    matched: int | None = wire("matched", INTEGER, default=None)
    updated: int | None = wire("updated", INTEGER, default=None)
    ready: int | None = wire("ready", INTEGER, default=None)
    degraded: int | None = wire("degraded", INTEGER, default=None)
    aborted: int | None = wire("aborted", INTEGER, default=None)


@record
class PolicyStatus:
    """What the operator sees on the policy's nodes."""

    observed_generation: int | None = wire("observedGeneration", INTEGER, default=None)
    phase: Phase | None = wire("phase", enumerated(Phase), default=None)
    revisions: Revisions | None = wire("revisions", nested(Revisions), default=None)
    nodes: NodeCounts | None = wire("nodes", nested(NodeCounts), default=None)
    pods_matched: int | None = wire("podsMatched", INTEGER, default=None)
    totals: Totals | None = wire("totals", nested(Totals), default=None)
    dry_run: PolicyDryRun | None = wire("dryRun", nested(PolicyDryRun), default=None)
    conditions: tuple[Condition, ...] = wire("conditions", listed(nested(Condition)), default=())


@record
class MemoryTierPolicy:
    """The object."""

    metadata: ObjectMeta = wire("metadata", nested(ObjectMeta))
    spec: PolicySpec = wire("spec", nested(PolicySpec))
    status: PolicyStatus = wire("status", nested(PolicyStatus), default=PolicyStatus())

    @classmethod
    def read(cls, schema: Schema, manifest: Mapping[str, Any]) -> MemoryTierPolicy:
        """The policy in a manifest, from a file or an API server. Raises InvalidManifest."""
        return decode(cls, schema.read(manifest))

    def manifest(self) -> dict[str, Any]:
        """The object as the API server takes it."""
        return {"apiVersion": API_VERSION, "kind": KIND, **encode(self)}
