"""Runs in a node: has sources look at memory of known use, and engines move pages of it; prints as JSON what came out.

python3 -m tests.vm.probes.machine [sources] [engines] [faults]
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.vm.probes.machine.engines import moved
from tests.vm.probes.machine.faults import faults
from tests.vm.probes.machine.sources import sources
from tests.vm.probes.machine.worker import Worker
from thermocline_agent.engines import damon as damon_engine
from thermocline_agent.engines.engine import Engine
from thermocline_agent.engines.move_pages import MovePages
from thermocline_agent.engines.physical_call import PhysicalCall
from thermocline_agent.kdamonds import Kdamonds
from thermocline_agent.probe import probe
from thermocline_kernel.damon import Admin
from thermocline_kernel.host import Host


def main() -> None:
    """Do what is asked."""
    host = Host()
    found = probe(host)
    topology = found.topology
    assert topology is not None
    available = {each.name for each in found.capabilities if each.available and each.kind == "Source"}
    able = {each.name for each in found.capabilities if each.available and each.kind == "Engine"}
    told: dict[str, Any] = {"sources": sorted(available), "engines": sorted(able)}
    if "sources" in sys.argv or "engines" in sys.argv:
        process = Worker(host)
        before = process.digest()
        if "sources" in sys.argv:
            told["seen"] = sources(host, topology, process, available)
        if "engines" in sys.argv:
            fast = frozenset(node.number for node in topology.fast)
            every: dict[str, Engine] = {
                "PhysicalCall": PhysicalCall(host),
                "Damon": damon_engine.Damon(host, Kdamonds(Admin(host)), fast),
                "MovePages": MovePages(host),
            }
            told["moved"] = {name: moved(host, topology, process, every[name]) for name in sorted(able)}
        told["whole"] = process.digest() == before
        process.end()
    if "faults" in sys.argv:
        told["faults"] = faults(host)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
