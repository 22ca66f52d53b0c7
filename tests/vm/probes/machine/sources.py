"""Every source of a kernel looks at memory of known use."""

from __future__ import annotations

import mmap
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.vm.probes.machine.feed import fed
from tests.vm.probes.machine.heat import INTERVAL_SECONDS, of_pages, seen
from tests.vm.probes.machine.worker import MIB, REGIONS, Worker
from thermocline_agent.kdamonds import Kdamonds
from thermocline_agent.sources import damon as damon_source
from thermocline_agent.sources.idle_page import IdlePage
from thermocline_agent.sources.perf_mem import PerfMem
from thermocline_agent.sources.referenced import Referenced
from thermocline_agent.sources.source import Observation
from thermocline_agent.topology import Topology
from thermocline_kernel import pagemap
from thermocline_kernel.damon import Admin
from thermocline_kernel.host import PAGE_BYTES, Host
from thermocline_kernel.perf import Event

# PERF_COUNT_SW_PAGE_FAULTS_MIN of PERF_TYPE_SOFTWARE: an event whose sample has the address of a page just mapped.
MINOR_FAULTS = Event("minor faults", type=1, config=5)


def files(told: Callable[[], Observation]) -> dict[str, Any]:
    """A file read again and again, and one read once: what a source says of their pages."""
    folder = Path(tempfile.mkdtemp(dir="/root"))
    result = {}
    for name, times in (("cold", 1), ("hot", 5)):
        path = folder / name
        path.write_bytes(os.urandom(4 * MIB))
        os.sync()
        for _ in range(times):
            path.read_bytes()
            time.sleep(0.2)
    found = told()
    for name in ("cold", "hot"):
        with (folder / name).open("r+b") as file, mmap.mmap(file.fileno(), 0) as area:
            view = np.frombuffer(area, dtype=np.uint8)
            view[::PAGE_BYTES].sum()
            pfns = pagemap.read(Host(), "self", view.ctypes.data, 4 * MIB // PAGE_BYTES).pfns
            del view
        result[name] = of_pages(found, pfns)
    return result


def referenced(host: Host, topology: Topology) -> dict[str, Any]:
    """The source Referenced, on page cache."""
    source = Referenced(host, INTERVAL_SECONDS, 2.0)
    source.start(sorted(each for node in topology.nodes for each in node.frames))
    return files(source.observe)


def sampled(host: Host, topology: Topology) -> dict[str, Any]:
    """The source PerfMem, with an event that every machine has: the pages that it says were faulted in."""
    source = PerfMem(host, 1.0, events=lambda _: (MINOR_FAULTS,), period=1)
    source.start(sorted(each for node in topology.nodes for each in node.frames))
    pages = 300
    area = mmap.mmap(-1, pages * PAGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    view = np.frombuffer(area, dtype=np.uint8)
    view[::PAGE_BYTES] = 1
    told = source.observe()
    pfns = pagemap.read(host, "self", view.ctypes.data, pages).pfns
    source.stop()
    return {
        "faulted": of_pages(told, pfns),
        "sampled": int((told.counts * told.pages).sum()),
        "missed": told.missed,
    }


def sources(host: Host, topology: Topology, worker: Worker, available: set[str]) -> dict[str, Any]:
    """Every source that this kernel has."""
    found: dict[str, Any] = {
        "Referenced": referenced(host, topology),
        "Feed": fed(host, topology, worker),
        "PerfMem": sampled(host, topology),
    }
    huge = ["hot huge", "cold huge"]
    if "IdlePage" in available:
        found["IdlePage"] = seen(IdlePage(host, INTERVAL_SECONDS, 2.0), topology, worker, list(REGIONS), 1)
        few = IdlePage(host, INTERVAL_SECONDS, 0.001)
        few.start(sorted(each for node in topology.nodes for each in node.frames))
        found["IdlePage window pages"] = sum(each.pages for each in few.window)
        few.stop()
    damon = damon_source.Damon(host, Kdamonds(Admin(host)), INTERVAL_SECONDS, 4.0)
    found["Damon"] = seen(damon, topology, worker, huge, 3)
    found["Damon left"] = Admin(host).holder().name
    return found
