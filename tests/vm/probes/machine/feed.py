"""The source Feed, from the side of those that send to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.vm.probes.machine.worker import Worker
from thermocline_agent.sources import feed_wire
from thermocline_agent.sources.feed import Feed
from thermocline_agent.sources.source import Observation
from thermocline_agent.topology import Topology
from thermocline_kernel import cxl
from thermocline_kernel.arrays import U64
from thermocline_kernel.host import PAGE_BYTES, Host

CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(sys.argv[1])"


def fed(host: Host, topology: Topology, worker: Worker) -> dict[str, Any]:
    """The source Feed: host addresses, device addresses where there is a CXL region, and senders that are refused."""
    with tempfile.TemporaryDirectory() as folder:
        source = Feed(host, Path(folder) / "feed.sock")
        source.start(sorted(each for node in topology.nodes for each in node.frames))
        pfns = worker.pfns("cold")[:512]
        result: dict[str, Any] = {"refused": refusals(source.path)}
        with connected(source.path) as sender:
            counts = np.arange(1, 513, dtype=np.uint64)
            sender.send(
                feed_wire.encode(
                    feed_wire.Space.HPA, "", pfns * np.uint64(PAGE_BYTES) + np.uint64(64), counts
                )
            )
            told = after_records(source, 512)
        result["hpa"] = exactly(told, pfns, counts)
        regions = cxl.regions(host) if (host.sys / "bus/cxl/devices/mem0").exists() else ()
        if regions:
            region = regions[0]
            addresses = np.uint64(region.start) + np.arange(100, dtype=np.uint64) * np.uint64(7 * PAGE_BYTES)
            _, dpas = region.to_dpa(addresses)
            with connected(source.path) as sender:
                ones = np.ones(100, dtype=np.uint64)
                sender.send(feed_wire.encode(feed_wire.Space.DPA, region.targets[0].memdev, dpas, ones))
                told = after_records(source, 612)
            result["dpa"] = exactly(told, addresses // np.uint64(PAGE_BYTES), ones)
        source.stop()
        result["removed"] = not source.path.exists()
    return result


def connected(path: Path) -> socket.socket:
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sender.connect(os.fspath(path))
    return sender


def after_records(source: Feed, records: int) -> Observation:
    """What the source says once it has taken so many."""
    deadline = time.monotonic() + 10
    while source.tally.records < records and time.monotonic() < deadline:
        time.sleep(0.01)
    return source.observe()


def exactly(told: Observation, pfns: U64, counts: U64) -> bool:
    """Whether these frames have these counts, and all others 0."""
    total = int((told.counts * told.pages).sum())
    order = np.argsort(pfns)
    at = np.searchsorted(told.first_pfns, pfns[order])
    return (
        total == int(counts.sum())
        and (told.first_pfns[at] == pfns[order]).all()
        and (told.counts[at] == counts[order]).all()
    ).__bool__()


def refusals(path: Path) -> dict[str, Any]:
    """A sender of nonsense, and one that is not root."""
    with connected(path) as sender:
        sender.send(b"nonsense")
        sentence = sender.recv(1024).decode()
        ended = sender.recv(1024) == b""
    # The socket's own mode is what is tried, so the folder must be no obstacle.
    path.parent.chmod(0o755)
    other = subprocess.run(
        [sys.executable, "-c", CONNECT, path], user=1000, stderr=subprocess.PIPE, check=False
    )
    return {"nonsense": sentence, "ended": ended, "not root": other.stderr.decode().splitlines()[-1]}
