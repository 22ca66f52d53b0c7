"""A policy in a file, for a machine without Kubernetes: read when it changes, kept as it was while it is invalid.

An editor or a script may write it in pieces, and the first of them may be a valid policy. So a file that has changed is
read once it has been as it is for a second.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from thermocline_agent.assignment import Assignment, Pod
from thermocline_agent.manifest import Malformed, Unreadable, read_policy
from thermocline_api.problem import InvalidManifest

_SETTLED_SECONDS: Final = 1.0

_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class PolicyFile:
    """The PolicySource of a file that holds one MemoryTierPolicy; its nodeSelector and rollout say nothing here.

    `monotonic` and `wall` are clocks; files have their times by the latter.
    """

    path: Path
    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    _assignment: Assignment = field(default_factory=Assignment)
    _signature: tuple[int, int, int] | None = None
    # What the file was when it was first seen so, and when that was.
    _seen: tuple[tuple[int, int, int] | None, float] = (None, float("-inf"))

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> PolicyFile:
        """Read it for the first time. Raises Unreadable, Malformed or InvalidManifest."""
        made = cls(path, monotonic, wall)
        made._signature = made._signed()
        made._assignment = _read(path)
        return made

    def current(self) -> Assignment:
        """The policy as the file has it, or as it last was when that is no valid one."""
        found = self._signed()
        if found != self._signature and self._settled(found):
            self._signature = found
            self._take()
        return self._assignment

    def pods(self) -> Mapping[str, Pod] | None:
        """There is no Kubernetes."""
        return None

    def reload(self) -> None:
        """Read it again, changed or not, and at once."""
        self._signature = self._signed()
        self._take()

    def _settled(self, found: tuple[int, int, int] | None) -> bool:
        """Whether nobody has touched the file for a second, by its time, or by two looks: clocks may be wrong."""
        now = self.monotonic()
        if self._seen[0] != found or self._seen[1] == float("-inf"):
            self._seen = (found, now)
        written = float("inf") if found is None else found[0] / 1e9
        return max(now - self._seen[1], self.wall() - written) >= _SETTLED_SECONDS

    def _take(self) -> None:
        try:
            self._assignment = _read(self.path)
        except (Unreadable, Malformed, InvalidManifest) as err:
            problem = f"the policy from before stays in force, for {self.path} is no valid one: {err}"
            _log.warning("%s", problem)
            self._assignment = replace(self._assignment, problem=problem)
        else:
            _log.info("policy=%s read from %s", self._assignment.policy, self.path)

    def _signed(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> Assignment:
    policy = read_policy(path)
    return Assignment(policy.spec.settings, policy.metadata.name, paused=policy.spec.paused)
