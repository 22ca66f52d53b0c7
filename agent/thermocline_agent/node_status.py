"""A MemoryTierNode's status: what is known after a round, in the API's words and within its bounds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from thermocline_agent.conditions import Facts, conditions, restraint
from thermocline_agent.guards import Measured
from thermocline_agent.ledger import Ledger
from thermocline_agent.moves import FastHits
from thermocline_agent.probe import Capability
from thermocline_agent.report import OwnerReport
from thermocline_agent.topology import MemoryNode, Topology
from thermocline_api import __version__
from thermocline_api import node as api
from thermocline_api.conditions import updated
from thermocline_api.report import NodeDryRun, TopPod, Totals
from thermocline_api.settings import Engine, Source
from thermocline_kernel.host import PAGE_BYTES

_LONGEST_MESSAGE: Final = 256
_LONGEST_DEVICE: Final = 63
_LONGEST_NAME: Final = 256
_TOP_PODS: Final = 10


def node_status(
    facts: Facts,
    before: api.NodeStatus,
    now: datetime,
    *,
    capabilities: Sequence[Capability],
    counters: api.Counters,
    owners: Iterable[OwnerReport],
    dry_run: NodeDryRun | None,
    pods_matched: int,
) -> api.NodeStatus:
    """The status; `before` is the one of the round before, for the times of conditions."""
    assignment, topology = facts.assignment, facts.topology
    return api.NodeStatus(
        observed_generation=assignment.generation,
        policy=assignment.policy,
        revision=assignment.revision,
        agent_version=__version__,
        mode=_mode(facts),
        tiers=_tiers(topology) if topology is not None else None,
        capabilities=tuple(map(_capability, capabilities)),
        source=Source(facts.source.name) if facts.source.name else None,
        engine=Engine(facts.engine.name) if facts.engine.name else None,
        pods_matched=pods_matched,
        counters=counters,
        dry_run=dry_run,
        top_pods=_top_pods(owners),
        conditions=updated(before.conditions, conditions(facts, now)),
    )


def counters(
    ledger: Ledger, rounds: int, hits: FastHits | None, measured: Measured, oom_kills: int | None
) -> api.Counters:
    """What happened since the agent started; the percentages are those of the last window."""
    return api.Counters(
        since=ledger.since,
        rounds=rounds,
        totals=Totals(
            promoted_bytes=ledger.promoted_pages * PAGE_BYTES,
            demoted_bytes=ledger.demoted_pages * PAGE_BYTES,
            failed_pages=ledger.failed_pages,
            fast_hit_percent=None if hits is None else int(100 * hits.now),
            ping_pong_percent=_percent(measured.returned, measured.moved),
        ),
        usefulness_percent=_percent(measured.used, measured.arrived),
        oom_kills=oom_kills,
    )


def _percent(part: int, whole: int) -> int | None:
    return min(100, 100 * part // whole) if whole else None


def _mode(facts: Facts) -> api.AgentMode:
    held = restraint(facts)
    if held is None:
        return api.AgentMode.ENFORCE
    if held.reason == "Paused":
        return api.AgentMode.PAUSED
    return api.AgentMode.DRY_RUN if held.reason == "DryRun" else api.AgentMode.OBSERVE


def _tiers(topology: Topology) -> tuple[api.Tier, ...]:
    found = []
    for rank in sorted({node.rank for node in topology.nodes}):
        nodes = [node for node in topology.nodes if node.rank == rank]
        name = api.TierName.FAST if nodes[0].fast else api.TierName.SLOW
        found.append(api.Tier(name, tuple(map(_node, nodes))))
    return tuple(found)


def _node(node: MemoryNode) -> api.NumaNode:
    figures, device = node.performance, node.device
    return api.NumaNode(
        node.number,
        node.size_bytes,
        node.free_bytes,
        figures.read_latency_ns if figures else None,
        figures.write_latency_ns if figures else None,
        figures.read_bandwidth_mbps if figures else None,
        figures.write_bandwidth_mbps if figures else None,
        device[:_LONGEST_DEVICE] if device else None,
    )


def _capability(each: Capability) -> api.Capability:
    return api.Capability(
        api.CapabilityKind(each.kind),
        each.name,
        each.available,
        None if each.available else each.reason,
        None if each.available else each.message[:_LONGEST_MESSAGE],
    )


def _top_pods(owners: Iterable[OwnerReport]) -> tuple[TopPod, ...]:
    moved = [each for each in owners if each.promoted_pages or each.demoted_pages]
    moved.sort(key=lambda each: (-each.promoted_pages - each.demoted_pages, each.path))
    return tuple(
        TopPod(
            (each.name or each.path)[:_LONGEST_NAME],
            each.namespace,
            each.rule,
            each.promoted_pages * PAGE_BYTES,
            each.demoted_pages * PAGE_BYTES,
        )
        for each in moved[:_TOP_PODS]
    )
