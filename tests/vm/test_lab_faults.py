"""The lab's command line, where it cannot do what was asked: one sentence that says what to do, and status 2."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.commands import CHECKOUT, LAB, lab
from tests.lab.cache import remove_tree

pytestmark = pytest.mark.vm

NOBODY_ANSWERS = dict.fromkeys(("GOPROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (
            "cni",
            "the Go module proxy did not answer while cni was built: check the network and `go env GOPROXY`",
        ),
        ("rootfs", "Debian's mirror did not answer: check the network and apt's sources, then run it again"),
    ],
)
def test_a_registry_that_does_not_answer_is_told(tmp_path: Path, part: str, sentence: str) -> None:
    cache = tmp_path / "cache"
    ended = lab("build", part, env={**NOBODY_ANSWERS, "THERMOCLINE_CACHE": str(cache)}, timeout_seconds=300)
    assert ended.status == 2
    assert f"\nlab: {sentence}" in ended.err
    assert ended.err.endswith(f"lab: the whole log is {cache}/logs/{part}.log\n")
    assert list((cache / "parts").iterdir()) == []
    remove_tree(cache)


def test_a_build_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    # A proxy of Go's modules that listens and never says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(120)
        environ = {"GOPROXY": f"http://127.0.0.1:{silent.getsockname()[1]}", "THERMOCLINE_CACHE": str(cache)}
        with subprocess.Popen(
            [*LAB, "build", "cni"], cwd=CHECKOUT, env={**os.environ, **environ}, stderr=subprocess.PIPE
        ) as building:
            asking, _ = silent.accept()
            with asking:
                assert compilers_of(cache)
                building.send_signal(signal.SIGINT)
                _, complaint = building.communicate(timeout=60)
    assert building.returncode == 130
    assert complaint.endswith(b"lab: interrupted\n")
    assert compilers_of(cache) == []
    for folder in ("parts", "tmp", "run"):
        assert list((cache / folder).iterdir()) == []
    remove_tree(cache)


def compilers_of(cache: Path) -> list[bytes]:
    """The command lines of processes that write below a cache."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            words = (entry / "cmdline").read_bytes()
            if bytes(cache / "tmp") in words:
                found.append(words)
    return found


def test_an_unknown_part_lists_those_there_are() -> None:
    ended = lab("build", "kernle")
    assert ended.status == 2
    assert ended.err == (
        "lab: there is no part 'kernle': name some of kernel, kernel-debug, kubernetes, containerd, cni, helm, "
        "rootfs, images, selftests\n"
    )


def test_an_unknown_kind_of_node_and_a_bad_name_are_told() -> None:
    ended = lab("cluster", "up", "--nodes", "cxl")
    assert (ended.status, ended.err) == (
        2, "lab: there is no kind of node 'cxl': name some of patched, stock, dram, with commas\n"
    )  # fmt: skip
    ended = lab("cluster", "up", "--name", "../x")
    assert ended.status == 2
    assert ended.err.startswith("lab: '../x' is no cluster name: write small letters")


def test_the_cache_is_listed() -> None:
    listed = lab("cache").text
    assert "used by this checkout" in listed
    assert "/parts/rootfs-" in listed
