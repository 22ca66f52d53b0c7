"""Runs in a node: an agent that is killed again and again, wherever it is; prints what each left, and how it went on.

    kills.py SCENARIO

A scenario is JSON: `policy`, a manifest whose agent brings cgroup work's pages to node 0; `kills`, how many agents are
killed; `seed`, for the moments; `seconds`, how long an agent that nobody kills may take. Before each start the pages
are brought back to node 1. Every other agent is killed at a moment between its start and about its first move, by the
time that a first one took, and spread evenly; the others between their first move and a little after the last.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thermocline_agent import runtime, state
from thermocline_kernel import move_pages

Addresses: TypeAlias = NDArray[np.uint64]

CGROUPS = Path("/sys/fs/cgroup")
KDAMONDS = Path("/sys/kernel/mm/damon/admin/kdamonds")
POLICY = Path("/run/policy.json")
LOG = Path("/run/agent.log")
PAGE_BYTES = 4096
# What is busy just then stays where it is.
NEARLY = 0.98
# So long after its first move an agent is through with them, whatever else the machine below has to do.
MOVING_SECONDS = 1.5


class Program:
    """Memory on one node, written all the time, in a cgroup of its own."""

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

    def fast_share(self) -> float:
        """Which share of its pages is on node 0."""
        return float((move_pages.query(self.process.pid, self.pages) == 0).mean())

    def sink(self) -> None:
        """Bring its pages to node 1."""
        move_pages.move(self.process.pid, self.pages, np.ones(self.pages.shape, dtype=np.int32), shared=True)


def started() -> subprocess.Popen[bytes]:
    """An agent; what it says is added to the log."""
    with LOG.open("ab") as log:
        return subprocess.Popen(["thermocline-agent", "run", "--policy", POLICY], stdout=log, stderr=log)


def isolated_pages() -> int:
    """Pages that are in somebody's hands, once what CPUs count for themselves is counted in."""
    Path("/proc/sys/vm/stat_refresh").write_text("1")
    words = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return int(words["nr_isolated_anon"]) + int(words["nr_isolated_file"])


def kdamonds_on() -> int:
    """How many of DAMON's threads run."""
    return sum(path.read_text() == "on\n" for path in KDAMONDS.glob("*/state"))


def state_left() -> str:
    """Whether the state that was left can be read: none or whole, or why not."""
    try:
        state.read(runtime.DEFAULT_FOLDER)
    except state.NoState as err:
        return "none" if "no agent has run" in str(err) else str(err)
    return "whole"


def came_up(
    agent: subprocess.Popen[bytes], program: Program, seconds: float, share: float = NEARLY
) -> float | None:
    """How long the agent took to have this share of the pages on node 0; None when it did not, or ended."""
    began = time.monotonic()
    while (spent := time.monotonic() - began) < seconds and agent.poll() is None:
        if program.fast_share() >= share:
            return spent
        time.sleep(0.05)
    return None


def ended(agent: subprocess.Popen[bytes]) -> int:
    """The status of an agent that is told to end."""
    agent.send_signal(signal.SIGTERM)
    return agent.wait(120)


def main() -> None:
    """Run a scenario."""
    scenario: dict[str, Any] = json.loads(sys.argv[1])
    Path("/proc/sys/kernel/numa_balancing").write_text("0\n")
    (CGROUPS / "cgroup.subtree_control").write_text("+memory")
    work, other = Program("work", "1:8:100"), Program("other", "0:4:0")
    POLICY.write_text(json.dumps(scenario["policy"]))
    agent = started()
    took = came_up(agent, work, scenario["seconds"])
    first_status = ended(agent)
    moments, left = random.Random(scenario["seed"]), []  # noqa: S311 - moments, and no secret
    for number in range(scenario["kills"] if took is not None else 0):
        work.sink()
        runtime.state_file(runtime.DEFAULT_FOLDER).unlink(missing_ok=True)
        # One in each of as many pieces of the time as there are kills: all of it has its turn.
        part = (number + moments.random()) / scenario["kills"]
        agent = started()
        if number % 2:
            came_up(agent, work, scenario["seconds"], 0.01)
            moment = part * MOVING_SECONDS
        else:
            moment = part * (took or 0.0)
        time.sleep(moment)
        alive = agent.poll() is None
        agent.kill()
        agent.wait()
        deadline = time.monotonic() + 10
        while (isolated := isolated_pages()) and time.monotonic() < deadline:
            time.sleep(0.1)
        left.append(
            {
                "moment": moment,
                "alive": alive,
                "fast": work.fast_share(),
                "state": state_left(),
                "isolated": isolated,
                "kdamonds": kdamonds_on(),
                "other": other.fast_share(),
            }
        )
    work.sink()
    agent = started()
    took_at_last = came_up(agent, work, scenario["seconds"])
    print(
        json.dumps(
            {
                "took": took,
                "first_status": first_status,
                "left": left,
                "took_at_last": took_at_last,
                "last_status": ended(agent),
                "kdamonds": kdamonds_on(),
                "isolated": isolated_pages(),
                "log": LOG.read_text()[-8000:],
            }
        )
    )


if __name__ == "__main__":
    main()
