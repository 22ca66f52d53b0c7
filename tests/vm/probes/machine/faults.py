"""DAMON that others hold, and DAMON that was left running."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from tests.vm.probes.machine.heat import INTERVAL_SECONDS
from thermocline_agent import inventory
from thermocline_agent.kdamonds import Kdamonds
from thermocline_agent.probe import probe
from thermocline_agent.sources import damon as damon_source
from thermocline_agent.topology import arrange
from thermocline_kernel.damon import Admin, Holder
from thermocline_kernel.errors import Busy
from thermocline_kernel.host import Host


def faults(host: Host) -> dict[str, Any]:
    """DAMON that others hold, DAMON that a killed agent left, DAMON's modules."""
    admin = Admin(host)
    root = admin.root
    told: dict[str, Any] = {}
    (root / "nr_kdamonds").write_text("1")
    (root / "0/contexts/nr_contexts").write_text("1")
    (root / "0/contexts/0/monitoring_attrs/intervals/aggr_us").write_text("123456")
    try:
        admin.claim(1)
    except Busy as err:
        told["others"] = str(err)
    told["released"] = admin.release()
    told["untouched"] = (root / "0/contexts/0/monitoring_attrs/intervals/aggr_us").read_text().strip()
    told["probe"] = [each.reason for each in probe(host).capabilities if each.name == "Damon"]
    (root / "nr_kdamonds").write_text("0")

    child = os.fork()
    if child == 0:
        frames = sorted(each for node in arrange(inventory.read(host)).nodes for each in node.frames)
        damon_source.Damon(host, Kdamonds(Admin(host)), INTERVAL_SECONDS, 0.5).start(frames)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    told["left"] = [admin.holder().name, admin.running(0)]
    admin.claim(1)
    told["claimed"] = [admin.holder().name, admin.running(0)]
    admin.release()
    told["after"] = admin.holder().name

    enabled = Path("/sys/module/damon_reclaim/parameters/enabled")
    if enabled.exists():
        enabled.write_text("Y")
        told["module"] = [each.reason for each in probe(host).capabilities if each.name == "Damon"]
        source = damon_source.Damon(host, Kdamonds(admin), INTERVAL_SECONDS, 0.5)
        try:
            source.start(arrange(inventory.read(host)).fast[0].frames)
        except Busy as err:
            told["module source"] = type(err).__name__
        source.stop()
        enabled.write_text("N")
    told["end"] = admin.holder().name
    assert told["end"] == Holder.NOBODY.name
    return told
