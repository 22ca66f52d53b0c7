"""A node's command: its output, its status, and what is told of a node that never comes to its end."""

from __future__ import annotations

import contextlib
import fcntl
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import CHECKOUT, LAB, Ended, lab, node
from tests.lab.cache import default_root

pytestmark = pytest.mark.vm

# Every byte there is, then 300,000 that follow no pattern: more than any buffer on the way holds.
BINARY = """
import random, sys
sys.stdout.buffer.write(bytes(range(256)) + random.Random(1).randbytes(300_000))
sys.stderr.buffer.write(b"\\x00\\xff complaint\\r\\n")
sys.exit(37)
"""


def test_binary_output_and_the_exit_status_survive() -> None:
    ended = node("python3", "-c", BINARY, options="--no-slow")
    assert ended.status == 37
    assert ended.out == bytes(range(256)) + random.Random(1).randbytes(300_000)  # noqa: S311  no secret
    assert ended.err == "\x00\ufffd complaint\r\n"


def test_a_command_that_a_signal_ends_and_one_that_is_not_there() -> None:
    assert node("sh", "-c", "kill -9 $$", options="--no-slow").status == 137
    missing = node("no-such-command", options="--no-slow")
    assert missing.status == 127
    assert "no-such-command" in missing.err


def test_the_projects_commands_and_packages_are_there() -> None:
    ended = node(
        "sh", "-c", "thermocline-agent --version && thermocline-operator --version", options="--no-slow"
    )
    assert ended.text == "thermocline-agent 0.1.0\nthermocline-operator 0.1.0\n"


def test_a_shared_folder_is_read_and_written(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(bytes(range(256)) * 512)
    ended = node("cp", "/share/in", "/share/out", options="--no-slow", share=tmp_path)
    assert ended.status == 0, ended.err
    assert (tmp_path / "out").read_bytes() == bytes(range(256)) * 512


def test_a_panic_is_told_with_the_end_of_the_console() -> None:
    ended = node(
        "sh", "-c", "echo before; echo c >/proc/sysrq-trigger", options="--no-slow", timeout_seconds=120
    )
    assert ended.status == 125
    assert ended.out == b"before\n"
    assert "Kernel panic - not syncing: sysrq triggered crash" in ended.err
    assert "\nlab: the node stopped before its command had ended\n" in ended.err
    assert "sysrq triggered crash" in whole_console(ended).read_text()
    assert "Call Trace:" in ended.err
    assert len(ended.err.splitlines()) <= 42


def test_a_hang_ends_with_the_timeout() -> None:
    started = time.monotonic()
    ended = node("sleep", "1000", options="--no-slow", timeout_seconds=20)
    assert time.monotonic() - started < 60
    assert ended.status == 124
    assert "\nlab: the node's command did not end within 20 s\n" in ended.err
    assert re.match(r"\[ +\d+\.\d+\] ", whole_console(ended).read_text())
    # The end of the console comes before that.
    assert re.match(r"\[ +\d+\.\d+\] ", ended.err)


def test_a_node_out_of_memory_says_so() -> None:
    ended = node(
        "python3",
        "-c",
        "x = [bytearray(b'x' * (32 << 20)) for _ in range(64)]",
        options="--no-slow --memory 512M",
    )
    assert ended.status == 137
    assert "ran out of memory" in ended.err
    assert "Out of memory: Killed process" in ended.err
    # A shell that does not mind what became of it makes no success of it.
    command = "python3 -c 'x = [bytearray(b\"x\" * (32 << 20)) for _ in range(64)]'; true"
    assert node("sh", "-c", command, options="--no-slow --memory 512M").status == 125


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_lab_that_is_stopped_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    words = [
        "node",
        "run",
        "--no-slow",
        "--share",
        str(tmp_path),
        "--",
        "sh",
        "-c",
        "touch /share/up; sleep 1000",
    ]
    victim = subprocess.Popen([*LAB, *words], cwd=CHECKOUT, stderr=subprocess.PIPE, start_new_session=True)
    try:
        wait_for((tmp_path / "up").exists, 60)
        assert emulators_of(tmp_path)
        victim.send_signal(number)
        _, complaint = victim.communicate(timeout=20)
    finally:
        victim.kill()
    wait_for(lambda: not emulators_of(tmp_path), 10)
    if number != signal.SIGKILL:
        assert victim.returncode == 130
        assert complaint == b"lab: interrupted\n"
    # What a killed lab could not remove, the next one does.
    assert node("true", options="--no-slow").status == 0
    assert not abandoned_folders()


def test_a_node_larger_than_the_machine_is_told() -> None:
    ended = node("true", options="--no-slow --memory 900000G")
    assert ended.status == 2
    assert "does not fit this machine" in ended.err


def test_output_that_nobody_reads_or_that_does_not_fit_ends_the_run() -> None:
    words = " ".join([*LAB, "node", "run", "--no-slow", "--"])
    started = time.monotonic()
    read = subprocess.run(
        ["bash", "-c", f"{words} yes | head -n 3; echo ${{PIPESTATUS[0]}}"],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert time.monotonic() - started < 120
    assert read.stdout == "y\ny\ny\n141\n"
    assert read.stderr == "lab: nobody reads the output any more\n"
    full = subprocess.run(
        ["bash", "-c", f"{words} seq 200000 >/dev/full"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert full.returncode == 2
    assert full.stderr == "lab: the machine: No space left on device\n"


def test_bad_options_are_told_in_one_sentence() -> None:
    for words, sentence in {
        "--memory 1T": "--memory '1T' is no size: write a whole number with M or G, such as 512M",
        "--cxl 100M": "--cxl 100M is no multiple of 128M, the unit in which Linux adds memory: round it up",
        "--share /no/such/folder": "--share /no/such/folder is no folder: name one that exists",
        "--cpus 99": "--cpus 99: say 1 to 8",
        "--timeout -1": "--timeout -1: say 1 to 604800 seconds",
        "--timeout nan": "--timeout nan: say 1 to 604800 seconds",
        "--wrong": "unrecognized arguments: --wrong (a command for a node comes after --): "
        "see `python3 -m tests.lab --help`",
        "--icount --cpus 2": "--icount counts the instructions of one CPU: say --cpus 1 with it",
    }.items():
        ended = lab("node", "run", *words.split(), "--", "true")
        assert (ended.status, ended.out, ended.err) == (2, b"", f"lab: {sentence}\n")
    nothing = subprocess.run([*LAB, "node", "run"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert nothing.returncode == 2
    assert (
        nothing.stderr
        == "lab: there is no command to run: write it after --, such as `node run -- uname -r`\n"
    )


def whole_console(ended: Ended) -> Path:
    """The file that the last line of a complaint names."""
    return Path(ended.err.splitlines()[-1].removeprefix("lab: the whole console is "))


def emulators_of(folder: Path) -> list[int]:
    """Emulators that share this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # no process, or one that has just ended
        if any(b"qemu-system" in word for word in words) and any(bytes(folder) in word for word in words):
            found.append(int(entry.name))
    return found


def abandoned_folders() -> list[Path]:
    """Folders of nodes that no lab holds. Another lab's nodes may be running meanwhile."""
    found = []
    for folder in (default_root() / "run").iterdir():
        with contextlib.suppress(FileNotFoundError), (folder / "lock").open("r") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            found.append(folder)
    return found


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.1)


# How long a loop takes, in nanoseconds; the least of five, for timer ticks come now and then.
COUNTED = """
import time
def loop():
    start = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    for _ in range(100000): pass
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) - start
print(min(loop() for _ in range(5)))
"""


def test_figures_of_a_counting_node_repeat() -> None:
    """Under --icount a nanosecond of the clock is an instruction, whatever else the machine does."""
    options = "--icount --slow-ram 256M --memory 512M"
    # Without what an interpreter does differently each time: where its memory lies, and how it hashes.
    command = ("setarch", "-R", "env", "PYTHONHASHSEED=0", "python3", "-c", COUNTED)
    first, second = (int(node(*command, options=options).text) for _ in range(2))
    assert abs(first - second) / second < 0.01
