"""A policy, made ready to be tried on a trace; and what is to be said about that. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.backtest import Outcome, backtest
from thermocline_agent.extent import Tier
from thermocline_agent.frames import Frames
from thermocline_agent.ruling import Ruling, rulings
from thermocline_agent.terms import planner_settings
from thermocline_agent.topology import MemoryNode, Topology
from thermocline_agent.trace import Trace
from thermocline_api.rule import Rule
from thermocline_api.settings import Settings, TierSource
from thermocline_kernel.host import PAGE_BYTES
from thermocline_kernel.numa import Performance


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What came of it. `rulings`: of each owner; `notes`: sentences about what was not as the policy says."""

    outcome: Outcome
    rulings: tuple[Ruling, ...]
    notes: tuple[str, ...]


def tried(trace: Trace, settings: Settings, chosen: Mapping[int, str | None]) -> Trial:
    """Replay the trace by a policy's settings. `chosen`: see rulings. The mode is taken to be Enforce."""
    found = rulings(trace, settings.rules, chosen)
    rule_of: NDArray[np.int16] = np.array([-1, *(each.rule for each in found)], dtype=np.int16)
    hotness = replace(settings.hotness, interval_seconds=trace.interval_seconds)
    wanted = planner_settings(replace(settings, hotness=hotness), topology(trace))
    notes = (*_notes(trace, settings), *_undecided(found, settings.rules))
    return Trial(backtest(trace, wanted, rule_of), found, notes)


def topology(trace: Trace) -> Topology:
    """The trace's nodes as a machine's."""
    return Topology(
        tuple(
            MemoryNode(
                number=node.number,
                rank=int(node.tier),
                fast=node.tier is Tier.FAST,
                size_bytes=node.pages * PAGE_BYTES,
                free_bytes=0,
                frames=tuple(
                    Frames(span.first_pfn, span.first_pfn + span.pages)
                    for span in trace.layout.spans
                    if span.node == node.number
                ),
                movable=False,
                performance=None
                if node.read_latency_ns is None
                else Performance(frozenset(), node.read_latency_ns, None, None, None),
                regions=(),
                others=tuple(each.number for each in trace.nodes if each.tier is not node.tier),
            )
            for node in trace.nodes
        ),
        "what was recorded",
    )


def _notes(trace: Trace, settings: Settings) -> Iterator[str]:
    interval = settings.hotness.interval_seconds
    if interval != trace.interval_seconds:
        yield (
            f"it was recorded at intervals of {trace.interval_seconds:g} s, and is replayed at those: the policy's "
            f"{interval:g} s say nothing"
        )
    if settings.tiers.source is TierSource.MANUAL:
        fast = {node.number for node in trace.nodes if node.tier is Tier.FAST}
        slow = {node.number for node in trace.nodes if node.tier is Tier.SLOW}
        if fast != set(settings.tiers.fast or ()) or slow != set(settings.tiers.slow or ()):
            yield (
                f"its nodes were fast {sorted(fast)} and slow {sorted(slow)} when it was recorded, and are so here: "
                "the policy's own lists say nothing"
            )
    if not {node.tier for node in trace.nodes} >= set(Tier):
        yield "it has memory of one kind only: nothing can move"


def _undecided(found: Sequence[Ruling], rules: Sequence[Rule]) -> Iterator[str]:
    for index, rule in enumerate(rules):
        owners = [number for number, each in enumerate(found, 1) if each.undecided == index]
        if owners:
            yield (
                f"no rule governs {_listed(owners)}: {rule.name!r} may be the one, but selects by names or labels, "
                "which the trace does not have. Their pages stay where they are. Say whose they are by "
                f"--owner-rule {owners[0]}={rule.name}, or record with --names"
            )


def _listed(numbers: Sequence[int], most: int = 12) -> str:
    told = f"owner{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:most]))}"
    return told if len(numbers) <= most else f"{told} and {len(numbers) - most} more"
