"""The conditions of a node: what holds, why, and since when. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from thermocline_agent.assignment import Assignment
from thermocline_agent.engines.engine import Result
from thermocline_agent.guards import Why
from thermocline_agent.topology import Topology
from thermocline_api.conditions import Condition, Status
from thermocline_api.node import NodeCondition
from thermocline_api.settings import KernelTiering, Mode
from thermocline_kernel.tiering import Active, Mechanism

_LONGEST: Final = 1024
# Reasons to wait that are a guard's, worst first.
GUARDS: Final = {
    Why.PRESSURE: "tasks stall on memory more than guards.memoryPressure allows",
    Why.PRESSURE_UNKNOWN: "how much tasks stall on memory cannot be read, so nothing is moved",
    Why.PING_PONG: "more of the moved pages move back than guards.pingPong allows",
    Why.NOT_USEFUL: "fewer of the promoted pages are used again than guards.minUsefulnessPercent asks",
}

# What keeps pages from moving, where that is not plain from the name.
REFUSALS: Final = {
    Result.BUSY: "they are in use in a way that passes, or pinned",
    Result.NO_MEMORY: "the target has no free page: it is full, or the policy's watermarks are below the kernel's own",
    Result.SHARED: "several processes map them, and this engine moves only pages of one",
    Result.FORBIDDEN: "their cpuset or mlock forbids it",
    Result.GONE: "they were freed meanwhile",
    Result.CHANGED: "their owner changed meanwhile",
    Result.UNREACHABLE: "no process maps them, and this engine goes by processes",
    Result.UNKNOWN: "the kernel does not say why",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is in use of sources, or of engines, and why what is preferred to it is not: name, reason, message."""

    name: str | None
    hindered: Sequence[tuple[str, str, str]] = ()


@dataclass(frozen=True, slots=True)
class Restraint:
    """Why nothing is moved: a word for programs, a sentence for people."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What conditions are concluded from. `tiering` None: it is not known which mechanisms of the kernel are on."""

    assignment: Assignment
    topology: Topology | None
    topology_problem: str | None
    source: Chosen
    engine: Chosen
    tiering: tuple[Active, ...] | None
    tiering_problem: str | None = None
    observed: bool = False
    waits: tuple[Why, ...] = ()
    moved_pages: int = 0
    engine_error: str | None = None
    # Where pages were tried and none moved: the Result that most of them had, and how many were tried.
    refused: tuple[Result, int] | None = None


def tiers(active: Active) -> bool:
    """Whether a mechanism of the kernel's is what guards.kernelTiering is about."""
    return active.mechanism.moves_pages or active.mechanism.holds_damon


def restraint(facts: Facts) -> Restraint | None:
    """Why nothing may be moved, whatever is planned; None when moves may be carried out."""
    return next(_restraints(facts), None)


def _restraints(facts: Facts) -> Iterator[Restraint]:
    settings = facts.assignment.settings
    if settings is None:
        yield Restraint("NoPolicy", "no policy governs this machine, so heat is only observed")
        return
    if facts.topology is None or facts.topology.problem is not None:
        yield Restraint(*_no_tiers(facts))
    if facts.assignment.paused:
        yield Restraint("Paused", "the policy says paused: true")
    if settings.mode is Mode.OBSERVE:
        yield Restraint("Observing", "the policy's mode is Observe")
    if settings.guards.kernel_tiering is not KernelTiering.COEXIST:
        yield from _kernels_own(facts, settings.guards.kernel_tiering)
    if facts.source.name is None:
        yield Restraint("NoSource", "there is no source of heat")
    if settings.mode is Mode.DRY_RUN:
        yield Restraint("DryRun", "the policy's mode is DryRun")
    if facts.engine.name is None:
        yield Restraint("NoEngine", "there is no engine")


def _kernels_own(facts: Facts, what: KernelTiering) -> Iterator[Restraint]:
    if facts.tiering is None:
        yield Restraint(
            "KernelTieringUnknown", f"whether the kernel tiers memory itself: {facts.tiering_problem}"
        )
    for active in filter(tiers, facts.tiering or ()):
        yield Restraint("KernelTiering", f"{active.sentence}; guards.kernelTiering is {what}")


def conditions(facts: Facts, now: datetime) -> tuple[Condition, ...]:
    """All six; their times are `now`'s, which conditions.updated corrects."""

    def made(kind: NodeCondition, status: Status, reason: str, message: str) -> Condition:
        return Condition(kind, status, reason, message[:_LONGEST], now, facts.assignment.generation)

    return (
        made(NodeCondition.TIERS_FOUND, *_tiers_found(facts)),
        made(NodeCondition.HOTNESS_AVAILABLE, *_available(facts.source, "source of heat")),
        made(NodeCondition.ENGINE_AVAILABLE, *_available(facts.engine, "engine")),
        made(NodeCondition.MIGRATING, *_migrating(facts)),
        made(NodeCondition.GUARD_TRIPPED, *_guard(facts)),
        made(NodeCondition.KERNEL_TIERING_ACTIVE, *_kernel_tiering(facts)),
    )


def _no_tiers(facts: Facts) -> tuple[str, str]:
    if facts.topology is None:
        return "MemoryUnreadable", facts.topology_problem or "the machine's memory could not be read"
    return "NoSlowTier", facts.topology.problem or ""


def _tiers_found(facts: Facts) -> tuple[Status, str, str]:
    if facts.topology is None:
        return Status.UNKNOWN, *_no_tiers(facts)
    if facts.topology.problem is not None:
        return Status.FALSE, *_no_tiers(facts)
    fast, slow = (
        ", ".join(str(node.number) for node in nodes) for nodes in (facts.topology.fast, facts.topology.slow)
    )
    return Status.TRUE, "Found", f"fast: node {fast}; slow: node {slow}; by {facts.topology.basis}"


def _available(chosen: Chosen, what: str) -> tuple[Status, str, str]:
    why = "; ".join(f"{name}: {reason}: {message}" for name, reason, message in chosen.hindered)
    if chosen.name is not None:
        return Status.TRUE, chosen.name, f"{chosen.name} is in use" + (f"; not {why}" if why else "")
    if not chosen.hindered:
        return Status.UNKNOWN, "NotNeeded", f"no {what} is asked for now"
    return Status.FALSE, chosen.hindered[0][1], f"no {what}: {why}"


def _migrating(facts: Facts) -> tuple[Status, str, str]:
    held = restraint(facts)
    if held is not None:
        return Status.FALSE, held.reason, held.message
    if facts.engine_error is not None:
        return Status.FALSE, "EngineFailed", facts.engine_error
    stopped = [why for why in GUARDS if why in facts.waits and why is not Why.NOT_USEFUL]
    if stopped and not facts.moved_pages:
        return Status.FALSE, "GuardTripped", GUARDS[stopped[0]]
    return _movement(facts)


def _movement(facts: Facts) -> tuple[Status, str, str]:
    """What came of it where nothing keeps pages from moving."""
    if facts.refused is not None:
        result, tried = facts.refused
        return Status.FALSE, "Refused", f"none of {tried} pages moved: {REFUSALS.get(result, result.name)}"
    if not facts.observed:
        return Status.TRUE, "Observing", "the first interval is not over"
    if facts.moved_pages:
        return Status.TRUE, "Moving", f"{facts.moved_pages} pages moved in the last round"
    return Status.TRUE, "Settled", "every page that could be moved is where it should be, or has to wait"


def _guard(facts: Facts) -> tuple[Status, str, str]:
    """The worst is the reason, and all are told."""
    tripped = [why for why in GUARDS if why in facts.waits]
    if tripped:
        return Status.TRUE, tripped[0].value, "; ".join(GUARDS[why] for why in tripped)
    return Status.FALSE, "WithinLimits", "no guard holds movement back"


def _kernel_tiering(facts: Facts) -> tuple[Status, str, str]:
    if facts.tiering is None:
        return Status.UNKNOWN, "Unreadable", facts.tiering_problem or "it could not be read"
    active = [each.sentence for each in facts.tiering if tiers(each)]
    if active:
        return Status.TRUE, "Active", "; ".join(active)
    undone = [each.sentence for each in facts.tiering if each.mechanism is Mechanism.NUMA_LOCALITY]
    if undone:
        return Status.FALSE, "NumaBalancing", f"not tiering, but it undoes placements: {undone[0]}"
    return Status.FALSE, "Off", "the kernel moves no pages between tiers by itself"
