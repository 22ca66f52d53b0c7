"""move_phy_pages(2) without a kernel that has it: what is refused, and every verdict of the probe.

Files of the tree publish numbers of calls that every kernel has, so that the call is made for real. The call
itself is tried on the lab's nodes (tests/vm/test_move_phy_pages.py).
"""

from __future__ import annotations

import errno
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.unit.kernel import trees
from thermocline_kernel import move_phy_pages
from thermocline_kernel.errors import Failed, Garbled, Unavailable, failure_of
from thermocline_kernel.host import Host
from thermocline_kernel.move_phy_pages import ABI, MAX_ENTRIES, NAME, Verdict
from thermocline_kernel.seccomp import CAP_SYS_ADMIN, Mode, Rights

FOLDER = "kernel/mm/move_phy_pages"
# Calls of x86-64 (arch/x86/entry/syscalls/syscall_64.tbl): one that fails with EBADF for these arguments, one
# that waits for a signal, one that always succeeds, and one that there is not.
CLOSE, PAUSE, GETPID, NOWHERE = 3, 34, 39, 100_000
CAPABLE = 1 << CAP_SYS_ADMIN


def publishing(root: Path, number: object, abi: object = ABI) -> Host:
    """A host whose kernel says that the call has this number and this ABI."""
    host = trees.host(root)
    trees.plant(host.sys, {f"{FOLDER}/nr": f"{number}\n", f"{FOLDER}/abi": f"{abi}\n"})
    return host


def test_statuses_nobody_wrote_say_so(tmp_path: Path) -> None:
    host = publishing(tmp_path, GETPID)
    paddrs = np.array([1 << 32, 0], dtype=np.uint64)
    for statuses in (
        move_phy_pages.query(paddrs, host=host),
        move_phy_pages.move(paddrs, np.zeros(2, dtype=np.int32), host=host),
        move_phy_pages.move([1 << 32, (1 << 64) - 1], [0, -1], shared=True, host=host),
    ):
        assert statuses.dtype == np.int32
        assert statuses.tolist() == [-errno.EINPROGRESS] * 2
    assert move_phy_pages.query([], host=host).shape == (0,)


def test_what_fails_as_a_whole_is_an_exception(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as missing:
        move_phy_pages.query([0], host=publishing(tmp_path, NOWHERE))
    assert (missing.value.path, missing.value.errno) == (NAME, errno.ENOSYS)
    (tmp_path / "other").mkdir()
    with pytest.raises(Failed) as failed:
        move_phy_pages.query(
            np.zeros(MAX_ENTRIES, dtype=np.uint64), host=publishing(tmp_path / "other", CLOSE)
        )
    assert failed.value.errno == errno.EBADF


def test_arguments_are_taken_as_they_are_or_refused(tmp_path: Path) -> None:
    host = publishing(tmp_path, GETPID)
    paddrs, nodes = np.zeros(3, dtype=np.uint64), np.zeros(3, dtype=np.int32)
    with pytest.raises(TypeError, match="paddrs must be uint64, not int64"):
        move_phy_pages.query(paddrs.astype(np.int64), host=host)
    with pytest.raises(TypeError, match="nodes must be int32, not int64"):
        move_phy_pages.move(paddrs, nodes.astype(np.int64), host=host)
    with pytest.raises(ValueError, match="paddrs must be one-dimensional and contiguous"):
        move_phy_pages.query(np.zeros(6, dtype=np.uint64)[::2], host=host)
    with pytest.raises(ValueError, match="3 paddrs and 2 nodes: one node for each address"):
        move_phy_pages.move(paddrs, nodes[:2], host=host)
    with pytest.raises(ValueError, match="one node for each address"):
        move_phy_pages.move([0, 1], [0], host=host)
    for wrong in ([-1], [1 << 64]):
        with pytest.raises(ValueError, match="paddrs must be from 0"):
            move_phy_pages.query(wrong, host=host)
    with pytest.raises(ValueError, match="nodes must fit 32 bits"):
        move_phy_pages.move([0], [1 << 31], host=host)
    with pytest.raises(TypeError):
        move_phy_pages.query([0.5], host=host)  # type: ignore[list-item]


def test_a_call_too_large_says_how_large_one_may_be(tmp_path: Path) -> None:
    host = publishing(tmp_path, GETPID)
    paddrs = np.zeros(MAX_ENTRIES + 1, dtype=np.uint64)
    assert move_phy_pages.query(paddrs[1:], host=host).size == MAX_ENTRIES
    with pytest.raises(ValueError, match=f"{MAX_ENTRIES + 1} paddrs: a call takes at most {MAX_ENTRIES}"):
        move_phy_pages.query(paddrs, host=host)
    with pytest.raises(ValueError, match="make several"):
        move_phy_pages.move(paddrs, np.zeros(paddrs.shape, dtype=np.int32), host=host)


def test_a_kernel_without_the_call_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=FOLDER):
        move_phy_pages.query([0], host=trees.host(tmp_path))


@pytest.mark.parametrize("abi", [ABI + 1, 0])
def test_another_abi_is_refused(tmp_path: Path, abi: int) -> None:
    host = publishing(tmp_path, GETPID, abi)
    with pytest.raises(Unavailable, match=f"has ABI {abi} here"):
        move_phy_pages.query([0], host=host)
    found = move_phy_pages.probe(host)
    assert found.verdict is Verdict.ABI_NOT_UNDERSTOOD
    assert "update Thermocline" in found.sentence


def test_what_makes_no_sense_is_no_number(tmp_path: Path) -> None:
    host = publishing(tmp_path, "many")
    with pytest.raises(Garbled, match=f"{FOLDER}/nr:1"):
        move_phy_pages.query([0], host=host)
    assert move_phy_pages.probe(host).verdict is Verdict.ABI_NOT_UNDERSTOOD


def test_half_of_the_files_are_not_understood(tmp_path: Path) -> None:
    host = publishing(tmp_path, GETPID)
    (host.sys / FOLDER / "nr").unlink()
    found = move_phy_pages.probe(host)
    assert found.verdict is Verdict.ABI_NOT_UNDERSTOOD
    assert f"{FOLDER}/nr" in found.sentence


def test_the_probe_calls(tmp_path: Path) -> None:
    found = move_phy_pages.probe(publishing(tmp_path, GETPID))
    assert found.available
    assert f"system call {GETPID}" in found.sentence


def test_a_kernel_that_says_nothing_does_not_have_it(tmp_path: Path) -> None:
    host = trees.host(tmp_path)
    found = move_phy_pages.probe(host)
    assert (found.verdict, found.available) == (Verdict.NOT_IN_KERNEL, False)
    assert "mount sysfs" in found.sentence
    (host.sys / "kernel/mm").mkdir(parents=True)
    found = move_phy_pages.probe(host)
    assert found.verdict is Verdict.NOT_IN_KERNEL
    assert "this kernel has no move_phy_pages(2)" in found.sentence


def test_the_probe_looks_at_the_rights_of_this_thread(tmp_path: Path) -> None:
    host = publishing(tmp_path, NOWHERE)
    with pytest.raises(Unavailable, match="thread-self"):
        move_phy_pages.probe(host)
    trees.plant(host.proc, {"thread-self/status": "CapEff:\t0\nSeccomp:\t2\n"})
    assert move_phy_pages.probe(host).verdict is Verdict.BLOCKED_BY_SECCOMP
    trees.plant(host.proc, {"thread-self/status": "CapEff:\t0\nSeccomp:\t0\n"})
    assert move_phy_pages.probe(host).verdict is Verdict.NOT_IN_KERNEL


@pytest.mark.parametrize(
    ("number", "mode", "effective", "initial", "verdict", "words"),
    [
        (errno.ENOSYS, Mode.FILTER, CAPABLE, True, Verdict.BLOCKED_BY_SECCOMP, "a seccomp filter hides it"),
        (errno.ENOSYS, Mode.FILTER, 0, False, Verdict.BLOCKED_BY_SECCOMP, "run unconfined"),
        (errno.ENOSYS, Mode.DISABLED, CAPABLE, True, Verdict.NOT_IN_KERNEL, "is this a sandbox"),
        (errno.EPERM, Mode.FILTER, CAPABLE, True, Verdict.BLOCKED_BY_SECCOMP, "a seccomp filter forbids"),
        (errno.EPERM, Mode.FILTER, ~CAPABLE, True, Verdict.NO_CAPABILITY, "add that capability"),
        (errno.EPERM, Mode.DISABLED, 0, True, Verdict.NO_CAPABILITY, "add that capability"),
        (errno.EPERM, Mode.FILTER, CAPABLE, False, Verdict.NO_CAPABILITY, "another user namespace"),
        (errno.EPERM, Mode.DISABLED, CAPABLE, True, Verdict.NO_CAPABILITY, "a security module"),
        (errno.EINVAL, Mode.DISABLED, CAPABLE, True, Verdict.ABI_NOT_UNDERSTOOD, "EINVAL"),
    ],
)
def test_what_a_failed_call_means(
    number: int, mode: Mode, effective: int, initial: bool, verdict: Verdict, words: str
) -> None:
    found = move_phy_pages.explain(
        failure_of(NAME, number), 600, Rights(mode, effective, initial, initial_pid_namespace=True)
    )
    assert found.verdict is verdict
    assert words in found.sentence


def test_other_threads_run_during_a_call(tmp_path: Path) -> None:
    host = publishing(tmp_path, PAUSE)
    ended: list[int | None] = []

    def wait_for_a_signal() -> None:
        with pytest.raises(Failed) as caught:
            move_phy_pages.query([0], host=host)
        ended.append(caught.value.errno)

    # Should the call keep the interpreter to itself, nobody could end it: then the alarm does.
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.alarm(20)
    waiting = threading.Thread(target=wait_for_a_signal)
    waiting.start()
    try:
        while waiting.is_alive():
            signal.pthread_kill(waiting.ident or 0, signal.SIGALRM)
            time.sleep(0.01)
        assert signal.alarm(0) > 15
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert ended == [errno.EINTR]
