"""A thread's own rights."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.kernel import trees
from thermocline_kernel import seccomp
from thermocline_kernel.errors import Garbled, Unavailable
from thermocline_kernel.host import Host
from thermocline_kernel.seccomp import CAP_SYS_ADMIN, CAP_SYS_NICE, Mode

# Debian's linux-libc-dev, which gcc needs.
HEADERS = Path("/usr/include/linux")
STATUS = (
    "Name:\tpython3\nGroups:\t \nCapEff:\t{caps}\nNoNewPrivs:\t0\nSeccomp:\t{mode}\nSeccomp_filters:\t1\n"
)


def thread(root: Path, status: str, user: str | None = "user:[4026531837]") -> Host:
    """A host where this thread has that status file and lives in that user namespace."""
    host = trees.host(root)
    trees.plant(host.proc, {"thread-self/status": status})
    if user is not None:
        (host.proc / "thread-self/ns").mkdir()
        (host.proc / "thread-self/ns/user").symlink_to(user)
    return host


@pytest.mark.parametrize("mode", Mode)
def test_rights_are_read(tmp_path: Path, mode: Mode) -> None:
    rights = seccomp.own(thread(tmp_path, STATUS.format(caps="0000000000200000", mode=mode.value)))
    assert rights.mode is mode
    assert rights.filtered == (mode is Mode.FILTER)
    assert rights.has(CAP_SYS_ADMIN)
    assert not rights.has(CAP_SYS_NICE)
    assert rights.initial_user_namespace


def test_another_user_namespace_is_told_apart(tmp_path: Path) -> None:
    host = thread(tmp_path, STATUS.format(caps="0", mode=0), "user:[4026532301]")
    rights = seccomp.own(host)
    assert (rights.initial_user_namespace, rights.initial_pid_namespace) == (False, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a PID namespace")
def test_a_pid_namespace_is_seen() -> None:
    program = (
        "from thermocline_kernel import seccomp; from thermocline_kernel.host import Host\n"
        "print(seccomp.own(Host()).initial_pid_namespace)"
    )
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", program],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "False\n"


def test_a_kernel_without_namespaces_and_seccomp_has_neither(tmp_path: Path) -> None:
    rights = seccomp.own(thread(tmp_path, "Name:\tinit\nCapEff:\t00\n", user=None))
    assert (rights.mode, rights.initial_user_namespace) == (Mode.DISABLED, True)


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ("Name:\tx\n", None),
        ("Name:\tx\nCapEff:\txyz\n", 2),
        ("CapEff:\t\n", 1),
        ("CapEff:\t00000000000000000\n", 1),
        ("CapEff:\t0\nSeccomp:\t3\n", 2),
        ("CapEff:\t0\nSeccomp:\t\n", 2),
        ("CapEff:\t0\nno colon\n", 2),
        ("CapEff:\t0\nSeccomp:\t2", 2),
    ],
)
def test_what_is_no_status_is_garbled(tmp_path: Path, status: str, line: int | None) -> None:
    with pytest.raises(Garbled) as caught:
        seccomp.own(thread(tmp_path, status))
    assert caught.value.line == line


def test_no_proc_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="thread-self"):
        seccomp.own(trees.host(tmp_path))


def test_the_numbers_are_the_kernels() -> None:
    capabilities = dict(
        re.findall(r"^#define (CAP_\w+)\s+(\d+)$", (HEADERS / "capability.h").read_text(), re.MULTILINE)
    )
    assert int(capabilities["CAP_SYS_ADMIN"]) == CAP_SYS_ADMIN
    assert int(capabilities["CAP_SYS_NICE"]) == CAP_SYS_NICE
    modes = re.findall(
        r"^#define SECCOMP_MODE_(\w+)\s+(\d+)", (HEADERS / "seccomp.h").read_text(), re.MULTILINE
    )
    assert {name: int(value) for name, value in modes} == {mode.name: mode.value for mode in Mode}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a capability to drop")
def test_a_dropped_capability_is_seen() -> None:
    program = (
        "from thermocline_kernel import seccomp; from thermocline_kernel.host import Host\n"
        "rights = seccomp.own(Host()); print(rights.has(seccomp.CAP_SYS_ADMIN), rights.has(0))"
    )
    without = ["setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin"]
    done = subprocess.run(
        [*without, sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]
