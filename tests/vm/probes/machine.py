"""Runs in a node: has sources look at memory of known use, and engines move pages of it; prints as JSON what came out.

    machine.py [sources] [engines] [faults]

What is true is asked from the kernel by other ways than those under test: where pages are from the pagemap of the
process whose they are, and from its numa_maps. That process runs this program, too, as `machine.py worker`.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermocline_agent import inventory
from thermocline_agent.engines import damon as damon_engine
from thermocline_agent.engines import engine as engines
from thermocline_agent.engines.engine import Engine, Outcome, Request
from thermocline_agent.engines.move_pages import MovePages
from thermocline_agent.engines.physical_call import PhysicalCall
from thermocline_agent.kdamonds import Kdamonds
from thermocline_agent.probe import probe
from thermocline_agent.sources import damon as damon_source
from thermocline_agent.sources import feed_wire
from thermocline_agent.sources.feed import Feed
from thermocline_agent.sources.idle_page import IdlePage
from thermocline_agent.sources.perf_mem import PerfMem
from thermocline_agent.sources.referenced import Referenced
from thermocline_agent.sources.source import Observation, Source
from thermocline_agent.topology import Topology, arrange
from thermocline_kernel import cgroup, cxl, pagemap
from thermocline_kernel.arrays import U64
from thermocline_kernel.damon import Admin, Holder
from thermocline_kernel.errors import Busy
from thermocline_kernel.host import PAGE_BYTES, Host
from thermocline_kernel.perf import Event

MIB = 1 << 20
HUGE = 2 * MIB
# By name: bytes, huge pages or not, touched all the time or once.
REGIONS = {
    "hot huge": (16 * MIB, True, True),
    "cold huge": (16 * MIB, True, False),
    "hot": (4 * MIB, False, True),
    "cold": (4 * MIB, False, False),
}
INTERVAL_SECONDS = 4.0
CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(sys.argv[1])"
# PERF_COUNT_SW_PAGE_FAULTS_MIN of PERF_TYPE_SOFTWARE: an event whose sample has the address of a page just mapped.
MINOR_FAULTS = Event("minor faults", type=1, config=5)


def worker() -> None:
    """Allocate the regions, tell where they are, and touch the hot ones until standard input ends.

    A line on standard input is answered by a digest of all that is in them.
    """
    kept = []
    addresses: dict[str, int] = {}
    views: dict[str, NDArray[np.uint8]] = {}
    for name, (size, huge, _) in REGIONS.items():
        area = mmap.mmap(-1, size + HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        area.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)
        whole = np.frombuffer(area, dtype=np.uint8)
        start = -whole.ctypes.data % HUGE
        views[name] = whole[start : start + size]
        views[name][:] = np.random.default_rng(size + huge).integers(0, 256, size, dtype=np.uint8)
        addresses[name] = views[name].ctypes.data
        kept.append(area)
    print(json.dumps(addresses), flush=True)
    os.set_blocking(0, False)
    while True:
        # The emulated TLB forgets nothing by itself, and then the CPU marks no page as accessed again. Giving back
        # more pages than are flushed one by one (33, arch/x86/mm/tlb.c) empties it, as use empties a real one.
        with mmap.mmap(-1, 64 * PAGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as given_back:
            given_back.write(bytes(64 * PAGE_BYTES))
        for name, (_, _, hot) in REGIONS.items():
            if hot:
                views[name][::PAGE_BYTES].sum()
        data = sys.stdin.buffer.read(64)
        if data == b"":
            return
        if data:
            print(sum(int(view.astype(np.uint64).sum()) for view in views.values()), flush=True)


class Worker:
    """The process in a cgroup of its own, seen from outside."""

    def __init__(self, host: Host) -> None:
        self.host = host
        group = cgroup.root(host) / "kubepods/besteffort/pod12345678-1234-1234-1234-123456789abc/work"
        group.mkdir(parents=True, exist_ok=True)
        for parent in ("", "kubepods", "kubepods/besteffort"):
            control = cgroup.root(host) / parent / "cgroup.subtree_control"
            control.write_text("+memory +cpuset")
        pod = group.parent / "cgroup.subtree_control"
        pod.write_text("+memory +cpuset")
        self.inode = group.stat().st_ino
        join = f'echo 0 >{group}/cgroup.procs && exec "$@"'
        self.process = subprocess.Popen(
            ["sh", "-c", join, "sh", sys.executable, "-c", sys.orig_argv[2], "worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.addresses: dict[str, int] = json.loads(self.process.stdout.readline())

    def pfns(self, name: str) -> U64:
        """The frames of a region now."""
        return pagemap.read(
            self.host, self.process.pid, self.addresses[name], REGIONS[name][0] // PAGE_BYTES
        ).pfns

    def digest(self) -> int:
        """What is in memory."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"?\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def numa_pages(self, name: str) -> dict[str, int]:
        """The pages by node of the mapping that holds the region, as numa_maps tells; neighbours may be in it."""
        found: dict[int, dict[str, int]] = {}
        for line in (self.host.proc / str(self.process.pid) / "numa_maps").read_text().splitlines():
            pages = {node: int(count) for node, count in re.findall(r" N(\d+)=(\d+)", line)}
            found[int(line.split()[0], 16)] = pages
        return found[max(start for start in found if start <= self.addresses[name])]

    def end(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def seen(source: Source, topology: Topology, worker: Worker, names: list[str], rounds: int) -> dict[str, Any]:
    """What the last of some rounds says of each region: mean count, and which share of its pages is known."""
    frames = sorted(each for node in topology.nodes for each in node.frames)
    source.start(frames)
    told: Observation | None = None
    for _ in range(rounds):
        time.sleep(INTERVAL_SECONDS)
        told = source.observe()
    source.stop()
    assert told is not None
    return {
        "cpu_seconds": told.cpu_seconds,
        "extents": int(told.pages.size),
        **by_region(told, worker, names),
    }


def by_region(told: Observation, worker: Worker, names: list[str]) -> dict[str, Any]:
    """Mean count and known share."""
    return {name: of_pages(told, worker.pfns(name)) for name in names}


def of_pages(told: Observation, pfns: U64) -> dict[str, float]:
    """Of single frames."""
    if told.pages.size == 0:
        return {"known": 0.0, "mean": 0.0}
    ends = told.first_pfns + told.pages
    at = np.minimum(np.searchsorted(ends, pfns, side="right"), max(0, told.pages.size - 1))
    known = (told.first_pfns[at] <= pfns) & (pfns < ends[at])
    counts = told.counts[at][known]
    full = told.full or 1
    return {"known": float(known.mean()), "mean": float(counts.mean() / full) if counts.size else 0.0}


def files(told: Callable[[], Observation]) -> dict[str, Any]:
    """A file read again and again, and one read once: what a source says of their pages."""
    folder = Path(tempfile.mkdtemp(dir="/root"))
    result = {}
    for name, times in (("cold", 1), ("hot", 5)):
        path = folder / name
        path.write_bytes(os.urandom(4 * MIB))
        os.sync()
        for _ in range(times):
            path.read_bytes()
            time.sleep(0.2)
    found = told()
    for name in ("cold", "hot"):
        with (folder / name).open("r+b") as file, mmap.mmap(file.fileno(), 0) as area:
            view = np.frombuffer(area, dtype=np.uint8)
            view[::PAGE_BYTES].sum()
            pfns = pagemap.read(Host(), "self", view.ctypes.data, 4 * MIB // PAGE_BYTES).pfns
            del view
        result[name] = of_pages(found, pfns)
    return result


def referenced(host: Host, topology: Topology) -> dict[str, Any]:
    """The source Referenced, on page cache."""
    source = Referenced(host, INTERVAL_SECONDS, 2.0)
    source.start(sorted(each for node in topology.nodes for each in node.frames))
    return files(source.observe)


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


def sampled(host: Host, topology: Topology) -> dict[str, Any]:
    """The source PerfMem, with an event that every machine has: the pages that it says were faulted in."""
    source = PerfMem(host, 1.0, events=lambda _: (MINOR_FAULTS,), period=1)
    source.start(sorted(each for node in topology.nodes for each in node.frames))
    pages = 300
    area = mmap.mmap(-1, pages * PAGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    view = np.frombuffer(area, dtype=np.uint8)
    view[::PAGE_BYTES] = 1
    told = source.observe()
    pfns = pagemap.read(host, "self", view.ctypes.data, pages).pfns
    source.stop()
    return {
        "faulted": of_pages(told, pfns),
        "sampled": int((told.counts * told.pages).sum()),
        "missed": told.missed,
    }


def sources(host: Host, topology: Topology, worker: Worker, available: set[str]) -> dict[str, Any]:
    """Every source that this kernel has."""
    found: dict[str, Any] = {
        "Referenced": referenced(host, topology),
        "Feed": fed(host, topology, worker),
        "PerfMem": sampled(host, topology),
    }
    huge = ["hot huge", "cold huge"]
    if "IdlePage" in available:
        found["IdlePage"] = seen(IdlePage(host, INTERVAL_SECONDS, 2.0), topology, worker, list(REGIONS), 1)
        few = IdlePage(host, INTERVAL_SECONDS, 0.001)
        few.start(sorted(each for node in topology.nodes for each in node.frames))
        found["IdlePage window pages"] = sum(each.pages for each in few.window)
        few.stop()
    damon = damon_source.Damon(host, Kdamonds(Admin(host)), INTERVAL_SECONDS, 4.0)
    found["Damon"] = seen(damon, topology, worker, huge, 3)
    found["Damon left"] = Admin(host).holder().name
    return found


def moved(host: Host, topology: Topology, worker: Worker, engine: Engine) -> dict[str, Any]:
    """What an engine does when it is told to move every other page of a region, and one page of a huge one."""
    slow, fast = topology.slow[0].number, topology.fast[0].number
    told: dict[str, Any] = {}
    for way, target in (("demoted", slow), ("promoted", fast)):
        pfns = worker.pfns("cold")[:256]
        named = pfns[::2]
        outcome = engines.migrate(engine, host, moves(named, target, worker.inode))
        nodes = topology.nodes_of(worker.pfns("cold")[:256])
        told[way] = {
            **results(outcome),
            "named there": float((nodes[::2] == target).mean()),
            "others there": float((nodes[1::2] == target).mean()),
            "numa_maps": worker.numa_pages("cold").get(str(slow), 0),
            "frames kept": float((worker.pfns("cold")[1:256:2] == pfns[1::2]).mean()),
        }
        huge = worker.pfns("cold huge")
        outcome = engines.migrate(engine, host, moves(huge[:1], target, worker.inode))
        nodes = topology.nodes_of(worker.pfns("cold huge"))
        told[way]["huge"] = {**results(outcome), "pages there": int((nodes == target).sum())}
    pfns = worker.pfns("cold")[:16]
    other = (cgroup.root(host) / "job").stat().st_ino
    for name, owner in (("another's", other), ("nobody's", 0)):
        outcome = engines.migrate(engine, host, moves(pfns, slow, owner))
        told[name] = {**results(outcome), "moved": int((worker.pfns("cold")[:16] != pfns).sum())}
    engine.stop()
    return told


def moves(pfns: U64, target: int, inode: int) -> Request:
    return Request(
        pfns, np.full(pfns.shape, target, dtype=np.int32), np.full(pfns.shape, inode, dtype=np.uint64)
    )


def results(outcome: Outcome) -> dict[str, Any]:
    return {
        "results": {result.name: count for result, count in outcome.counts.items()},
        "error": outcome.error,
    }


def faults(host: Host) -> dict[str, Any]:
    """DAMON that others hold, DAMON that a killed agent left, DAMON's modules."""
    admin = Admin(host)
    root = admin.root
    told: dict[str, Any] = {}
    (root / "nr_kdamonds").write_text("1")
    (root / "0/contexts/nr_contexts").write_text("1")
    (root / "0/contexts/0/monitoring_attrs/intervals/aggr_us").write_text("123456")
    try:
        admin.claim(1)
    except Busy as err:
        told["others"] = str(err)
    told["released"] = admin.release()
    told["untouched"] = (root / "0/contexts/0/monitoring_attrs/intervals/aggr_us").read_text().strip()
    told["probe"] = [each.reason for each in probe(host).capabilities if each.name == "Damon"]
    (root / "nr_kdamonds").write_text("0")

    child = os.fork()
    if child == 0:
        frames = sorted(each for node in arrange(inventory.read(host)).nodes for each in node.frames)
        damon_source.Damon(host, Kdamonds(Admin(host)), INTERVAL_SECONDS, 0.5).start(frames)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    told["left"] = [admin.holder().name, admin.running(0)]
    admin.claim(1)
    told["claimed"] = [admin.holder().name, admin.running(0)]
    admin.release()
    told["after"] = admin.holder().name

    enabled = Path("/sys/module/damon_reclaim/parameters/enabled")
    if enabled.exists():
        enabled.write_text("Y")
        told["module"] = [each.reason for each in probe(host).capabilities if each.name == "Damon"]
        source = damon_source.Damon(host, Kdamonds(admin), INTERVAL_SECONDS, 0.5)
        try:
            source.start(arrange(inventory.read(host)).fast[0].frames)
        except Busy as err:
            told["module source"] = type(err).__name__
        source.stop()
        enabled.write_text("N")
    told["end"] = admin.holder().name
    assert told["end"] == Holder.NOBODY.name
    return told


def main() -> None:
    """Do what is asked."""
    if sys.argv[1:] == ["worker"]:
        worker()
        return
    host = Host()
    found = probe(host)
    topology = found.topology
    assert topology is not None
    available = {each.name for each in found.capabilities if each.available and each.kind == "Source"}
    able = {each.name for each in found.capabilities if each.available and each.kind == "Engine"}
    told: dict[str, Any] = {"sources": sorted(available), "engines": sorted(able)}
    if "sources" in sys.argv or "engines" in sys.argv:
        process = Worker(host)
        before = process.digest()
        if "sources" in sys.argv:
            told["seen"] = sources(host, topology, process, available)
        if "engines" in sys.argv:
            fast = frozenset(node.number for node in topology.fast)
            every: dict[str, Engine] = {
                "PhysicalCall": PhysicalCall(host),
                "Damon": damon_engine.Damon(host, Kdamonds(Admin(host)), fast),
                "MovePages": MovePages(host),
            }
            told["moved"] = {name: moved(host, topology, process, every[name]) for name in sorted(able)}
        told["whole"] = process.digest() == before
        process.end()
    if "faults" in sys.argv:
        told["faults"] = faults(host)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
