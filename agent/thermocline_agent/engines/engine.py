"""What every engine is asked and what it answers: per page, whether it moved, or else the reason."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thermocline_agent import owners
from thermocline_kernel import kpage
from thermocline_kernel.arrays import I32, U64
from thermocline_kernel.errors import KernelInterfaceError
from thermocline_kernel.host import Host
from thermocline_kernel.kpage import PageFlag

Results: TypeAlias = NDArray[np.uint8]


class Result(IntEnum):
    """What became of a page."""

    MOVED = 0
    # In use in a way that passes: isolated, under writeback, pinned, in a batch of another CPU.
    BUSY = 1
    # No free page on the target.
    NO_MEMORY = 2
    # Mapped by several processes, which this engine may not, or does not, move.
    SHARED = 3
    # The owner's cpuset or mlock forbids it.
    FORBIDDEN = 4
    # No page of user memory is there any more.
    GONE = 5
    # The memory is broken.
    POISONED = 6
    # The target is no node with memory.
    BAD_TARGET = 7
    # The frame holds a page of another owner, or of none: nothing was tried.
    CHANGED = 8
    # This engine finds no way to the page: MovePages, when no process maps it.
    UNREACHABLE = 9
    # The engine failed before it came to the page.
    NOT_ATTEMPTED = 10
    # It did not move, and the kernel does not say why.
    UNKNOWN = 11

    @property
    def errno(self) -> int:
        """The number that says so where only errnos are understood; 0 for MOVED."""
        return _ERRNO_OF[self]


_EHWPOISON: Final = 133  # include/uapi/asm-generic/errno.h; Python has no name for it
_BY_ERRNO: Final = {
    errno.EBUSY: Result.BUSY,
    errno.EAGAIN: Result.BUSY,
    errno.ENOMEM: Result.NO_MEMORY,
    errno.EACCES: Result.SHARED,
    errno.EPERM: Result.FORBIDDEN,
    errno.ENOENT: Result.GONE,
    errno.EFAULT: Result.GONE,
    _EHWPOISON: Result.POISONED,
    errno.ENODEV: Result.BAD_TARGET,
    errno.EINPROGRESS: Result.NOT_ATTEMPTED,
    errno.EINTR: Result.NOT_ATTEMPTED,
}


_ERRNO_OF: Final = {
    Result.MOVED: 0,
    Result.BUSY: errno.EBUSY,
    Result.NO_MEMORY: errno.ENOMEM,
    Result.SHARED: errno.EACCES,
    Result.FORBIDDEN: errno.EPERM,
    Result.GONE: errno.ENOENT,
    Result.POISONED: _EHWPOISON,
    Result.BAD_TARGET: errno.ENODEV,
    Result.CHANGED: errno.ESTALE,
    Result.UNREACHABLE: errno.ESRCH,
    Result.NOT_ATTEMPTED: errno.EINPROGRESS,
    Result.UNKNOWN: errno.EAGAIN,
}


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Pages to move: frame, target node and the inode number of the owner's cgroup of each, shape (n,)."""

    pfns: U64
    targets: I32
    owners: U64

    def __post_init__(self) -> None:
        if not self.pfns.shape == self.targets.shape == self.owners.shape:
            raise ValueError("a move is a frame, a target and an owner: give as many of each")

    def some(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Request:
        """Some of them, by mask or by place."""
        return Request(self.pfns[which], self.targets[which], self.owners[which])


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A Result for each page, shape (n,); `error` is the sentence of what made the engine fail as a whole.

    `cpu_seconds` is what it cost, threads of the kernel that worked for it included.
    """

    results: Results
    cpu_seconds: float = 0.0
    error: str | None = None

    @property
    def counts(self) -> Mapping[Result, int]:
        """How many pages had each result that there was."""
        found = np.bincount(self.results, minlength=len(Result))
        return {result: int(found[result]) for result in Result if found[result]}

    def statuses(self, targets: I32) -> I32:
        """As system calls tell it: the target of each page that moved, or a negative errno, shape (n,)."""
        errnos = np.array([-result.errno for result in Result], dtype=np.int32)
        return np.where(self.results == Result.MOVED, targets, errnos[self.results]).astype(np.int32)

    @property
    def moved(self) -> int:
        """How many pages moved."""
        return int((self.results == Result.MOVED).sum())


class Engine(Protocol):
    """An engine. What goes wrong in the middle is in the outcome; nothing is raised for it."""

    @property
    def name(self) -> str:
        """As the policy's `engines` writes it."""

    def migrate(self, moves: Request) -> Outcome:
        """Move pages, each named once; of a large folio any page stands for all."""

    def stop(self) -> None:
        """Leave nothing running in the kernel."""


def migrate(engine: Engine, host: Host, moves: Request) -> Outcome:
    """Have the engine move those pages whose owner is still the same, asked right before; the others are CHANGED.

    Nor are pages handed to it that flags tell cannot move now, with that as their result.
    """
    results = np.full(moves.pfns.shape, Result.NOT_ATTEMPTED, dtype=np.uint8)
    try:
        flags = kpage.flags_at(host, moves.pfns)
        same = owners.unchanged(host, moves.pfns, moves.owners)
    except KernelInterfaceError as err:
        return Outcome(results, error=f"owners could not be checked: {err}")
    results[:] = _hindered(flags)
    results[~same] = Result.CHANGED
    ready = same & owners.movable(flags)
    if not ready.any():
        return Outcome(results)
    outcome = engine.migrate(moves.some(ready))
    results[ready] = outcome.results
    return Outcome(results, outcome.cpu_seconds, outcome.error)


def _hindered(flags: U64) -> Results:
    """Why pages cannot be moved now, for those that cannot. A page off the LRU list is in somebody's hands."""
    results = np.full(flags.shape, Result.BUSY, dtype=np.uint8)
    results[kpage.has(flags, PageFlag.UNEVICTABLE)] = Result.FORBIDDEN
    results[kpage.has(flags, PageFlag.HWPOISON)] = Result.POISONED
    return results


def from_statuses(statuses: I32, targets: I32) -> Results:
    """Results from the kernel's statuses of pages: the node that a page is on, or a negative errno. Pure."""
    table = np.full(_ERRNOS, Result.UNKNOWN, dtype=np.uint8)
    for number, result in _BY_ERRNO.items():
        table[number] = result
    # What is no errno at all is not known either.
    results = table[np.clip(-statuses, 0, _ERRNOS - 1)]
    results[statuses >= 0] = Result.UNKNOWN
    results[statuses == targets] = Result.MOVED
    return results


_ERRNOS: Final = 4096
