"""What engines move of memory of known place, and what they leave alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.vm.probes.machine.worker import Worker
from thermocline_agent.engines import engine as engines
from thermocline_agent.engines.engine import Engine, Outcome, Request
from thermocline_agent.topology import Topology
from thermocline_kernel import cgroup
from thermocline_kernel.arrays import U64
from thermocline_kernel.host import Host


def moved(host: Host, topology: Topology, worker: Worker, engine: Engine) -> dict[str, Any]:
    """What an engine does when it is told to move every other page of a region, and one page of a huge one."""
    slow, fast = topology.slow[0].number, topology.fast[0].number
    told: dict[str, Any] = {}
    for way, target in (("demoted", slow), ("promoted", fast)):
        pfns = worker.pfns("cold")[:256]
        named = pfns[::2]
        outcome = engines.migrate(engine, host, moves(named, target, worker.inode))
        nodes = topology.nodes_of(worker.pfns("cold")[:256])
        told[way] = {
            **results(outcome),
            "named there": float((nodes[::2] == target).mean()),
            "others there": float((nodes[1::2] == target).mean()),
            "numa_maps": worker.numa_pages("cold").get(str(slow), 0),
            "frames kept": float((worker.pfns("cold")[1:256:2] == pfns[1::2]).mean()),
        }
        huge = worker.pfns("cold huge")
        outcome = engines.migrate(engine, host, moves(huge[:1], target, worker.inode))
        nodes = topology.nodes_of(worker.pfns("cold huge"))
        told[way]["huge"] = {**results(outcome), "pages there": int((nodes == target).sum())}
    pfns = worker.pfns("cold")[:16]
    other = (cgroup.root(host) / "job").stat().st_ino
    for name, owner in (("another's", other), ("nobody's", 0)):
        outcome = engines.migrate(engine, host, moves(pfns, slow, owner))
        told[name] = {**results(outcome), "moved": int((worker.pfns("cold")[:16] != pfns).sum())}
    engine.stop()
    return told


def moves(pfns: U64, target: int, inode: int) -> Request:
    return Request(
        pfns, np.full(pfns.shape, target, dtype=np.int32), np.full(pfns.shape, inode, dtype=np.uint64)
    )


def results(outcome: Outcome) -> dict[str, Any]:
    return {
        "results": {result.name: count for result, count in outcome.counts.items()},
        "error": outcome.error,
    }
