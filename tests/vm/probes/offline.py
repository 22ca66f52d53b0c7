"""Runs in a node: memory that goes off line while an agent moves pages out of it; prints what became of both.

    offline.py SCENARIO

A scenario is JSON: `policy`, a manifest whose agent brings cgroup work's pages to node 0; `seconds`, how long that may
take. Once the first pages have moved, each memory block of node 1 goes off line and comes back.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from thermocline_kernel import move_pages

CGROUPS = Path("/sys/fs/cgroup")
BLOCKS = Path("/sys/devices/system/node/node1")
POLICY = Path("/run/policy.json")
LOG = Path("/run/agent.log")
PAGE_BYTES = 4096
NEARLY = 0.98
# A page of so many is looked at: looking at all of them all the time would be what the node does.
EVERY = 64


def started(group: str, region: str) -> tuple[int, np.ndarray[tuple[int], np.dtype[np.uint64]]]:
    """A program that writes its memory all the time, in a cgroup of its own, and the addresses of its pages."""
    folder = CGROUPS / group
    folder.mkdir()
    process = subprocess.Popen(
        ["/share/regions", region],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: (folder / "cgroup.procs").write_text(f"{os.getpid()}\n"),  # noqa: PLW1509
    )
    assert process.stdout is not None
    first, end = (int(word, 16) for word in process.stdout.readline().split())
    assert process.stdout.readline() == b"ready\n"
    return process.pid, np.arange(first, end, PAGE_BYTES, dtype=np.uint64)


def switched(block: Path) -> dict[str, Any]:
    """Take a block off line, and bring it back: how long the first took, and what the kernel said."""
    began, error = time.monotonic(), None
    try:
        (block / "state").write_text("offline")
    except OSError as err:
        error = err.strerror
    seconds = time.monotonic() - began
    # The agent has time to see that it is gone.
    time.sleep(4 if error is None else 0)
    if error is None:
        (block / "state").write_text("online_movable")
    return {"block": block.name, "seconds": seconds, "error": error}


def main() -> None:
    """Run a scenario."""
    scenario: dict[str, Any] = json.loads(sys.argv[1])
    Path("/proc/sys/kernel/numa_balancing").write_text("0\n")
    (CGROUPS / "cgroup.subtree_control").write_text("+memory")
    pid, pages = started("work", "1:32:100")

    def fast_share() -> float:
        return float((move_pages.query(pid, pages[::EVERY].copy()) == 0).mean())

    def came_up(share: float) -> bool:
        began = time.monotonic()
        while time.monotonic() - began < scenario["seconds"]:
            if fast_share() >= share:
                return True
            time.sleep(0.05)
        return False

    POLICY.write_text(json.dumps(scenario["policy"]))
    with LOG.open("wb") as log:
        agent = subprocess.Popen(["thermocline-agent", "run", "--policy", POLICY], stdout=log, stderr=log)
    moving = came_up(1.5 / len(pages[::EVERY]))
    share = fast_share()
    blocks = [switched(block) for block in sorted(BLOCKS.glob("memory[0-9]*"))]
    settled = came_up(NEARLY)
    alive = agent.poll() is None
    agent.send_signal(signal.SIGTERM)
    print(
        json.dumps(
            {
                "moving": moving,
                "share": share,
                "blocks": blocks,
                "settled": settled,
                "alive": alive,
                "status": agent.wait(120),
                "log": LOG.read_text()[-8000:],
            }
        )
    )


if __name__ == "__main__":
    main()
