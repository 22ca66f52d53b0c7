"""The tree of errors: what each carries, and which errno becomes which."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from thermocline_kernel.errors import (
    Busy,
    Denied,
    Failed,
    Garbled,
    KernelInterfaceError,
    Unavailable,
    failure,
)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, Unavailable),
        (errno.ENOSYS, Unavailable),
        (errno.ESRCH, Unavailable),
        (errno.EPERM, Denied),
        (errno.EACCES, Denied),
        (errno.EBUSY, Busy),
        (errno.EINVAL, Failed),
        (errno.E2BIG, Failed),
        (errno.EIO, Failed),
    ],
)
def test_an_errno_decides_the_kind(number: int, kind: type[KernelInterfaceError]) -> None:
    error = failure(Path("/proc/x"), OSError(number, "…"))
    assert type(error) is kind
    assert (error.path, error.errno) == ("/proc/x", number)
    assert "/proc/x" in str(error)
    assert errno.errorcode[number] in str(error)


def test_an_error_without_a_number_is_an_input_output_error() -> None:
    assert failure("/proc/x", OSError("no number")).errno == errno.EIO


def test_garbled_names_file_and_line() -> None:
    error = Garbled(Path("/proc/x"), "no sense", 7)
    assert (error.path, error.line, error.errno) == ("/proc/x", 7, None)
    assert str(error) == "/proc/x:7: no sense"
    assert str(Garbled("/proc/x", "no sense")) == "/proc/x: no sense"
