"""`thermocline-agent probe [--json]`: what this machine can do, and what it lacks for the rest."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from thermocline_agent import runtime, state
from thermocline_agent.probe import Capability, Probe, probe
from thermocline_agent.topology import MemoryNode
from thermocline_api.node import NodeStatus
from thermocline_kernel.host import Host

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no other name for it

EPILOG: Final = """\
examples:
  thermocline-agent probe
  thermocline-agent probe --json | jq '.engines[] | select(.available).name'

Run it as root, where the agent will run: what a container may not do, it lacks. Nothing is changed. The exit status
is 0 when there are two tiers, a source and an engine, and 1 when something is missing.
"""


# Reasons that only say that another process has it: the senders of the feed socket, DAMON.
_THE_AGENTS: Final = ("NoSender", "NotAsked")


def add_to(commands: Subparsers) -> None:
    """Make it one of the commands."""
    parser = commands.add_parser(
        "probe",
        help="tell this machine's tiers, hotness sources and engines",
        description="Tell this machine's tiers, sources and engines, and why others are missing.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    parser.add_argument(
        "--runtime-dir", metavar="DIR", type=Path, default=runtime.DEFAULT_FOLDER, help=argparse.SUPPRESS
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Probe and print; returns the exit status."""
    found = probe(Host())
    with suppress(state.NoState):
        told = state.read(arguments.runtime_dir)
        if told.running:
            found = beside(found, told.report.status)
    print(json.dumps(as_json(found), indent=2) if arguments.json else "\n".join(table(found)))
    return 0 if is_enough(found) else 1


def beside(found: Probe, agent: NodeStatus) -> Probe:
    """The probe, with what could not be asked because an agent runs here, as that agent has told it. Pure."""
    told = {(str(each.kind), each.name): each for each in agent.capabilities or ()}

    def known(each: Capability) -> Capability:
        answer = told.get((each.kind, each.name)) if each.reason in _THE_AGENTS else None
        if answer is None:
            return each
        message = f"as the agent says that runs here: {answer.message or answer.reason or 'it has it'}"
        return replace(each, available=answer.available, reason=answer.reason or "", message=message)

    return replace(found, capabilities=tuple(map(known, found.capabilities)))


def is_enough(found: Probe) -> bool:
    """Whether the agent could move pages here. Pure."""
    kinds = {each.kind for each in found.capabilities if each.available}
    return found.problem is None and kinds == {"Source", "Engine"}


def as_json(found: Probe) -> dict[str, Any]:
    """The whole, for programs. Pure."""
    topology = found.topology
    return {
        "problem": found.problem,
        "basis": topology.basis if topology else None,
        "nodes": [_node(node) for node in topology.nodes] if topology else [],
        "leftOut": {str(number): why for number, why in topology.left_out.items()} if topology else {},
        **{
            plural: [
                {
                    "name": each.name,
                    "available": each.available,
                    "reason": each.reason,
                    "message": each.message,
                }
                for each in found.capabilities
                if each.kind == kind
            ]
            for kind, plural in (("Source", "sources"), ("Engine", "engines"))
        },
        "kernelTiering": None
        if found.kernel_tiering is None
        else [{"mechanism": each.mechanism.name, "message": each.sentence} for each in found.kernel_tiering],
        "kernelTieringProblem": found.kernel_tiering_problem,
    }


def _node(node: MemoryNode) -> dict[str, Any]:
    figures = node.performance
    return {
        "id": node.number,
        "tier": "Fast" if node.fast else "Slow",
        "sizeBytes": node.size_bytes,
        "freeBytes": node.free_bytes,
        "movable": node.movable,
        "device": node.device,
        "readLatencyNanoseconds": figures.read_latency_ns if figures else None,
        "readBandwidthMegabytes": figures.read_bandwidth_mbps if figures else None,
    }


def table(found: Probe) -> Iterator[str]:
    """Lines for a person. Pure."""
    yield from _tiers(found)
    for kind, title in (("Source", "SOURCES"), ("Engine", "ENGINES")):
        yield ""
        yield title
        for each in found.capabilities:
            if each.kind == kind:
                state = "yes" if each.available else "no"
                reason = f"{each.reason}: " if each.reason else ""
                yield f"  {each.name:<13} {state:<4} {reason}{each.message}"
    yield ""
    yield "THE KERNEL'S OWN TIERING"
    if found.kernel_tiering is None:
        yield f"  unknown: {found.kernel_tiering_problem}"
    for active in found.kernel_tiering or ():
        yield f"  {active.sentence}"
    if found.kernel_tiering == ():
        yield "  off"


def _tiers(found: Probe) -> Iterator[str]:
    topology = found.topology
    yield f"TIERS, by {topology.basis}" if topology else "TIERS"
    for node in topology.nodes if topology else ():
        figures = node.performance
        told = [f"{node.size_bytes >> 20} MiB, {node.free_bytes >> 20} MiB free"]
        if figures and figures.read_latency_ns:
            told.append(f"{figures.read_latency_ns} ns")
        if figures and figures.read_bandwidth_mbps:
            told.append(f"{figures.read_bandwidth_mbps} MB/s")
        if node.movable:
            told.append("movable")
        if node.device:
            told.append(node.device)
        yield f"  node {node.number:<8} {'fast' if node.fast else 'slow'} {', '.join(told)}"
    for number, why in sorted(topology.left_out.items()) if topology else ():
        yield f"  node {number:<8} none {why}"
    if found.problem:
        yield f"  NoSlowTier: {found.problem}"
