"""What sources say of memory of known use."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tests.vm.probes.machine.worker import Worker
from thermocline_agent.sources.source import Observation, Source
from thermocline_agent.topology import Topology
from thermocline_kernel.arrays import U64

INTERVAL_SECONDS = 4.0


def seen(source: Source, topology: Topology, worker: Worker, names: list[str], rounds: int) -> dict[str, Any]:
    """What the last of some rounds says of each region: mean count, and which share of its pages is known."""
    frames = sorted(each for node in topology.nodes for each in node.frames)
    source.start(frames)
    told: Observation | None = None
    for _ in range(rounds):
        time.sleep(INTERVAL_SECONDS)
        told = source.observe()
    source.stop()
    assert told is not None
    return {
        "cpu_seconds": told.cpu_seconds,
        "extents": int(told.pages.size),
        **by_region(told, worker, names),
    }


def by_region(told: Observation, worker: Worker, names: list[str]) -> dict[str, Any]:
    """Mean count and known share."""
    return {name: of_pages(told, worker.pfns(name)) for name in names}


def of_pages(told: Observation, pfns: U64) -> dict[str, float]:
    """Of single frames."""
    if told.pages.size == 0:
        return {"known": 0.0, "mean": 0.0}
    ends = told.first_pfns + told.pages
    at = np.minimum(np.searchsorted(ends, pfns, side="right"), max(0, told.pages.size - 1))
    known = (told.first_pfns[at] <= pfns) & (pfns < ends[at])
    counts = told.counts[at][known]
    full = told.full or 1
    return {"known": float(known.mean()), "mean": float(counts.mean() / full) if counts.size else 0.0}
