"""What becomes of a node's machine between its switch and its first process.

On a busy host the emulator now and then aborts while a guest sets up its devices, or its guest's CPUs wait for
each other for ever before they have started a process. Neither has anything to do with what the node is for:
such a machine is switched on again, which is told. A kernel that complained is not: that is a finding.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from tests.lab import progress
from tests.lab.cluster import member
from tests.lab.cluster.plan import Member, Plan
from tests.lab.errors import LabError
from tests.lab.node import BOOT_SECONDS, COMPLAINTS, EMULATOR_ABORTED, FIRST_PROCESS, STARTS
from tests.lab.process import tail


@dataclass(slots=True)
class Boot:
    """A machine that was switched on and has not reached its first process, as far as is known."""

    plan: Plan
    member: Member
    begun: float = field(default_factory=time.monotonic)
    starts: int = 1
    over: bool = False

    def look(self, now: float) -> None:
        """See how far the machine has come, and switch it on again where the emulator lost it.

        Raises LabError, with the console, when a machine has ended by itself or does not start at all.
        """
        console = (self.plan.home / self.member.name / "console").read_bytes() if self._has_console() else b""
        self.over = self.over or FIRST_PROCESS in console
        running = member.is_running(self.plan, self.member)
        if running and (self.over or now - self.begun < BOOT_SECONDS):
            return
        why = f"hung for {BOOT_SECONDS} s before its first process" if running else "ended"
        lost = not self.over and (running or EMULATOR_ABORTED in self._emulator_log())
        if not lost or self.starts == STARTS or any(words in console for words in COMPLAINTS):
            raise LabError(f"the machine of node {self.member.name} {why}:\n{self._words()}")
        progress.say(f"node {self.member.name}: its machine {why}; switched on again")
        member.kill(self.plan, self.member)
        (self.plan.home / self.member.name / "emulator.log").unlink(missing_ok=True)
        member.start(self.plan, self.member)
        self.begun = time.monotonic()
        self.starts += 1

    def _has_console(self) -> bool:
        return (self.plan.home / self.member.name / "console").exists()

    def _emulator_log(self) -> bytes:
        path = self.plan.home / self.member.name / "emulator.log"
        return path.read_bytes() if path.exists() else b""

    def _words(self) -> str:
        home = self.plan.home / self.member.name
        return tail(home / "console", 15) + tail(home / "emulator.log", 5)
