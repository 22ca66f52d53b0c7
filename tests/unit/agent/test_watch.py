"""`run --watch` on a terminal: a pseudo-terminal, and the agent as a process of its own."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.unit.agent.test_policy_file import GOOD

CTRL_C = b"\x03"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# A loaded machine takes its time to start Python.
PATIENCE_SECONDS = 120


@dataclass
class Terminal:
    """The agent on a terminal of its own, whose foreground process it is."""

    agent: subprocess.Popen[bytes]
    side: int
    seen: bytes = field(default=b"")

    @property
    def text(self) -> str:
        return ESCAPE.sub("", self.seen.decode(errors="replace"))

    def read_until(self, wanted: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while wanted not in self.text:
            assert time.monotonic() < deadline, self.text
            if not self._read():
                break
        assert wanted in self.text

    def read_to_the_end(self) -> int:
        while self._read():
            pass
        return self.agent.wait(PATIENCE_SECONDS)

    def _read(self) -> bool:
        """Read what is there within a second; False once nobody holds the terminal any more."""
        if not select.select([self.side], [], [], 1)[0]:
            return True
        try:
            more = os.read(self.side, 65_536)
        except OSError:
            return False
        self.seen += more
        return bool(more)


def _have_terminal() -> None:
    """Who opens a terminal first in a new session is what Ctrl-C there goes to."""
    os.close(os.open(os.ttyname(0), os.O_RDWR))


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "policy.yaml").write_text(GOOD)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    words = [
        "run",
        "--policy",
        str(tmp_path / "policy.yaml"),
        "--runtime-dir",
        str(tmp_path / "run"),
        "--watch",
    ]
    agent = subprocess.Popen(
        [sys.executable, "-m", "thermocline_agent", *words],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color"}, preexec_fn=_have_terminal,  # noqa: PLW1509 - the way to it
    )  # fmt: skip
    os.close(theirs)
    yield Terminal(agent, ours)
    if agent.poll() is None:
        agent.kill()
        agent.wait()
    os.close(ours)


def test_a_table_is_drawn_and_ctrl_c_ends_it_cleanly(terminal: Terminal) -> None:
    terminal.read_until("observing…")
    terminal.read_until("pod or service")
    assert "round 1:" in terminal.text
    os.write(terminal.side, CTRL_C)
    assert terminal.read_to_the_end() == 0
    assert "Traceback" not in terminal.text
    # The cursor, which a live table hides, is back.
    assert terminal.seen.rfind(b"\x1b[?25h") > terminal.seen.rfind(b"\x1b[?25l") >= 0


def test_sigterm_gives_the_terminal_back_too(terminal: Terminal) -> None:
    terminal.read_until("pod or service")
    terminal.agent.send_signal(signal.SIGTERM)
    assert terminal.read_to_the_end() == 0
    assert terminal.seen.rfind(b"\x1b[?25h") > terminal.seen.rfind(b"\x1b[?25l") >= 0
