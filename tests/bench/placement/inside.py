"""Runs in a node: for each arm in turn, programs whose accesses are known, and what moves their pages beside them.

    inside.py SETUP

SETUP is JSON: `programs`, the arguments of `tiers` (on the shared folder) by cgroup; `arms`, by name, each with `words`
(what stands for which words of those arguments), `sysctls` (files and what is written into them), `kdamonds` (files
below DAMON's admin folder, in order), and `policy`, a manifest for the agent; `free_mib`, what the ballast leaves of
fast memory once all of that runs, which an arm may have of its own. A line of JSON an arm is printed: the lines of each
program, what the counters of /proc/vmstat rose by, the CPU time of programs, of the agent, and of the kernel's threads,
and what became of pages that the agent tried to move.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TIERS = Path("/tmp/tiers")
CGROUPS = Path("/sys/fs/cgroup")
DAMON = Path("/sys/kernel/mm/damon/admin/kdamonds")
POLICY = Path("/run/policy.json")
LOG = Path("/run/agent.log")
STATE = Path("/run/thermocline/state.json")
HUGE_PAGES = Path("/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages")
# Of /proc/vmstat, what tells of moves between nodes.
COUNTERS = ("pgmigrate", "pgpromote", "pgdemote", "numa_", "pgsteal_kswapd", "pswp")
# Rounds that an agent is given before there is anything to move.
ROUNDS_BEFORE = 2


def started(words: list[str], group: str | None = None) -> subprocess.Popen[str]:
    """A process of `tiers` that has said that it is ready, in a cgroup."""
    folder = CGROUPS / (group or "")
    if group:
        for each in (*reversed(Path(group).parents[:-1]), Path(group)):
            (CGROUPS / each.parent / "cgroup.subtree_control").write_text("+memory")
            (CGROUPS / each).mkdir(exist_ok=True)
    process = subprocess.Popen(
        [TIERS, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: (folder / "cgroup.procs").write_text(f"{os.getpid()}\n"),  # noqa: PLW1509
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", f"{words} did not start"
    return process


def cpu_ns(pid: int) -> int:
    """The CPU time of a process or a kernel's thread so far."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def threads_of_kernel() -> dict[str, int]:
    """The CPU time so far of the kernel's threads that reclaim or watch memory."""
    found: dict[str, int] = {}
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            name = comm.read_text().strip()
            if name.startswith(("kswapd", "kdamond", "kcompactd")):
                found[name] = found.get(name, 0) + cpu_ns(int(comm.parent.name))
    return found


def counters() -> dict[str, int]:
    """What /proc/vmstat counts of moves."""
    lines = (line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return {name: int(value) for name, value in lines if name.startswith(COUNTERS)}


def risen(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What has risen, and by how much."""
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}


def addresses() -> dict[str, str]:
    """Where each node's memory begins and ends; a node's is in one piece."""
    found = {}
    size = int(Path("/sys/devices/system/memory/block_size_bytes").read_text(), 16)
    for node in Path("/sys/devices/system/node").glob("node[0-9]*"):
        blocks = [int(block.name.removeprefix("memory")) for block in node.glob("memory[0-9]*")]
        number = node.name.removeprefix("node")
        found[f"START_OF_NODE_{number}"] = str(min(blocks) * size)
        found[f"END_OF_NODE_{number}"] = str((max(blocks) + 1) * size)
    return found


def administer(path: str, text: str) -> None:
    """Write a file of DAMON's. It has one lock for all of them, on which nobody waits."""
    deadline = time.monotonic() + 30
    while True:
        try:
            (DAMON / path).write_text(text)
        except OSError as err:
            if err.errno != errno.EBUSY or time.monotonic() > deadline:
                raise OSError(err.errno, f"{path}: {text}") from err
            time.sleep(0.05)
        else:
            return


def results() -> dict[str, int]:
    """What became of pages that the agent tried to move, by its log."""
    found: dict[str, int] = {}
    for name, pages in re.findall(r"(?:results=|,)([A-Z_]+):(\d+)", LOG.read_text()):
        found[name] = found.get(name, 0) + int(pages)
    return found


def reported_rounds() -> int:
    """How many rounds the agent has told of."""
    with contextlib.suppress(FileNotFoundError):
        return LOG.read_text().count("round=")
    return 0


@contextlib.contextmanager
def moved_by(arm: Mapping[str, Any]) -> Iterator[subprocess.Popen[bytes] | None]:
    """Have what moves pages in this arm run; the agent, if it is one of its arms."""
    before = {path: Path(path).read_text() for path in arm.get("sysctls", {})}
    for path, text in arm.get("sysctls", {}).items():
        Path(path).write_text(text)
    for path, text in arm.get("kdamonds", []):
        administer(path, addresses().get(text, text))
    agent = None
    if "policy" in arm:
        # No arm begins where another ended.
        shutil.rmtree(STATE.parent, ignore_errors=True)
        LOG.unlink(missing_ok=True)
        POLICY.write_text(json.dumps(arm["policy"]))
        with LOG.open("w") as log:
            agent = subprocess.Popen(["thermocline-agent", "run", "--policy", POLICY], stdout=log, stderr=log)
        while reported_rounds() < ROUNDS_BEFORE:
            assert agent.poll() is None, LOG.read_text()
            time.sleep(1)
    try:
        yield agent
    finally:
        if agent is not None:
            agent.send_signal(signal.SIGTERM)
            agent.wait(600)
        if arm.get("kdamonds"):
            for kdamond in DAMON.glob("[0-9]*"):
                administer(f"{kdamond.name}/state", "off")
            administer("nr_kdamonds", "0")
        # What was on last goes first.
        for path, text in reversed(before.items()):
            Path(path).write_text(text)


def scarce(free_mib: int) -> None:
    """Leave little more than this of fast memory. What takes the rest is nothing that anybody reclaims or migrates."""
    (free,) = re.findall(r"MemFree: *(\d+) kB", Path("/sys/devices/system/node/node0/meminfo").read_text())
    HUGE_PAGES.write_text(str(max((int(free) // 1024 - free_mib) // 2, 0)))


def played(setup: Mapping[str, Any], arm: Mapping[str, Any]) -> dict[str, Any]:
    """One arm, from programs that start to programs that end."""
    Path("/proc/sys/vm/drop_caches").write_text("3\n")
    with moved_by(arm) as agent:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
        free_mib = arm.get("free_mib", setup["free_mib"])
        scarce(free_mib)
        ballast = started(["ballast", str(free_mib)])
        programs = {
            group: started([arm["words"].get(word, word) for word in words.split()], group)
            for group, words in setup["programs"].items()
        }
        before, threads, began = counters(), threads_of_kernel(), time.monotonic()
        agent_began = cpu_ns(agent.pid) if agent else 0
        for process in programs.values():
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        lines = {
            group: [json.loads(line) for line in process.stdout or ()] for group, process in programs.items()
        }
        agent_ns = cpu_ns(agent.pid) - agent_began if agent else 0
        after, threads_after, took = counters(), threads_of_kernel(), time.monotonic() - began
        statuses = [process.wait() for process in programs.values()]
        assert ballast.stdin is not None
        ballast.stdin.close()
        ballast.wait()
        HUGE_PAGES.write_text("0")
    assert not any(statuses), f"programs ended with {statuses}"
    told = {
        "programs": lines,
        "seconds": round(took, 2),
        "vmstat": risen(before, after),
        "agent_ns": agent_ns,
        "kernel_ns": risen(threads, threads_after),
    }
    if agent is not None:
        told["results"] = results()
        told["log"] = LOG.read_text().splitlines()[-80:]
    return told


def main() -> None:
    """Play every arm."""
    setup: dict[str, Any] = json.loads(sys.argv[1])
    shutil.copy("/share/tiers", TIERS)
    # Nobody makes room by what this process does not use now.
    assert ctypes.CDLL(None).mlockall(3) == 0
    if not Path("/sys/kernel/debug/sched").exists():
        subprocess.run(["mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug"], check=True)
    for path, text in setup.get("files", {}).items():
        Path(path).write_text(text)
    for name, arm in setup["arms"].items():
        began = time.time()
        print(json.dumps({"arm": name, **played(setup, arm)}), flush=True)
        print(f"{name}: {time.time() - began:.0f} s of the node's time", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
