"""Build tools die with the lab, at whatever moment it is killed."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.commands import CHECKOUT
from tests.lab import process
from tests.lab.errors import BuildFailed

STARTS = """
import sys
from pathlib import Path
from tests.lab import process
print("ready", flush=True)
process.run(["sleep", sys.argv[1]], log=Path(sys.argv[2]))
"""


def sleepers(word: str) -> list[str]:
    """Processes with this word on their command line, the lab's own not counted."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue  # it has just ended
        if word in words and STARTS not in words:
            found.append(f"{entry.name} {words}")
    return found


def test_a_lab_killed_at_any_moment_leaves_no_tool(tmp_path: Path) -> None:
    moments = random.Random(3)  # noqa: S311  no secret
    # A time to sleep that nobody else's sleep has.
    word = f"9{time.time_ns()}"
    for _ in range(40):
        with subprocess.Popen(
            [sys.executable, "-c", STARTS, word, str(tmp_path / "log")], cwd=CHECKOUT, stdout=subprocess.PIPE
        ) as lab:
            assert lab.stdout is not None
            assert lab.stdout.readline() == b"ready\n"
            time.sleep(moments.uniform(0, 0.03))
            lab.kill()
    deadline = time.monotonic() + 20
    while left := sleepers(word):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_tools_of_other_threads_can_be_stopped(tmp_path: Path) -> None:
    failed: list[BuildFailed] = []

    def run() -> None:
        with pytest.raises(BuildFailed) as caught:
            process.run(["sleep", "1000"], log=tmp_path / "log")
        failed.append(caught.value)

    thread = threading.Thread(target=run)
    thread.start()
    started = time.monotonic()
    while thread.is_alive():
        assert time.monotonic() - started < 30
        process.stop_all()
        time.sleep(0.05)
    thread.join()
    assert len(failed) == 1
