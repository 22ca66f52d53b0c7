"""What counts as a success of the system call's own tests."""

from __future__ import annotations

import pytest

from tests.selftests import Run, programs

PASSED = "TAP version 13\n1..2\n#  RUN  a\nok 1 a\nok 2 b\n"


def printed(output: str, status: int = 0, log: str = "[0.0] Linux version 6.12\n") -> Run:
    return Run.parse(f"== owners\n{output}== ended {status}\n== dmesg\n{log}")


def test_all_that_was_planned_passed() -> None:
    run = printed(PASSED)
    assert run.output == {"owners": PASSED}
    assert run.failures() == run.complaints() == []


@pytest.mark.parametrize(
    ("output", "status"),
    [
        (PASSED, 1),
        (PASSED, 124),
        (PASSED.replace("ok 2", "not ok 2"), 0),
        (PASSED.replace("ok 2 b", "ok 2 b # SKIP needs a disk"), 0),
        (PASSED.replace("ok 2 b\n", ""), 0),
        ("TAP version 13\n1..0 # SKIP needs two nodes with memory\n", 4),
        ("TAP version 13\n1..0\n", 0),
        ("", 0),
    ],
)
def test_everything_else_is_a_failure(output: str, status: int) -> None:
    (failure,) = printed(output, status).failures()
    assert failure.startswith(f"owners: status {status}\n")


def test_a_program_that_never_ended_is_missing() -> None:
    assert Run.parse(f"== owners\n{PASSED}").output == {}


@pytest.mark.parametrize(
    "line",
    [
        "BUG: KASAN: slab-use-after-free in f",
        "WARNING: CPU: 0 PID: 1 at mm/x.c:1",
        "WARNING: possible circular locking dependency detected",
        "BUG: Bad page state in process x  pfn:1",
        "INFO: task x:1 blocked for more than 120 seconds.",
    ],
)
def test_the_kernels_complaints_are_found(line: str) -> None:
    assert printed(PASSED, log=f"[1.0] {line}\n").complaints() == [f"[1.0] {line}"]


def test_there_are_programs() -> None:
    assert {"arguments", "fuzz", "races"} <= programs()
