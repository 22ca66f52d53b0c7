"""What becomes of a node's machine between its switch and its first process.

On a busy host the emulator now and then aborts while a guest sets up its devices, or its guest's CPUs wait for
each other for ever before they have started a process. Neither has anything to do with what the node is for:
such a machine is switched on again, which is told. A kernel that complained is not: that is a finding.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import progress
from tests.lab.cluster import member
from tests.lab.cluster.plan import Member, Plan
from tests.lab.errors import LabError
from tests.lab.node import BOOT_SECONDS, EMULATOR_ABORTED, FIRST_PROCESS, STARTS, hung_in_boot
from tests.lab.process import tail


@dataclass(slots=True)
class Boot:
    """A machine that was switched on and has not reached its first process, as far as is known."""

    plan: Plan
    member: Member
    # When it was switched on, or last said something.
    begun: float = field(default_factory=time.monotonic)
    said_bytes: int = 0
    starts: int = 1

    def look(self, now: float) -> None:
        """See how far the machine has come, and switch it on again where the emulator lost it.

        Raises LabError, with the console, when a machine has ended by itself or does not start at all.
        """
        home = self.plan.home / self.member.name
        running = member.is_running(self.plan, self.member)
        console = _content(home / "console")
        if len(console) != self.said_bytes:
            # Slow, and not hung: a busy host may take minutes.
            self.said_bytes, self.begun = len(console), now
        if running and (now - self.begun < BOOT_SECONDS or FIRST_PROCESS in console):
            return
        why = f"hung for {BOOT_SECONDS} s before its first process" if running else "ended"
        lost = hung_in_boot(home / "console") and (
            running or EMULATOR_ABORTED in _content(home / "emulator.log")
        )
        if not lost or self.starts == STARTS:
            words = tail(home / "console", 15) + tail(home / "emulator.log", 5)
            raise LabError(f"the machine of node {self.member.name} {why}:\n{words}")
        progress.say(f"node {self.member.name}: its machine {why}; switched on again")
        member.kill(self.plan, self.member)
        (home / "emulator.log").unlink(missing_ok=True)
        member.start(self.plan, self.member)
        self.begun = time.monotonic()
        self.starts += 1


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
