"""Runs in a node: what an agent with nothing to move takes, and what it takes from a program beside it.

    idle.py ROUNDS

The program writes a byte to each page of memory that lies where it should, over and over, as much work in each window.
In windows of `without` the agent is stopped; in those of `with` it goes through a few intervals. A window's value is
the CPU time of the program, in nanoseconds: what the agent does to its pages is in it, and what the agent itself uses
is not; that is `agent`, beside `wall`, the time that the windows of `with` took.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from thermocline_agent import runtime, state
from thermocline_kernel import process_stat
from thermocline_kernel.host import PAGE_BYTES, Host

BYTES = 64 << 20
# A fifth of the default, so that a window has a few.
INTERVAL_SECONDS = 2
WINDOW_SECONDS = 5.0
ORDER = ("without", "with", "with_again", "without_again")
POLICY = {
    "apiVersion": "thermocline.dev/v1alpha1",
    "kind": "MemoryTierPolicy",
    "metadata": {"name": "idle"},
    "spec": {
        "mode": "Enforce",
        "hotness": {"interval": f"{INTERVAL_SECONDS}s", "sources": ["IdlePage"]},
        "rules": [{"name": "work", "cgroups": ["work"], "placement": "Tier"}],
    },
}


def joined(group: str) -> None:
    """Have this process in a cgroup of its own."""
    root = Path("/sys/fs/cgroup")
    (root / "cgroup.subtree_control").write_text("+memory")
    (root / group).mkdir()
    (root / group / "cgroup.procs").write_text(f"{os.getpid()}\n")


def rounds_done(agent: subprocess.Popen[bytes]) -> int:
    """How many rounds the agent has told of; none before the first."""
    assert agent.poll() is None, "the agent has ended"
    try:
        return state.read(runtime.DEFAULT_FOLDER).report.last.number
    except state.NoState:
        return 0


def main() -> None:
    """Print a sample a line: ARM CASE ROUND VALUE."""
    host = Host()
    Path("/proc/sys/kernel/numa_balancing").write_text("0\n")
    policy = Path("/run/policy.json")
    policy.write_text(json.dumps(POLICY))
    agent = subprocess.Popen(["thermocline-agent", "run", "--policy", policy], stderr=subprocess.DEVNULL)
    joined("work")
    memory = np.zeros(BYTES, dtype=np.uint8)
    memory[::PAGE_BYTES] = 1
    while rounds_done(agent) < 5:
        memory[::PAGE_BYTES] += 1
        time.sleep(0.1)
    began, passes = time.monotonic(), 0
    agent.send_signal(signal.SIGSTOP)
    while time.monotonic() - began < WINDOW_SECONDS:
        memory[::PAGE_BYTES] += 1
        passes += 1
    for number in range(-1, int(sys.argv[1])):
        for arm in ORDER if number % 2 else reversed(ORDER):
            runs = arm.startswith("with_") or arm == "with"
            if runs:
                agent.send_signal(signal.SIGCONT)
            used, wall = process_stat.read(host, agent.pid).cpu_seconds, time.monotonic()
            began_ns = time.thread_time_ns()
            for _ in range(passes):
                memory[::PAGE_BYTES] += 1
            print(arm, "page", number, time.thread_time_ns() - began_ns)
            if runs:
                print("wall", "page", number, int((time.monotonic() - wall) * 1e9))
                used = process_stat.read(host, agent.pid).cpu_seconds - used
                print("agent", "page", number, int(used * 1e9))
                agent.send_signal(signal.SIGSTOP)
    agent.send_signal(signal.SIGCONT)
    told = state.read(runtime.DEFAULT_FOLDER).report
    assert told.last.promoted_pages == told.last.demoted_pages == 0, "there was something to move"
    status = dict(line.split(":", 1) for line in Path(f"/proc/{agent.pid}/status").read_text().splitlines())
    print("peak_kib", "resident", 0, status["VmHWM"].split()[0])
    print("resident_kib", "resident", 0, status["VmRSS"].split()[0])
    print("pages", "resident", 0, told.last.tracked_pages)
    agent.terminate()
    assert agent.wait(60) == 0


if __name__ == "__main__":
    main()
