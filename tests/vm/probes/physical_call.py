"""Runs in a node: what the probe of move_phy_pages(2) says to threads of all kinds, and what the call does.

Prints JSON: "probes" by the kind of thread, and where the kernel has the call, "moved": what became of pages.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import struct
import subprocess
import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from thermocline_kernel import kpage, move_phy_pages, pagemap, vmstat
from thermocline_kernel.arrays import I32, U64
from thermocline_kernel.errors import KernelInterfaceError
from thermocline_kernel.host import PAGE_BYTES, Host, read_number

HOST = Host()
PAGES = 64
# include/uapi/linux/prctl.h, seccomp.h, filter.h and bpf_common.h; arch/x86/include/asm/unistd.h
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
RET_ERRNO, RET_ALLOW = 0x00050000, 0x7FFF0000
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
PROBE = """
from thermocline_kernel import move_phy_pages
found = move_phy_pages.probe()
print(found.verdict.name, found.sentence, sep="|")
"""


def probed() -> list[str]:
    """The verdict's name, and its sentence."""
    found = move_phy_pages.probe()
    return [found.verdict.name, found.sentence]


def probed_under(*command: str) -> list[str]:
    """The same of a process that `command` starts."""
    words = [*command, sys.executable, "-c", PROBE]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip().split("|")


def probed_in_a_child(prepare: Callable[[], None]) -> list[str]:
    """The same of a child that has done `prepare` first."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        prepare()
        os.write(write_end, json.dumps(probed()).encode())
        os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as pipe:  # noqa: PTH123  # a descriptor has no path
        told: list[str] = json.loads(pipe.read())
    os.waitpid(child, 0)
    return told


def filtered(number: int, error: int) -> Callable[[], None]:
    """Install a seccomp filter that fails system call `number` with `error`, as container runtimes do."""

    def install() -> None:
        # The number is the first word of struct seccomp_data.
        code = b"".join(
            struct.pack("=HBBI", *instruction)
            for instruction in (
                (LOAD_WORD, 0, 0, 0),
                (JUMP_IF_EQUAL, 0, 1, number),
                (RETURN, 0, 0, RET_ERRNO | error),
                (RETURN, 0, 0, RET_ALLOW),
            )
        )
        program = ctypes.create_string_buffer(code, len(code))
        described = struct.pack("@HP", len(code) // 8, ctypes.addressof(program))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
            PR_SET_SECCOMP, SECCOMP_MODE_FILTER, described, 0, 0
        ):
            raise OSError(ctypes.get_errno(), "no filter")

    return install


def refusal(ask: Callable[[], object]) -> list[object]:
    """The exception's type and errno."""
    try:
        ask()
    except KernelInterfaceError as err:
        return [type(err).__name__, err.errno]
    raise AssertionError("nothing was refused")


def physical(address: int) -> U64:
    """Where the pages of the region are now, some of them named by a byte in their middle."""
    pfns = pagemap.read(HOST, "self", address, PAGES).pfns
    return pfns * np.uint64(PAGE_BYTES) + np.arange(PAGES, dtype=np.uint64) * np.uint64(7)


def settled(address: int) -> U64:
    """The same, once none of the pages waits in a batch of a CPU's for its list, where it cannot be moved."""
    for _ in range(100):
        paddrs = physical(address)
        flags = [int(kpage.flags(HOST, int(paddr) // PAGE_BYTES, 1)[0]) for paddr in paddrs]
        if all(kpage.PageFlag.LRU & flag for flag in flags):
            return paddrs
        # Faults fill the batch, and a full one is emptied.
        mmap.mmap(-1, PAGES * PAGE_BYTES).write(bytes(PAGES * PAGE_BYTES))
    raise AssertionError("pages stay in the batches of CPUs")


def region() -> tuple[mmap.mmap, NDArray[np.uint8]]:
    """Private pages that have been written to, and their bytes."""
    memory = mmap.mmap(-1, PAGES * PAGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    words = np.frombuffer(memory, dtype=np.uint8)
    words[:] = np.random.default_rng(7).integers(0, 256, PAGES * PAGE_BYTES, dtype=np.uint8)
    return memory, words


def all_of(statuses: I32) -> list[int]:
    """The statuses that occur."""
    return sorted(set(statuses.tolist()))


def to(node: int) -> I32:
    """That node for every page."""
    return np.full(PAGES, node, dtype=np.int32)


def moved() -> dict[str, object]:
    """Move a region to the slow node and back, by physical addresses, and tell what happened."""
    _memory, words = region()
    content = words.copy()
    address = words.ctypes.data
    first = settled(address)
    before = vmstat.machine(HOST)["pgmigrate_success"]
    there = move_phy_pages.move(first, to(1))
    migrated = vmstat.machine(HOST)["pgmigrate_success"] - before
    second = physical(address)
    told: dict[str, object] = {
        "there": all_of(there),
        "frames changed": int((first // PAGE_BYTES != second // PAGE_BYTES).sum()),
        "query there": all_of(move_phy_pages.query(second)),
        "migrated": migrated,
        "again": all_of(move_phy_pages.move(second, to(1))),
    }
    back = move_phy_pages.move(settled(address), to(0))
    last = physical(address)
    mixed = [int(last[0]), (1 << 60) + 5, int(last[1]), 0xFEE00000]
    return {
        **told,
        "back": all_of(back),
        "whole": bool((words == content).all()),
        "one-liner": move_phy_pages.query([int(last[0])]).tolist(),
        "mixed": move_phy_pages.query(mixed).tolist(),
        "bad node": move_phy_pages.move([int(last[0]), int(last[1])], [1023, 0]).tolist(),
        "isolated": vmstat.machine(HOST)["nr_isolated_anon"],
    }


def opted() -> dict[str, list[int]]:
    """What moves only when it is asked for: pages that a child maps as well, and pages locked in memory."""
    _memory, words = region()
    address = words.ctypes.data
    paddrs = settled(address)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        os.read(read_end, 1)
        os._exit(0)
    told = {
        "shared, not asked": all_of(move_phy_pages.move(paddrs, to(1))),
        "shared, asked": all_of(move_phy_pages.move(paddrs, to(1), shared=True)),
    }
    os.close(write_end)
    os.waitpid(child, 0)

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(PAGES * PAGE_BYTES)):
        raise OSError(ctypes.get_errno(), "nothing could be locked")
    paddrs = physical(address)
    told["locked, not asked"] = all_of(move_phy_pages.move(paddrs, to(0)))
    told["locked, asked"] = all_of(move_phy_pages.move(paddrs, to(0), mlocked=True))
    return told


def main() -> None:
    """Print what there is to tell of this node."""
    told: dict[str, object] = {
        "probes": {
            "root": probed(),
            "no capability": probed_under("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"),
            "user namespace": probed_under("unshare", "--user", "--map-root-user"),
        }
    }
    if move_phy_pages.probe().available:
        number = read_number(HOST.sys / "kernel/mm/move_phy_pages/nr")
        probes = told["probes"]
        assert isinstance(probes, dict)
        probes["filter EPERM"] = probed_in_a_child(filtered(number, errno.EPERM))
        probes["filter ENOSYS"] = probed_in_a_child(filtered(number, errno.ENOSYS))
        told["moved"] = moved()
        told["opted"] = opted()
    else:
        told["refused"] = refusal(lambda: move_phy_pages.query([1 << 32]))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
