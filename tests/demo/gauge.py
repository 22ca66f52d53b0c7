"""Runs on a node, as root: where the pages of redis' values and of the batch job are, by the kernel's own figures.

    gauge.py REDIS_POD_UID BATCH_POD_UID place|watch

`place` moves all values to node 1 by move_pages(2), where they would be if DRAM had been full when they were stored,
and ends. `watch` prints a line of JSON every few seconds: the share of hot and of cold values on node 0 (by
move_pages(2), which tells where a page is), the anonymous bytes of the batch job and of redis on each node (their
cgroups' memory.numa_stat), and what the kernel has moved (/proc/vmstat).
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from thermocline_kernel import move_pages, vmstat
from thermocline_kernel.host import Host

PAGE = np.uint64(4096)
EVERY_SECONDS = 3
COUNTERS = ("pgmigrate_success", "move_phy_pages_success")


def group_of(uid: str) -> Path:
    """The cgroup of a pod."""
    (found,) = [path for path in Path("/sys/fs/cgroup/kubepods").rglob(f"pod{uid}") if path.is_dir()]
    return found


def redis_of(group: Path) -> int:
    """The process of redis-server in a pod."""
    for file in group.rglob("cgroup.procs"):
        for pid in file.read_text().split():
            if Path(f"/proc/{pid}/comm").read_text().strip() == "redis-server":
                return int(pid)
    raise SystemExit(f"no redis-server runs in {group}")


def pages_of(pid: int) -> dict[str, Any]:
    """The pages in which hot and cold values begin, by kind, as addresses in the process."""
    found: dict[str, list[int]] = {"hot": [], "cold": []}
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            words = line.split()
            if words[1][:2] != "rw" or (len(words) > 5 and words[5] != "[heap]"):
                continue
            first, end = (int(edge, 16) for edge in words[0].split("-"))
            data = os.pread(memory.fileno(), end - first, first)
            for match in re.finditer(rb"<(hot|cold) value \d{6}>\.", data):
                found[match[1].decode()].append(first + match.start())
    return {
        kind: np.unique(np.array(addresses, dtype=np.uint64) // PAGE) * PAGE
        for kind, addresses in found.items()
    }


def bytes_of(group: Path) -> list[int]:
    """The anonymous bytes of a cgroup on node 0 and on node 1."""
    (line,) = [line for line in (group / "memory.numa_stat").read_text().splitlines() if line[:5] == "anon "]
    by_node = dict(word.split("=") for word in line.split()[1:])
    return [int(by_node.get(f"N{node}", 0)) for node in (0, 1)]


def main() -> None:
    """Place, or watch."""
    redis, batch = (group_of(uid) for uid in sys.argv[1:3])
    pid = redis_of(redis)
    pages = pages_of(pid)
    if sys.argv[3] == "place":
        wanted = np.concatenate([pages["hot"], pages["cold"]])
        nodes = move_pages.move(pid, wanted, np.ones(wanted.size, dtype=np.int32))
        print(json.dumps({"pages": int(wanted.size), "slow": int((nodes == 1).sum())}))
        return
    home = Path(f"/sys/fs/cgroup/{Path(f'/proc/{pid}/cgroup').read_text().strip().partition('::/')[2]}")
    while True:
        counters = vmstat.machine(Host())
        print(
            json.dumps(
                {
                    "hot": float((move_pages.query(pid, pages["hot"]) == 0).mean()),
                    "cold": float((move_pages.query(pid, pages["cold"]) == 0).mean()),
                    "redis": bytes_of(home),
                    "batch": bytes_of(batch),
                    "counters": {name: counters[name] for name in sorted(counters) if name in COUNTERS},
                }
            ),
            flush=True,
        )
        time.sleep(EVERY_SECONDS)


main()
