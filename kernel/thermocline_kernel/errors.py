"""What can go wrong with a kernel interface.

    KernelInterfaceError        something about one interface; `path` names it, `errno` is the kernel's reason
    ├── Unavailable             this kernel does not have it (ENOENT, ENOSYS, …)
    │   └── Denied              it does, but not for this process (EPERM, EACCES)
    ├── Failed                  it is there and refused what was asked, for any other reason
    │   └── Busy                … because somebody else uses it, so it may work later (EBUSY)
    └── Garbled                 its answer makes no sense: conclude nothing from it; `line` says where

A page that could not be moved or looked up is no exception: its errno is in the array of statuses.
"""

from __future__ import annotations

import errno
import os

_MISSING = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ENOSYS, errno.ENODEV, errno.ENXIO, errno.EOPNOTSUPP, errno.ESRCH}
)
_DENIED = frozenset({errno.EPERM, errno.EACCES})


class KernelInterfaceError(Exception):
    """Something about one interface. `path` is a file, or a name such as move_pages(2)."""

    def __init__(self, path: str | os.PathLike[str], why: str, number: int | None = None) -> None:
        super().__init__(f"{os.fspath(path)}: {why}")
        self.path = os.fspath(path)
        self.errno = number


class Unavailable(KernelInterfaceError):
    """The kernel or the machine does not have the interface, or the process asked about is gone."""


class Denied(Unavailable):
    """The interface is there, but not for this process."""


class Failed(KernelInterfaceError):
    """The kernel refused the operation as a whole."""


class Busy(Failed):
    """Somebody else uses what the operation needs."""


class Garbled(KernelInterfaceError):
    """The interface's answer is not what its documentation says. `line` counts from 1."""

    def __init__(self, path: str | os.PathLike[str], why: str, line: int | None = None) -> None:
        super().__init__(path if line is None else f"{os.fspath(path)}:{line}", why)
        self.path = os.fspath(path)
        self.line = line


def failure(path: str | os.PathLike[str], error: OSError) -> KernelInterfaceError:
    """The project's exception for an OSError, to be raised from it."""
    return failure_of(path, error.errno or errno.EIO)


def failure_of(path: str | os.PathLike[str], number: int) -> KernelInterfaceError:
    """The project's exception for an errno. It is Unavailable, Denied or Failed."""
    if number in _MISSING:
        kind: type[KernelInterfaceError] = Unavailable
    elif number in _DENIED:
        kind = Denied
    elif number == errno.EBUSY:
        kind = Busy
    else:
        kind = Failed
    return kind(path, f"{os.strerror(number)} ({errno.errorcode.get(number, number)})", number)
