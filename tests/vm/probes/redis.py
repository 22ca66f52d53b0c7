"""Runs in a node: redis-server whose values are on slow memory, under a skewed load, and an idle service on fast
memory, beside the agent; prints where the kernel says that their pages are, before and after.

    redis.py SCENARIO

A scenario is JSON: `policy`, a manifest; `idle_mib`, the idle service's memory; and `seconds`, how long it may take
until the share of the hot values' pages on node 0 is `wanted`, and that of the service's pages 1 - `wanted`. One value
in eight is hot and gets all requests but one in twenty.

Only the values' pages start on slow memory. Code that is fetched from emulated CXL memory runs a thousand times slower
than it does from DRAM, which no real device's memory makes it do: that would measure the emulator.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thermocline_kernel import move_pages

Addresses: TypeAlias = NDArray[np.uint64]

VALUES, VALUE_BYTES, HOT_EVERY = 16_384, 4_000, 8
CGROUPS = Path("/sys/fs/cgroup")
REGIONS = Path("/share/regions")
PAGE_BYTES = 4096
SOCKET = "/run/redis.sock"
BATCH = 64
TURNS = 25


class Client:
    """RESP on a unix socket."""

    def __init__(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(SOCKET)
                break
            except OSError:
                assert time.monotonic() < deadline, "redis-server did not start"
                time.sleep(0.2)
        self.file: BinaryIO = self.socket.makefile("rb")

    def ask(self, commands: list[list[bytes]]) -> list[bytes]:
        """The answers of some commands, sent as one."""
        self.socket.sendall(
            b"".join(
                b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
                for words in commands
            )
        )
        return [self._answer() for _ in commands]

    def _answer(self) -> bytes:
        head = self.file.readline()
        assert head[:1] in b"+$", head
        if head[:1] == b"+":
            return head
        return self.file.read(int(head[1:]) + 2)[:-2]


def key(number: int) -> bytes:
    """The name of a value."""
    return b"key:%05d" % number


def value(number: int) -> bytes:
    """It begins with a mark by which it is found in memory."""
    kind = b"hot" if number % HOT_EVERY == 0 else b"cold"
    return (b"<%s value %05d>" % (kind, number)).ljust(VALUE_BYTES, b".")


def load(client: Client) -> None:
    """Hot values are stored first: a page that a hot and a cold one share is neither."""
    numbers = sorted(range(VALUES), key=lambda number: number % HOT_EVERY != 0)
    for start in range(0, VALUES, BATCH):
        client.ask([[b"SET", key(number), value(number)] for number in numbers[start : start + BATCH]])


def requests(client: Client, seconds: float, seed: random.Random) -> None:
    """A skewed load for so long."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        numbers = [
            seed.randrange(VALUES)
            if seed.random() < 0.05
            else seed.randrange(VALUES // HOT_EVERY) * HOT_EVERY
            for _ in range(BATCH)
        ]
        answers = client.ask([[b"GET", key(number)] for number in numbers])
        assert answers[0] == value(numbers[0])


def latencies(client: Client, seed: random.Random) -> dict[str, float]:
    """Microseconds a request for hot and for cold values, in turns: what else the machine does meets both alike."""
    spent: dict[str, list[float]] = {"hot": [], "cold": []}
    for _ in range(TURNS):
        for kind, times in spent.items():
            numbers = [
                seed.randrange(VALUES // HOT_EVERY) * HOT_EVERY + (kind == "cold") for _ in range(BATCH)
            ]
            began = time.monotonic()
            client.ask([[b"GET", key(number)] for number in numbers])
            times.append((time.monotonic() - began) / BATCH * 1e6)
    return {kind: statistics.median(times) for kind, times in spent.items()}


def places(pid: int) -> dict[str, list[int]]:
    """The addresses of hot and of cold values in a process."""
    found: dict[str, list[int]] = {"hot": [], "cold": []}
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            words = line.split()
            if words[1][:2] != "rw" or (len(words) > 5 and words[5] != "[heap]"):
                continue
            first, end = (int(edge, 16) for edge in words[0].split("-"))
            data = os.pread(memory.fileno(), end - first, first)
            for kind, addresses in found.items():
                at = data.find(f"<{kind} value ".encode())
                while at >= 0:
                    addresses.append(first + at)
                    at = data.find(f"<{kind} value ".encode(), at + 1)
    return found


def pages_of(addresses: list[int]) -> Addresses:
    """The pages that values begin in."""
    unit = np.uint64(PAGE_BYTES)
    return np.unique(np.array(addresses, dtype=np.uint64) // unit) * unit


def sunk(pid: int, pages: Addresses) -> None:
    """Have these pages of a process on node 1 before anything is measured."""
    statuses = move_pages.move(pid, pages, np.ones(pages.shape, dtype=np.int32), shared=True)
    # One that is busy stays, and is counted where it is.
    assert (statuses == 1).mean() > 0.98, "the values did not get to slow memory"


def fast_share(pid: int, pages: Addresses) -> float:
    """Which share of these pages of a process is on node 0, as the kernel says."""
    return float((move_pages.query(pid, pages) == 0).mean())


def started(group: str, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
    """A process in a cgroup of its own."""
    folder = CGROUPS / group
    folder.mkdir()
    return subprocess.Popen(
        command,
        preexec_fn=lambda: (folder / "cgroup.procs").write_text(f"{os.getpid()}\n"),  # noqa: PLW1509
        **options,
    )


def idle_service(mib: int) -> tuple[subprocess.Popen[bytes], Addresses]:
    """A program that has filled memory on node 0 and never looks at it again; and its pages."""
    process = started("idle", [str(REGIONS), f"0:{mib}:0"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    first, end = (int(word, 16) for word in process.stdout.readline().split())
    assert process.stdout.readline() == b"ready\n"
    return process, np.arange(first, end, PAGE_BYTES, dtype=np.uint64)


def main() -> None:
    """Load, run the agent, ask on, and tell."""
    scenario: dict[str, Any] = json.loads(sys.argv[1])
    Path("/proc/sys/kernel/numa_balancing").write_text("0\n")
    (CGROUPS / "cgroup.subtree_control").write_text("+memory")
    service, its_pages = idle_service(scenario["idle_mib"])
    options = ["--port", "0", "--unixsocket", SOCKET, "--save", "", "--appendonly", "no", "--daemonize", "no"]
    server = started("redis", ["redis-server", *options, "--hz", "10"], stdout=subprocess.DEVNULL)
    client, seed = Client(), random.Random(5)  # noqa: S311 - a load, and no secret
    load(client)
    where = places(server.pid)
    values = {kind: pages_of(addresses) for kind, addresses in where.items()}
    for pages in values.values():
        sunk(server.pid, pages)

    def shares() -> dict[str, float]:
        found = {kind: fast_share(server.pid, pages) for kind, pages in values.items()}
        return {**found, "idle": fast_share(service.pid, its_pages)}

    before, us_before = shares(), latencies(client, seed)
    policy = Path("/run/policy.json")
    policy.write_text(json.dumps(scenario["policy"]))
    with Path("/run/agent.log").open("w") as log:
        agent = subprocess.Popen(["thermocline-agent", "run", "--policy", policy], stdout=log, stderr=log)
    began = time.monotonic()
    after = before
    while time.monotonic() - began < scenario["seconds"] and agent.poll() is None:
        requests(client, 2, seed)
        after = shares()
        if after["hot"] >= scenario["wanted"] and after["idle"] <= 1 - scenario["wanted"]:
            break
    took = time.monotonic() - began
    agent.send_signal(signal.SIGTERM)
    status = agent.wait(120)
    us_after = latencies(client, seed)
    now = places(server.pid)
    # What is in buffers of requests and answers looks like a value, too, and does not last.
    in_place = min(len(set(now[kind]) & set(each)) / len(each) for kind, each in where.items())
    for process in (server, service):
        process.terminate()
        process.wait()
    print(
        json.dumps(
            {
                "values": {kind: len(addresses) for kind, addresses in where.items()},
                "before": before,
                "after": after,
                "seconds": took,
                "us_before": us_before,
                "us_after": us_after,
                "status": status,
                "in_place": in_place,
                "log": Path("/run/agent.log").read_text(),
            }
        )
    )


if __name__ == "__main__":
    main()
