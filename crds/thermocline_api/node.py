"""MemoryTierNode: what a node's agent shall do, and what it does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from thermocline_api.codec import (
    FLAG,
    INTEGER,
    TEXT,
    TIME,
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
from thermocline_api.report import NodeDryRun, TopPod, Totals
from thermocline_api.schema import API_VERSION, Schema
from thermocline_api.settings import Engine, Settings, Source

KIND: Final = "MemoryTierNode"


class NodeCondition(StrEnum):
    """Types of a node's conditions."""

    ACCEPTED = "Accepted"
    TIERS_FOUND = "TiersFound"
    HOTNESS_AVAILABLE = "HotnessAvailable"
    ENGINE_AVAILABLE = "EngineAvailable"
    MIGRATING = "Migrating"
    GUARD_TRIPPED = "GuardTripped"
    KERNEL_TIERING_ACTIVE = "KernelTieringActive"


class AgentMode(StrEnum):
    """What an agent does now."""

    OBSERVE = "Observe"
    DRY_RUN = "DryRun"
    ENFORCE = "Enforce"
    PAUSED = "Paused"


class TierName(StrEnum):
    """What a tier is for a policy."""

    FAST = "Fast"
    SLOW = "Slow"


class CapabilityKind(StrEnum):
    """What a capability is for."""

    SOURCE = "Source"
    ENGINE = "Engine"


@record
class NodeSpec:
    """What the agent shall do. Without a policy there is neither a revision nor settings."""

    policy: str | None = wire("policy", TEXT, default=None)
    revision: str | None = wire("revision", TEXT, default=None)
    paused: bool = wire("paused", FLAG, default=False)
    settings: Settings | None = wire("settings", nested(Settings), default=None)


@record
class NumaNode:
    """A NUMA node of a tier. Latencies and bandwidths are None where the firmware tells none."""

    id: int = wire("id", INTEGER)
    size_bytes: int | None = wire("sizeBytes", INTEGER, default=None)
    free_bytes: int | None = wire("freeBytes", INTEGER, default=None)
    read_latency_nanoseconds: int | None = wire("readLatencyNanoseconds", INTEGER, default=None)
    write_latency_nanoseconds: int | None = wire("writeLatencyNanoseconds", INTEGER, default=None)
    read_bandwidth_megabytes: int | None = wire("readBandwidthMegabytes", INTEGER, default=None)
    write_bandwidth_megabytes: int | None = wire("writeBandwidthMegabytes", INTEGER, default=None)
    device: str | None = wire("device", TEXT, default=None)


@record
class Tier:
    """A tier of memory."""

    name: TierName = wire("name", enumerated(TierName))
    nodes: tuple[NumaNode, ...] = wire("nodes", listed(nested(NumaNode)), default=())


@record
class Capability:
    """A source or an engine, available or with the reason why not. `name` is one of Source or of Engine."""

    kind: CapabilityKind = wire("kind", enumerated(CapabilityKind))
    name: str = wire("name", TEXT)
    available: bool = wire("available", FLAG)
    reason: str | None = wire("reason", TEXT, default=None)
    message: str | None = wire("message", TEXT, default=None)


@record
class Counters:
    """What happened since the agent started."""

    since: datetime | None = wire("since", TIME, default=None)
    rounds: int | None = wire("rounds", INTEGER, default=None)
    totals: Totals = inline(Totals, default=Totals())
    usefulness_percent: int | None = wire("usefulnessPercent", INTEGER, default=None)
    oom_kills: int | None = wire("oomKills", INTEGER, default=None)


@record
class NodeStatus:
    """What the agent reports."""

    observed_generation: int | None = wire("observedGeneration", INTEGER, default=None)
    policy: str | None = wire("policy", TEXT, default=None)
    revision: str | None = wire("revision", TEXT, default=None)
    agent_version: str | None = wire("agentVersion", TEXT, default=None)
    mode: AgentMode | None = wire("mode", enumerated(AgentMode), default=None)
    tiers: tuple[Tier, ...] | None = wire("tiers", listed(nested(Tier)), default=None)
    capabilities: tuple[Capability, ...] | None = wire(
        "capabilities", listed(nested(Capability)), default=None
    )
    source: Source | None = wire("source", enumerated(Source), default=None)
    engine: Engine | None = wire("engine", enumerated(Engine), default=None)
    pods_matched: int | None = wire("podsMatched", INTEGER, default=None)
    counters: Counters | None = wire("counters", nested(Counters), default=None)
    dry_run: NodeDryRun | None = wire("dryRun", nested(NodeDryRun), default=None)
    top_pods: tuple[TopPod, ...] | None = wire("topPods", listed(nested(TopPod)), default=None)
    conditions: tuple[Condition, ...] = wire("conditions", listed(nested(Condition)), default=())


@record
class MemoryTierNode:
    """The object, named after its node."""

    metadata: ObjectMeta = wire("metadata", nested(ObjectMeta))
    spec: NodeSpec = wire("spec", nested(NodeSpec), default=NodeSpec())
    status: NodeStatus = wire("status", nested(NodeStatus), default=NodeStatus())

    @classmethod
    def read(cls, schema: Schema, manifest: Mapping[str, Any]) -> MemoryTierNode:
        """The object in a manifest, from a file or an API server. Raises InvalidManifest."""
        return decode(cls, schema.read(manifest))

    def manifest(self) -> dict[str, Any]:
        """The object as the API server takes it."""
        return {"apiVersion": API_VERSION, "kind": KIND, **encode(self)}
