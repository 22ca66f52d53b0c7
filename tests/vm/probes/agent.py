"""Runs in a node: programs in cgroups, and the agent beside them; prints where the programs' pages are, as JSON.

    agent.py SCENARIO

A scenario is JSON: `programs`, the arguments of `regions` (on the shared folder) by cgroup; `policy`, a manifest;
`command` of `thermocline-agent` (run) and its `arguments`; `seconds`, how long it may take until it ends or `wanted`
holds, which is the least share of each region's pages on node 0, or the most with a minus, by cgroup; `rewrite`,
another text for the policy's file after that, which then has `rewrite_seconds` to be read; `ask`, commands of the
agent's that are asked at the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REGIONS = Path("/share/regions")
CGROUPS = Path("/sys/fs/cgroup")
POLICY = Path("/run/policy.json")
STATE = Path("/run/thermocline/state.json")


class Program:
    """One `regions`, in a cgroup."""

    def __init__(self, path: str, words: list[str]) -> None:
        folder = CGROUPS / path
        for each in (*reversed(folder.relative_to(CGROUPS).parents[:-1]), folder.relative_to(CGROUPS)):
            (CGROUPS / each.parent / "cgroup.subtree_control").write_text("+memory")
            (CGROUPS / each).mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [REGIONS, *words],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: (folder / "cgroup.procs").write_text(f"{os.getpid()}\n"),  # noqa: PLW1509
        )
        self.bounds: list[tuple[int, int]] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line == "ready\n":
                break
            first, end = line.split()
            self.bounds.append((int(first, 16), int(end, 16)))
        assert len(self.bounds) == len(words), "regions did not start"

    def fast_shares(self) -> list[float]:
        """Which share of each region's pages is on node 0."""
        fast, total = [0] * len(self.bounds), [0] * len(self.bounds)
        for line in Path(f"/proc/{self.process.pid}/numa_maps").read_text().splitlines():
            address = int(line.split()[0], 16)
            unit = int(found[1]) if (found := re.search(r"kernelpagesize_kB=(\d+)", line)) else 4
            for place, (first, end) in enumerate(self.bounds):
                if first <= address < end:
                    for node, pages in re.findall(r"N(\d+)=(\d+)", line):
                        total[place] += int(pages) * unit
                        fast[place] += int(pages) * unit * (node == "0")
        return [part / whole if whole else -1.0 for part, whole in zip(fast, total, strict=True)]


def reached(shares: dict[str, list[float]], wanted: dict[str, list[float]]) -> bool:
    """Whether every region is where it should be."""
    return all(
        share <= -want if want < 0 else share >= want
        for path, wants in wanted.items()
        for share, want in zip(shares[path], wants, strict=True)
    )


def main() -> None:
    """Run a scenario."""
    scenario: dict[str, Any] = json.loads(sys.argv[1])
    # Even without its tiering, NUMA balancing brings what a CPU touches to that CPU's node: what is measured is ours.
    Path("/proc/sys/kernel/numa_balancing").write_text("0\n")
    programs = {path: Program(path, words.split()) for path, words in scenario["programs"].items()}
    POLICY.write_text(json.dumps(scenario["policy"]))
    before = {path: program.fast_shares() for path, program in programs.items()}
    log = Path("/run/agent.log")
    with log.open("w") as file:
        agent = subprocess.Popen(
            [
                "thermocline-agent",
                scenario.get("command", "run"),
                "--policy",
                POLICY,
                *scenario.get("arguments", []),
            ],
            stdout=file,
            stderr=file,
        )
    began = time.monotonic()
    while time.monotonic() - began < scenario["seconds"] and agent.poll() is None:
        time.sleep(0.5)
        if reached({path: program.fast_shares() for path, program in programs.items()}, scenario["wanted"]):
            break
    took = time.monotonic() - began
    if "rewrite" in scenario:
        POLICY.write_text(scenario["rewrite"])
        time.sleep(scenario["rewrite_seconds"])
    after = {path: program.fast_shares() for path, program in programs.items()}
    told = asked(scenario.get("ask", []))
    stopped = time.monotonic()
    agent.send_signal(signal.SIGTERM)
    status = agent.wait(120)
    stopped = time.monotonic() - stopped
    state = None
    with contextlib.suppress(FileNotFoundError):
        state = json.loads(STATE.read_text())
    print(
        json.dumps(
            {
                "before": before,
                "after": after,
                "seconds": took,
                "status": status,
                "stop_seconds": stopped,
                "log": log.read_text(),
                "state": state,
                "asked": told,
            }
        )
    )


def asked(commands: list[list[str]]) -> list[dict[str, Any]]:
    """What the agent's other commands say while it runs."""
    found = []
    for words in commands:
        done = subprocess.run(
            ["thermocline-agent", *words], capture_output=True, text=True, check=False, timeout=240
        )
        found.append({"status": done.returncode, "out": done.stdout, "err": done.stderr})
    return found


if __name__ == "__main__":
    main()
