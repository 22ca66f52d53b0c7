"""Runs in a node: an agent that is told to end in the middle of its work, again and again; prints how it took that.

    ends.py SCENARIO

A scenario is JSON: `policy`, a manifest whose agent brings cgroup work's pages to node 0; `ends`, how many agents are
told to end; `seconds`, how long one that is not may take. Before each start the pages are brought back to node 1. Every
other agent is told while it moves pages; the others at moments spread evenly over the time that a first one took. Time
is the node's: where it counts instructions, one of them takes a nanosecond, whatever the machine below has to do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thermocline_kernel import move_pages

Addresses: TypeAlias = NDArray[np.uint64]

CGROUPS = Path("/sys/fs/cgroup")
KDAMONDS = Path("/sys/kernel/mm/damon/admin/kdamonds")
POLICY = Path("/run/policy.json")
LOG = Path("/run/agent.log")
PAGE_BYTES = 4096
# What is busy just then stays where it is.
NEARLY = 0.98
# A page of so many is looked at while it moves: to look at all of them takes as long as a batch.
EVERY = 64


class Program:
    """Memory on node 1, written all the time, in a cgroup of its own."""

    def __init__(self, group: str, region: str) -> None:
        folder = CGROUPS / group
        folder.mkdir()
        self.process = subprocess.Popen(
            ["/share/regions", region],
            stdout=subprocess.PIPE,
            preexec_fn=lambda: (folder / "cgroup.procs").write_text(f"{os.getpid()}\n"),  # noqa: PLW1509
        )
        assert self.process.stdout is not None
        first, end = (int(word, 16) for word in self.process.stdout.readline().split())
        assert self.process.stdout.readline() == b"ready\n"
        self.pages: Addresses = np.arange(first, end, PAGE_BYTES, dtype=np.uint64)

    def fast_share(self, every: int = 1) -> float:
        """Which share of its pages is on node 0."""
        return float((move_pages.query(self.process.pid, self.pages[::every].copy()) == 0).mean())

    def sink(self) -> None:
        """Bring its pages to node 1."""
        move_pages.move(self.process.pid, self.pages, np.ones(self.pages.shape, dtype=np.int32), shared=True)


def started() -> subprocess.Popen[bytes]:
    """An agent that has taken the signal over from Python, which ends by it; what it says is added to the log."""
    with LOG.open("ab") as log:
        agent = subprocess.Popen(["thermocline-agent", "run", "--policy", POLICY], stdout=log, stderr=log)
    status = Path(f"/proc/{agent.pid}/status")
    while agent.poll() is None:
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) & 1 << signal.SIGTERM - 1:
            break
        time.sleep(0.01)
    return agent


def came_up(agent: subprocess.Popen[bytes], program: Program, share: float, seconds: float) -> float | None:
    """How long it took until this share of the pages was on node 0; None when it did not come, or the agent ended."""
    began = time.monotonic()
    while (spent := time.monotonic() - began) < seconds and agent.poll() is None:
        if program.fast_share(EVERY) >= share:
            return spent
        time.sleep(0.001)
    return None


def ended(agent: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Tell the agent to end: its status, and how long it took to."""
    alive = agent.poll() is None
    began = time.monotonic()
    agent.send_signal(signal.SIGTERM)
    status = agent.wait(120)
    return {"alive": alive, "status": status, "seconds": time.monotonic() - began}


def main() -> None:
    """Run a scenario."""
    scenario: dict[str, Any] = json.loads(sys.argv[1])
    Path("/proc/sys/kernel/numa_balancing").write_text("0\n")
    (CGROUPS / "cgroup.subtree_control").write_text("+memory")
    work = Program("work", "1:64:100")
    POLICY.write_text(json.dumps(scenario["policy"]))
    agent = started()
    took = came_up(agent, work, NEARLY, scenario["seconds"])
    ends = [{"share": work.fast_share(), **ended(agent)}]
    for number in range(scenario["ends"] if took is not None else 0):
        work.sink()
        agent = started()
        if number % 2:
            came_up(agent, work, 1.5 / len(work.pages[::EVERY]), scenario["seconds"])
        else:
            time.sleep((number + 1) / (scenario["ends"] + 1) * took)
        found = ended(agent)
        ends.append({"share": work.fast_share(), **found})
    kdamonds = sum(path.read_text() == "on\n" for path in KDAMONDS.glob("*/state"))
    print(json.dumps({"took": took, "ends": ends, "kdamonds": kdamonds, "log": LOG.read_text()[-8000:]}))


if __name__ == "__main__":
    main()
