"""What can go wrong in the lab, and the exit status that each kind ends with.

LabError            the lab cannot do what was asked: one sentence that says what to do, status 2
└── BuildFailed     a part did not build: the sentence, then the end of its log
NodeFailed          a node panicked or hung: the end of its console, the sentence, status 124 or 125
"""

from __future__ import annotations

from pathlib import Path

# `node run` passes the status of the guest's command on, so these are statuses that commands seldom end with.
STATUS_LAB_ERROR = 2
STATUS_INTERRUPTED = 130
STATUS_NODE_FAILED = 125
STATUS_NODE_TIMEOUT = 124


class LabError(Exception):
    """The lab cannot do what was asked. The message is one sentence that tells what to do about it."""


class BuildFailed(LabError):
    """A part did not build; `log` holds everything that its tools printed."""

    def __init__(self, sentence: str, log: Path) -> None:
        super().__init__(sentence)
        self.log = log


class NodeFailed(Exception):
    """A node ended without reporting the status of its command.

    `status` is what the lab shall exit with: 124 after --timeout, else 125. `console` holds all that the node
    wrote to its serial console, and what the emulator complained of; `tail` is its end.
    """

    def __init__(self, sentence: str, status: int, tail: str, console: Path) -> None:
        super().__init__(sentence)
        self.status = status
        self.tail = tail
        self.console = console
