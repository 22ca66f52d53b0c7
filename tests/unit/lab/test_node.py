"""What is sent into a node and what comes back."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab import node
from tests.lab.build.part import Workshop
from tests.lab.cache import Cache
from tests.lab.errors import NodeFailed
from tests.lab.machine import Files, Machine, Slow
from tests.lab.node import Report


@pytest.mark.parametrize(
    ("line", "report"),
    [
        ("status=0 oom_kills=0\n", Report(0, 0)),
        ("status=137 oom_kills=2\n", Report(137, 2)),
        ("status=0 oom_kills=0", None),  # cut short
        ("", None),
        ("status= oom_kills=0\n", None),
    ],
)
def test_a_report_counts_only_when_it_came_whole(line: str, report: Report | None) -> None:
    assert Report.parse(line) == report


def test_the_command_survives_the_shell(tmp_path: Path) -> None:
    command = ["printf", "%s|", "a b", "", "it's", '"$HOME"', "line\nbreak", "*", "\udcff"]
    script = tmp_path / "job"
    script.write_bytes(node.job_files(Machine(), command)["job"])
    printed = subprocess.run(["sh", script], capture_output=True, check=True).stdout
    assert printed == b'a b||it\'s|"$HOME"|line\nbreak|*|\xff|'


def test_settings_tell_the_guest_what_to_set_up() -> None:
    def settings(machine: Machine) -> list[str]:
        return node.job_files(machine, ["true"])["settings"].decode().splitlines()

    assert "CXL=1" in settings(Machine(slow=Slow.CXL))
    assert "CXL=''" in settings(Machine(slow=Slow.RAM))
    assert "SHARE=1" in settings(Machine(share=Path("/")))


def test_the_job_is_a_whole_disk(tmp_path: Path) -> None:
    node.write_job(tmp_path / "job.tar", {"init": b"#!/bin/sh\n", "job": b"x" * 1000})
    assert (tmp_path / "job.tar").stat().st_size % 512 == 0
    with tarfile.open(tmp_path / "job.tar") as archive:
        entry = archive.getmember("init")
        content = archive.extractfile(entry)
        assert content is not None
        assert io.BytesIO(content.read()).getvalue() == b"#!/bin/sh\n"
        assert entry.mode == 0o755


def test_the_consoles_of_the_newest_failures_are_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.log("kernel").touch()
    for number in range(node.KEPT_CONSOLES + 3):
        folder = tmp_path / f"node-{number}"
        folder.mkdir()
        (folder / "console").write_text(f"{number}\n")
        failed = node._failed("it stopped", 125, folder, cache)
        # As if an hour went by between two failures.
        os.utime(failed.console, (3600 * number, 3600 * number))
    kept = {path.name for path in cache.log("kernel").parent.iterdir()}
    assert kept == {"kernel.log", *(f"node-{number}.log" for number in range(3, node.KEPT_CONSOLES + 3))}


@pytest.mark.parametrize("aborts", [0, 1, node.STARTS - 1, node.STARTS])
def test_a_node_whose_emulator_aborts_is_started_again(monkeypatch: pytest.MonkeyPatch, aborts: int) -> None:
    starts = 0

    def started(*_: object) -> int:
        nonlocal starts
        starts += 1
        if starts <= aborts:
            raise node._Lost("it stopped", 125, "", Path("console"))
        return 7

    monkeypatch.setattr(node, "_run", started)
    monkeypatch.setattr(Workshop, "get", lambda *_: ())

    def run() -> int:
        workshop = Workshop(Cache(Path("/none")), {})
        return node.run(workshop, Machine(), ["true"], out=io.BytesIO(), err=io.BytesIO(), timeout_seconds=1)

    if aborts < node.STARTS:
        assert run() == 7
    else:
        with pytest.raises(NodeFailed, match="it stopped"):
            run()
    assert starts == min(aborts + 1, node.STARTS)


@pytest.mark.parametrize(
    ("said", "starts"), [("pci 0000:00:01.0\n", node.STARTS), ("lab: the first process runs\n", 1)]
)
def test_a_command_that_may_have_begun_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, starts: int
) -> None:
    begun = []

    @contextmanager
    def aborting(machine: Machine, files: Files) -> Iterator[dict[str, socket.socket]]:
        begun.append(machine)
        files.console.write_text(said)
        files.console.with_name("emulator.log").write_bytes(node.EMULATOR_ABORTED)
        pairs = {name: socket.socketpair() for name in node.PORTS}
        for _, theirs in pairs.values():
            theirs.close()
        yield {name: ours for name, (ours, _) in pairs.items()}
        for ours, _ in pairs.values():
            ours.close()

    monkeypatch.setattr(node, "_started", aborting)
    monkeypatch.setattr(Workshop, "get", lambda *_: (tmp_path,) * 4)
    with pytest.raises(NodeFailed, match="stopped before"):
        node.run(
            Workshop(Cache(tmp_path), {}), Machine(), ["true"],
            out=io.BytesIO(), err=io.BytesIO(), timeout_seconds=60,
        )  # fmt: skip
    assert len(begun) == starts


def test_all_starts_together_have_the_time_that_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    deadlines = []

    def started(*words: object) -> int:
        deadlines.append(words[-1])
        raise node._Lost("it hung", 124, "", Path("console"))

    monkeypatch.setattr(node, "_run", started)
    monkeypatch.setattr(Workshop, "get", lambda *_: ())
    with pytest.raises(NodeFailed):
        node.run(
            Workshop(Cache(Path("/none")), {}), Machine(), ["true"],
            out=io.BytesIO(), err=io.BytesIO(), timeout_seconds=60,
        )  # fmt: skip
    assert len(deadlines) == node.STARTS
    assert len(set(deadlines)) == 1


def test_a_boot_hangs_when_it_says_no_more_and_not_when_it_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "BOOT_SECONDS", 0.5)
    console = tmp_path / "console"
    ours, theirs = socket.socketpair()

    def speak() -> None:
        for words in ("one\n", "two\n", "three\n", "four\n"):
            with console.open("a") as file:
                file.write(words)
            time.sleep(0.3)

    with ours, theirs:
        started = time.monotonic()
        speaking = threading.Thread(target=speak)
        speaking.start()
        assert node._hangs(Machine(), ours, console, started + 60)
        # Since the last word, which came 0.9 s after the first.
        assert time.monotonic() - started >= 1.4
        speaking.join()
        # No time is left to tell; a kernel that complained; one that has come far enough; a job that has ended.
        assert not node._hangs(Machine(), ours, console, time.monotonic() + 0.1)
        for words in ("Kernel panic", "lab: the first process runs"):
            console.write_text(words)
            assert not node._hangs(Machine(), ours, console, started + 60)
        console.write_text("one")
        theirs.send(b"status=0")
        assert not node._hangs(Machine(), ours, console, started + 60)


@pytest.mark.parametrize(
    ("said", "hung"),
    [
        (b"[    0.028000] tsc: Unable to calibrate against PIT\n", True),
        (b"[    0.9] lab: the first process runs\n", False),
        (b"[    0.3] Kernel panic - not syncing: no root\n", False),
        (None, True),
    ],
)
def test_a_boot_that_says_nothing_hangs(tmp_path: Path, said: bytes | None, hung: bool) -> None:
    console = tmp_path / "console"
    if said is not None:
        console.write_bytes(said)
    assert node.hung_in_boot(console) == hung
