"""Runs in a node: says, as JSON, which of the things that the project relies on the kernel does, by trying them."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from thermocline_kernel import kpage, memory_tiers
from thermocline_kernel.host import Host

CGROUP = Path("/sys/fs/cgroup")
DAMON = Path("/sys/kernel/mm/damon/admin/kdamonds")
THP = Path("/sys/kernel/mm/transparent_hugepage")
PR_SET_SECCOMP, SECCOMP_MODE_STRICT, SIGKILL = 22, 1, 9
PERF_EVENT_OPEN = 298  # x86-64


def succeeds(*words: str) -> bool:
    """Whether a command ends with 0."""
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def controllers() -> bool:
    """Every controller of cgroup v2."""
    wanted = {"cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"}
    return wanted <= set((CGROUP / "cgroup.controllers").read_text().split())


def cpuset_delegation() -> bool:
    """A cgroup whose memory nodes can be set."""
    group = CGROUP / "features"
    group.mkdir()
    (group / "cpuset.mems").write_text("0")
    effective = (group / "cpuset.mems.effective").read_text().strip()
    group.rmdir()
    return effective == "0"


def damon() -> bool:
    """A DAMON context on physical addresses takes the action migrate_cold."""
    (DAMON / "nr_kdamonds").write_text("1")
    (DAMON / "0/contexts/nr_contexts").write_text("1")
    context = DAMON / "0/contexts/0"
    (context / "operations").write_text("paddr")
    (context / "schemes/nr_schemes").write_text("1")
    (context / "schemes/0/action").write_text("migrate_cold")
    (context / "schemes/0/target_nid").write_text("1")
    action = (context / "schemes/0/action").read_text().strip()
    (DAMON / "nr_kdamonds").write_text("0")
    return action == "migrate_cold"


def huge_pages() -> bool:
    """A pool of huge pages that can grow."""
    pool = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages")
    pool.write_text("2")
    grown = pool.read_text().strip() == "2"
    pool.write_text("0")
    return grown


def owned_pages() -> bool:
    """Some page is charged to this process' cgroup, by kpagecgroup."""
    inode = (CGROUP / "job").stat().st_ino
    return bool((kpage.cgroups(Host(), 0, 200_000) == inode).any())


def nftables() -> bool:
    """What kube-proxy writes: a map, a verdict, masquerading, on both families."""
    rules = (
        "table inet features { map services { type ipv4_addr . inet_proto . inet_service : verdict; };\n"
        " chain nat { type nat hook postrouting priority 100; masquerade; };\n"
        " chain in { ip daddr . meta l4proto . th dport vmap @services; fib daddr type local reject; }; }\n"
    )
    with tempfile.NamedTemporaryFile("w", suffix=".nft") as file:
        file.write(rules)
        file.flush()
        return succeeds("nft", "-f", file.name) and succeeds("nft", "delete", "table", "inet", "features")


def overlay() -> bool:
    """A file system of layers, as containers' roots are, on a disk."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        root = Path(name)
        for folder in ("lower", "upper", "work", "merged"):
            (root / folder).mkdir()
        options = f"lowerdir={root}/lower,upperdir={root}/upper,workdir={root}/work"
        mounted = succeeds("mount", "-t", "overlay", "overlay", "-o", options, f"{root}/merged")
        return mounted and succeeds("umount", f"{root}/merged")


def perf() -> bool:
    """perf_event_open(2) counts context switches."""
    attributes = bytearray(136)
    attributes[0:4] = (1).to_bytes(4, "little")  # PERF_TYPE_SOFTWARE
    attributes[4:8] = len(attributes).to_bytes(4, "little")
    attributes[8:16] = (3).to_bytes(8, "little")  # PERF_COUNT_SW_CONTEXT_SWITCHES
    buffer = (ctypes.c_char * len(attributes)).from_buffer(attributes)
    opened = ctypes.CDLL(None).syscall(PERF_EVENT_OPEN, buffer, 0, -1, -1, 0)
    return bool(opened >= 0)


def seccomp() -> bool:
    """A process in strict mode is killed for a call that it may not make."""
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)
        os.getppid()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == SIGKILL


FEATURES: dict[str, Callable[[], bool]] = {
    "cgroup controllers": controllers,
    "cpuset delegation": cpuset_delegation,
    "cxl region": lambda: Path("/sys/bus/cxl/devices/region0").exists(),
    "damon moves by physical address": damon,
    "hugetlb pools": huge_pages,
    "hwpoison injection": lambda: Path("/sys/kernel/debug/hwpoison/corrupt-pfn").exists(),
    "idle page tracking": lambda: Path("/sys/kernel/mm/page_idle/bitmap").exists(),
    "ksm": lambda: Path("/sys/kernel/mm/ksm/run").exists(),
    "memory tiers": lambda: len(memory_tiers.tiers(Host())) == 2,
    "mlock and mempolicy": lambda: succeeds("numactl", "--membind=0", "true"),
    "nftables": nftables,
    "numa balancing": lambda: Path("/proc/sys/kernel/numa_balancing").exists(),
    "overlayfs": overlay,
    "page pinning for tests": lambda: Path("/sys/kernel/debug/gup_test").exists(),
    "pages of cgroups": owned_pages,
    "perf": perf,
    "psi": lambda: Path("/proc/pressure/memory").read_text().startswith("some avg10="),
    "seccomp": seccomp,
    "transparent huge pages": lambda: "[madvise]" in (THP / "enabled").read_text(),
}


def main() -> None:
    """Try them all."""
    print(json.dumps({name: found() for name, found in FEATURES.items()}))


if __name__ == "__main__":
    main()
