"""The network namespace of a cluster, and everything that runs in it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab import process
from tests.lab.cluster.plan import BRIDGE, CONTROL_PLANE_IP, Plan
from tests.lab.errors import LabError

NAMESPACES = Path("/run/netns")


def exists(plan: Plan) -> bool:
    """Whether the cluster's namespace is there."""
    return (NAMESPACES / plan.namespace).exists()


def inside(plan: Plan, argv: Sequence[str | Path]) -> list[str]:
    """The command that runs `argv` in the cluster's namespace."""
    return ["nsenter", f"--net={NAMESPACES / plan.namespace}", "--", *(str(word) for word in argv)]


def create(plan: Plan) -> None:
    """Make the namespace, its bridge and a tap for each node, with routes to the nodes' pods."""
    process.output_of(["ip", "netns", "add", plan.namespace])
    commands = [
        "link set lo up",
        f"link add {BRIDGE} type bridge",
        f"addr add {CONTROL_PLANE_IP}/24 dev {BRIDGE}",
        f"link set {BRIDGE} up",
    ]
    for member in plan.members:
        commands += [
            f"tuntap add {member.tap} mode tap",
            f"link set {member.tap} master {BRIDGE} up",
            f"route add {member.pod_cidr} via {member.ip}",
        ]
    for command in commands:
        process.output_of(["ip", "-n", plan.namespace, *command.split()])


def start(
    plan: Plan,
    argv: Sequence[str | Path],
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> int:
    """Start a process that goes on when the lab's command has ended; returns its PID, once it is in the namespace."""
    with log.open("ab") as output:
        started = subprocess.Popen(
            inside(plan, argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=cwd,
            pass_fds=pass_fds,
            env={**os.environ, **(env or {})},
        )
    # nsenter needs a moment: whoever looks for the process, or kills it, shall find it in its namespace.
    while started.poll() is None and started.pid not in processes(plan):
        time.sleep(0.01)
    return started.pid


def processes(plan: Plan) -> list[int]:
    """PIDs of all processes in the namespace."""
    return [int(pid) for pid in process.output_of(["ip", "netns", "pids", plan.namespace]).split()]


def remove(plan: Plan) -> None:
    """Kill whatever runs in the namespace and remove it; bridge and taps go with it."""
    if not exists(plan):
        return
    while pids := processes(plan):
        kill(plan, *pids)
    process.output_of(["ip", "netns", "del", plan.namespace])


def kill(plan: Plan, *pids: int) -> None:
    """Kill processes of the namespace, and wait until they are gone. A PID from elsewhere is left alone."""
    deadline = time.monotonic() + 20
    while left := set(pids) & set(processes(plan)):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):  # it went by itself
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise LabError(f"processes {sorted(left)} of {plan.namespace} do not die: look at them with ps")
        time.sleep(0.05)
