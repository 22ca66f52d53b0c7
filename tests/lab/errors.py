"""What can go wrong in the lab, and the exit status that each kind ends with.

    LabError            the lab cannot do what was asked: one sentence that says what to do, status 2
    └── BuildFailed     a part did not build: the sentence, then the end of its log
    NodeFailed          a node panicked, hung or ran out of memory: the end of its console, status 3
"""

from __future__ import annotations

from pathlib import Path

# `node run` passes the status of the guest's command on, so these are statuses that commands seldom end with.
STATUS_LAB_ERROR = 2
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

    `status` is what the lab shall exit with: 124 after --timeout, else 125. `console` is the end of the
    node's serial console.
    """

    def __init__(self, sentence: str, status: int, console: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.console = console
