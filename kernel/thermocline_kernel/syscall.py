"""System calls by number, and the one place that looks at their result."""

from __future__ import annotations

import ctypes
import errno

from thermocline_kernel.errors import failure_of

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def call(name: str, number: int | None, *arguments: int | None) -> int:
    """The result of a system call whose arguments are integers and addresses (None: NULL).

    ctypes lets go of the GIL meanwhile. `number` is None where this machine's architecture has no known one.
    Raises Unavailable, Denied or Failed, by errno, when the call as a whole fails.
    """
    if number is None:
        raise failure_of(name, errno.ENOSYS)
    # syscall(2) is variadic: every argument is passed as wide as a register.
    result = int(_libc.syscall(ctypes.c_long(number), *(ctypes.c_void_p(argument) for argument in arguments)))
    if result < 0:
        raise failure_of(name, ctypes.get_errno())
    return result
