"""Runs in a node: the agent as a container of the chart's has it, and with each of its rights taken away; prints JSON.

    privileges.py CAPABILITIES

CAPABILITIES are those that the chart gives, separated by commas. A container is made as a runtime makes it: PID, cgroup
and mount namespaces of its own, a read-only root and /sys, and of the node what the chart mounts. For each case it
prints what `thermocline-agent run --once` says, the status that it leaves, and what became of an idle service that its
policy wants in slow memory.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

CGROUPS = Path("/sys/fs/cgroup")
STATE = Path("/run/thermocline/state.json")
MOUNTS = ("mm", "cgroups", "run")
POLICY = {
    "apiVersion": "thermocline.dev/v1alpha1",
    "kind": "MemoryTierPolicy",
    "metadata": {"name": "lone"},
    "spec": {
        "mode": "Enforce",
        "hotness": {"interval": "1s", "cpuLimit": "1"},
        "guards": {"memoryPressure": {"someAvg60": "10000bp", "fullAvg10": "10000bp"}},
        "rules": [{"name": "service", "cgroups": ["service"], "placement": "PreferSlow"}],
    },
}
# What a runtime does before it starts a container's process; what is mounted of the node is kept aside first.
CONTAINER = """
set -e
mount -t tmpfs none /mnt
mkdir /mnt/mm /mnt/cgroups /mnt/run
mount --bind /sys/kernel/mm /mnt/mm
mount --bind /sys/fs/cgroup /mnt/cgroups
mount -o remount,bind,ro /mnt/cgroups
mkdir -p /run/thermocline
mount --bind /run/thermocline /mnt/run
mount -o remount,bind,ro /sys
mount -t cgroup2 -o ro none /sys/fs/cgroup
mount -o remount,bind,ro /
mount -t tmpfs -o ro none /run/thermocline
case $MOUNTED in *mm*) mount --bind /mnt/mm /sys/kernel/mm;; esac
case $MOUNTED in *cgroups*) mount --bind /mnt/cgroups /sys/fs/cgroup;; esac
case $MOUNTED in *run*) mount --bind /mnt/run /run/thermocline;; esac
umount -l /mnt
exec setpriv --inh-caps="$CAPABILITIES" --bounding-set="$CAPABILITIES" "$@"
"""


def in_a_container(capabilities: list[str], mounted: list[str], *words: str) -> dict[str, Any]:
    """How a command ends there."""
    pod = CGROUPS / "pod"
    pod.mkdir(exist_ok=True)
    done = subprocess.run(
        [
            "unshare", "--mount", "--pid", "--cgroup", "--fork", "--mount-proc", "--propagation", "private",
            "sh", "-c", CONTAINER, "sh", *words,
        ],
        env={
            **os.environ,
            "CAPABILITIES": ",".join(["-all", *(f"+{name.lower()}" for name in capabilities)]),
            "MOUNTED": " ".join(mounted),
        },
        preexec_fn=lambda: (pod / "cgroup.procs").write_text(f"{os.getpid()}\n"),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )  # fmt: skip
    return {"status": done.returncode, "out": done.stdout, "err": done.stderr}


def fast_pages(pid: int) -> int:
    """Pages of a program's data on node 0."""
    total = 0
    for line in Path(f"/proc/{pid}/numa_maps").read_text().splitlines():
        if "anon=" in line:
            total += sum(int(word[3:]) for word in line.split() if word.startswith("N0="))
    return total


def case(capabilities: list[str], mounted: list[str]) -> dict[str, Any]:
    """One set of rights."""
    folder = CGROUPS / "service"
    folder.mkdir(exist_ok=True)
    service = subprocess.Popen(
        ["/share/regions", "0:8:0"], stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: (folder / "cgroup.procs").write_text(f"{os.getpid()}\n"),  # noqa: PLW1509
    )  # fmt: skip
    assert service.stdout is not None
    for line in service.stdout:
        if line == "ready\n":
            break
    before = fast_pages(service.pid)
    STATE.unlink(missing_ok=True)
    told = in_a_container(
        capabilities, mounted, "thermocline-agent", "run", "--policy", "/share/policy.json", "--once"
    )
    after = fast_pages(service.pid)
    service.send_signal(signal.SIGKILL)
    service.wait()
    status = json.loads(STATE.read_text())["status"] if STATE.exists() else None
    return {"run": told, "status": status, "before": before, "after": after}


def main() -> None:
    """Print every case by its name."""
    given = sys.argv[1].split(",")
    Path("/proc/sys/kernel/numa_balancing").write_text("0\n")
    (CGROUPS / "cgroup.subtree_control").write_text("+memory")
    Path("/share/policy.json").write_text(json.dumps(POLICY))
    cases = {"all": (given, list(MOUNTS))}
    for name in given:
        cases[f"without {name}"] = ([each for each in given if each != name], list(MOUNTS))
    for name in MOUNTS:
        cases[f"without {name}"] = (given, [each for each in MOUNTS if each != name])
    print(json.dumps({name: case(*rights) for name, rights in cases.items()}))


if __name__ == "__main__":
    main()
