"""The agent's two kdamonds: one for the source Damon, one for the engine Damon; claimed and released as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from thermocline_kernel import process_stat, seccomp
from thermocline_kernel.damon import Action, Admin, Holder
from thermocline_kernel.host import Host

MONITOR: Final = 0
MOVER: Final = 1
_COUNT: Final = 2


@dataclass(slots=True)
class Kdamonds:
    """Claims them when the first user comes, and releases them when the last one goes.

    `actions` are what schemes can do here, asked for when they were first claimed, for later they are in use; before,
    None.
    """

    admin: Admin
    _users: set[int]
    actions: frozenset[Action] | None

    def __init__(self, admin: Admin) -> None:
        self.admin = admin
        self._users = set()
        self.actions = None

    def clear(self) -> None:
        """Remove what an agent that was killed left, if they have no user here. Raises as acquire does, but never Busy.

        For the one agent of a machine.
        """
        if not self._users:
            self.admin.release()

    def acquire(self, index: int) -> None:
        """Have one of them, off. Raises Busy while others use DAMON, Unavailable, Denied, Failed or Garbled.

        What an agent that was killed left is removed; so this is for one agent on a machine.
        """
        if not self._users:
            self.admin.claim(_COUNT)
        elif self.admin.holder() is not Holder.OURS:
            # Somebody threw ours away. What there is now is not touched: the next claim judges it.
            self._users.clear()
            self.admin.claim(_COUNT)
        self._users.add(index)
        self.admin.stop(index)
        if self.actions is None:
            self.actions = self.admin.actions(index)

    def release(self, index: int) -> None:
        """Give one back. Raises as acquire does, but never Busy."""
        if index not in self._users:
            return
        self._users.discard(index)
        if not self._users:
            self.admin.release()
        elif self.admin.holder() is Holder.OURS:
            self.admin.stop(index)


def cpu_seconds(host: Host, pid: int) -> float | None:
    """What a kdamond has used; None in a container, which sees none of them. Raises Unavailable or Garbled."""
    if not seccomp.own(host).initial_pid_namespace:
        # A process of that number would be another one.
        return None
    return process_stat.read(host, pid).cpu_seconds
