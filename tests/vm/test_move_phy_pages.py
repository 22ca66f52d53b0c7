"""move_phy_pages(2) by its binding: on the kernel that has it, and on the one that has not."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Ended, node_commands, node_python

pytestmark = pytest.mark.vm

PROBE = Path(__file__).with_name("probes") / "physical_call.py"


@pytest.fixture(scope="module")
def patched() -> Any:
    # With one CPU no page waits in the batch of another, where it would honestly be busy.
    return node_python(PROBE, options="--slow-ram 256M --cpus 1").json


@pytest.mark.parametrize(
    ("thread", "verdict", "words"),
    [
        ("root", "AVAILABLE", "works"),
        ("no capability", "NO_CAPABILITY", "add that capability"),
        ("user namespace", "NO_CAPABILITY", "another user namespace"),
        ("filter EPERM", "BLOCKED_BY_SECCOMP", "forbids system call"),
        ("filter ENOSYS", "BLOCKED_BY_SECCOMP", "a seccomp filter hides it"),
    ],
)
def test_the_probe_tells_what_stands_in_the_way(patched: Any, thread: str, verdict: str, words: str) -> None:
    found, sentence = patched["probes"][thread]
    assert found == verdict
    assert words in sentence


def test_pages_move_by_their_physical_addresses_and_read_back_whole(patched: Any) -> None:
    assert patched["moved"] == {
        "query there": [1],
        "there": [1],
        "frames changed": 64,
        "migrated": 64,
        "again": [1],
        "back": [0],
        "whole": True,
        "one-liner": [0],
        "mixed": [0, -errno.EINVAL, 0, -errno.ENOENT],
        "bad node": [-errno.ENODEV, 0],
        "isolated": 0,
    }


def test_what_must_be_asked_for_moves_when_it_is_asked_for(patched: Any) -> None:
    assert patched["opted"] == {
        "shared, not asked": [-errno.EACCES],
        "shared, asked": [1],
        "locked, not asked": [-errno.EPERM],
        "locked, asked": [0],
    }


@pytest.fixture(scope="module")
def stock() -> dict[str, Ended]:
    commands = {"release": ["uname", "-rv"], "call": ["python3", "-c", PROBE.read_text()]}
    return node_commands(commands, options="--kernel stock --no-slow --cpus 1")


def test_the_stock_kernel_is_debians(stock: dict[str, Ended]) -> None:
    release = stock["release"].text
    assert "6.12." in release
    assert "-amd64 " in release
    assert "Debian" in release


def test_the_stock_kernel_does_not_have_the_call(stock: dict[str, Ended]) -> None:
    told = stock["call"].json
    # Whoever asks: nobody could use it here.
    for verdict, sentence in told["probes"].values():
        assert verdict == "NOT_IN_KERNEL"
        assert "this kernel has no move_phy_pages(2)" in sentence
    assert told["refused"] == ["Unavailable", errno.ENOENT]
