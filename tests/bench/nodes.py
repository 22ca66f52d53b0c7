"""Measuring programs in nodes of the lab, each boot a new one: nothing that ran before is left in memory."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.bench import programs
from tests.commands import node
from tests.lab.errors import LabError

# Counts instructions; DRAM, and a node without CPUs that is as fast.
COUNTING: Final = "--icount --slow-ram 512M"
# In real time, for what two CPUs do to each other.
TIMED: Final = "--cpus 2 --slow-ram 512M"


@dataclass(frozen=True, slots=True)
class Effort:
    """How often things are repeated: nodes booted, rounds in each."""

    boots: int = 3
    rounds: int = 3
    timed_rounds: int = 15

    @classmethod
    def quick(cls) -> Effort:
        """Enough to see that a benchmark works, and no more."""
        return cls(boots=1, rounds=2, timed_rounds=3)


def run(
    program: str, *arguments: object, options: str = COUNTING, memory: str = "1G", timeout_seconds: int = 1800
) -> str:
    """What one program prints in a new node. Raises LabError with the end of its complaint when it fails."""
    words = shlex.join([f"/tmp/{program}", *map(str, arguments)])
    # From memory: pages of the shared folder would come through the emulator's file server while it is timed.
    script = f"cp /share/{program} /tmp/ && exec {words}"
    sys.stderr.write(f"bench: {program} {shlex.join(map(str, arguments))}\n")
    ended = node(
        "sh", "-c", script,
        options=f"--memory {memory} {options}", share=programs.folder(), timeout_seconds=timeout_seconds,
    )  # fmt: skip
    if ended.status:
        raise LabError(f"`{words}` ended with status {ended.status} in its node:\n{ended.err[-2000:]}")
    return ended.out.decode()


def boots(
    effort: Effort, program: str, *arguments: object, options: str = COUNTING, memory: str = "1G"
) -> Sequence[str]:
    """The same in as many new nodes as the effort says, one after the other."""
    return [run(program, *arguments, options=options, memory=memory) for _ in range(effort.boots)]
