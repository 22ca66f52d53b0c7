"""move_phy_pages(2): move pages named by physical address, or ask where they are; and whether we may.

Source: kernel/patches and kernel/man/move_phy_pages.2:

    long move_phy_pages(unsigned long count, const __u64 *paddrs, const __s32 *nodes, __s32 *status,
                        unsigned int flags);

It needs CAP_SYS_ADMIN in the initial user namespace, for a query too. It is no part of upstream Linux, so
its number and the version of its ABI are read from /sys/kernel/mm/move_phy_pages/{nr,abi}; an ABI that is not
known here is refused.
"""

from __future__ import annotations

import errno
import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import numpy as np

from thermocline_kernel import seccomp
from thermocline_kernel.arrays import I32, U64, address_of
from thermocline_kernel.errors import Denied, Failed, Garbled, KernelInterfaceError, Unavailable
from thermocline_kernel.host import Host, read_number
from thermocline_kernel.seccomp import CAP_SYS_ADMIN, Rights
from thermocline_kernel.syscall import call

NAME: Final = "move_phy_pages(2)"
ABI: Final = 1
# A call for more is E2BIG.
MAX_ENTRIES: Final = 1 << 20
MPOL_MF_MOVE: Final = 1 << 1
MPOL_MF_MOVE_ALL: Final = 1 << 2
MOVE_PHY_PAGES_MLOCKED: Final = 1 << 16

# The status of a page that the call never came to: the kernel writes it before it moves anything.
NOT_ATTEMPTED: Final = -errno.EINPROGRESS

_LIVE: Final = Host()


class Verdict(Enum):
    """Whether this thread can use the call, or what stands in the way."""

    AVAILABLE = "available"
    NOT_IN_KERNEL = "not in this kernel"
    BLOCKED_BY_SECCOMP = "blocked by seccomp"
    NO_CAPABILITY = "no capability"
    ABI_NOT_UNDERSTOOD = "ABI not understood"


@dataclass(frozen=True, slots=True)
class Probe:
    """A verdict, and the sentence that a person reads: why, and what to do about it."""

    verdict: Verdict
    sentence: str

    @property
    def available(self) -> bool:
        """Whether move() and query() will work."""
        return self.verdict is Verdict.AVAILABLE


def move(
    paddrs: U64 | Sequence[int],
    nodes: I32 | Sequence[int],
    *,
    shared: bool = False,
    mlocked: bool = False,
    host: Host = _LIVE,
) -> I32:
    """Move the pages that hold these physical addresses to these nodes, without knowing whose they are.

    `paddrs` and `nodes` have one entry a page, shape (n,). Arrays are handed over as they are, lists are
    converted. The result has their shape: the node that the page is on now, or a negative errno, or
    NOT_ATTEMPTED. An address is that of any byte of the page; a page of a large folio moves the whole folio,
    and entries that name the same folio share one status. `shared` also moves what several processes map,
    and `mlocked` what is locked in memory.

    Raises ValueError for more than MAX_ENTRIES entries: only the caller can split them, for duplicates share
    a status, and a fatal signal ends the rest, within one call. Raises Unavailable (probe() says why),
    Denied, Failed or Garbled when the call as a whole fails.
    """
    addresses, targets = _addresses(paddrs), _nodes(nodes)
    if addresses.shape != targets.shape:
        raise ValueError(f"{addresses.size} paddrs and {targets.size} nodes: one node for each address")
    flags = MPOL_MF_MOVE_ALL if shared else MPOL_MF_MOVE
    if mlocked:
        flags |= MOVE_PHY_PAGES_MLOCKED
    return _call(addresses, address_of(targets, np.int32, "nodes"), flags, host)


def query(paddrs: U64 | Sequence[int], *, host: Host = _LIVE) -> I32:
    """The node of each page, or a negative errno (-ENOENT: no user memory is there), shape (n,).

    Takes what move takes, and raises as move does.
    """
    return _call(_addresses(paddrs), None, 0, host)


def probe(host: Host = _LIVE) -> Probe:
    """Whether this thread can use the call, found out by a call for no page, which changes nothing.

    Raises Unavailable, Failed or Garbled when /proc/thread-self does not tell what the thread may do. A
    seccomp filter that kills for a call, instead of failing it, kills at the first probe.
    """
    try:
        number = _number(host)
    except KernelInterfaceError as err:
        return _unpublished(_folder(host), err)
    try:
        call(NAME, number, 0, None, None, None, 0)
    except KernelInterfaceError as err:
        return explain(err, number, seccomp.own(host))
    return Probe(Verdict.AVAILABLE, f"{NAME} works: it is system call {number}, with ABI {ABI}")


def explain(error: KernelInterfaceError, number: int, rights: Rights) -> Probe:
    """Why a call for no page failed, on a kernel that publishes the call under this number.

    ENOSYS under a filter is the filter's: runc has it answer so above the highest number that its profile
    knows, and EPERM below. The kernel says EPERM without CAP_SYS_ADMIN in the initial user namespace.
    """
    if error.errno == errno.EPERM:
        return _forbidden(number, rights)
    if error.errno != errno.ENOSYS:
        return Probe(Verdict.ABI_NOT_UNDERSTOOD, f"a call for no page fails: {error}")
    if rights.filtered:
        why = f"this kernel has {NAME}, as system call {number}, and a seccomp filter hides it: {_UNFILTER}"
        return Probe(Verdict.BLOCKED_BY_SECCOMP, why)
    why = f"/sys tells of {NAME}, but system call {number} is unknown: is this a sandbox with its own kernel?"
    return Probe(Verdict.NOT_IN_KERNEL, why)


_UNFILTER: Final = "run unconfined by seccomp, or allow that number (a profile has no name for it)"


class _OtherAbi(Unavailable):
    """The kernel has the call, with an ABI that is not ours."""


def _folder(host: Host) -> Path:
    return host.sys / "kernel/mm/move_phy_pages"


# Neither file changes while a kernel runs, and reading both costs more than a call for a few pages.
@functools.cache
def _number(host: Host) -> int:
    """The number of the call. Raises Unavailable, Failed or Garbled."""
    path = _folder(host) / "abi"
    if (abi := read_number(path)) != ABI:
        raise _OtherAbi(path, f"{NAME} has ABI {abi} here, and only {ABI} is understood: update Thermocline")
    return read_number(_folder(host) / "nr")


def _unpublished(folder: Path, error: KernelInterfaceError) -> Probe:
    """Why /sys does not tell the number."""
    if isinstance(error, (_OtherAbi, Denied, Failed, Garbled)) or folder.exists():
        return Probe(Verdict.ABI_NOT_UNDERSTOOD, str(error))
    if folder.parent.exists():
        why = f"{folder} is missing: this kernel has no {NAME}; one built with kernel/patches has it"
    else:
        why = f"{folder.parent} is missing, and with it whether there is {NAME}: mount sysfs there"
    return Probe(Verdict.NOT_IN_KERNEL, why)


def _forbidden(number: int, rights: Rights) -> Probe:
    """Why the call is EPERM."""
    if not rights.has(CAP_SYS_ADMIN):
        why = f"{NAME} needs CAP_SYS_ADMIN, and this thread does not have it: add that capability"
        return Probe(Verdict.NO_CAPABILITY, why)
    if not rights.initial_user_namespace:
        why = f"{NAME} needs CAP_SYS_ADMIN on the host, and this thread has it in another user namespace only"
        return Probe(Verdict.NO_CAPABILITY, f"{why}: run it with the host's users")
    if rights.filtered:
        why = f"a seccomp filter forbids system call {number}, {NAME}, to a thread that has CAP_SYS_ADMIN"
        return Probe(Verdict.BLOCKED_BY_SECCOMP, f"{why}: {_UNFILTER}")
    why = f"{NAME} is refused to a thread that has CAP_SYS_ADMIN: does a security module forbid it?"
    return Probe(Verdict.NO_CAPABILITY, why)


def _addresses(values: U64 | Sequence[int]) -> U64:
    if isinstance(values, np.ndarray):
        return values
    try:
        return np.array([operator.index(value) for value in values], dtype=np.uint64)
    except OverflowError as err:
        raise ValueError("paddrs must be from 0 to 2**64 - 1") from err


def _nodes(values: I32 | Sequence[int]) -> I32:
    if isinstance(values, np.ndarray):
        return values
    try:
        return np.array([operator.index(value) for value in values], dtype=np.int32)
    except OverflowError as err:
        raise ValueError("nodes must fit 32 bits") from err


def _call(paddrs: U64, nodes: int | None, flags: int, host: Host) -> I32:
    addresses = address_of(paddrs, np.uint64, "paddrs")
    if paddrs.size > MAX_ENTRIES:
        raise ValueError(f"{paddrs.size} paddrs: a call takes at most {MAX_ENTRIES}, so make several")
    statuses = np.full(paddrs.shape, NOT_ATTEMPTED, dtype=np.int32)
    into = address_of(statuses, np.int32, "statuses")
    # A positive result counts the pages that are not where they were wanted: the statuses tell which.
    call(NAME, _number(host), paddrs.size, addresses, nodes, into, flags)
    return statuses
