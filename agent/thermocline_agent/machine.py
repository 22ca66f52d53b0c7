"""What a round asks of the machine beside heat and owners; each answer may be missing, for a reason that is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from thermocline_agent import inventory
from thermocline_agent.guards import Pressure
from thermocline_agent.topology import Topology, arrange
from thermocline_api.settings import Tiers
from thermocline_kernel import psi, tiering, vmstat
from thermocline_kernel.errors import KernelInterfaceError
from thermocline_kernel.host import Host
from thermocline_kernel.tiering import Active

_T = TypeVar("_T")


@dataclass(slots=True)
class Machine:
    """`problems` are sentences about what could not be read since they were last taken."""

    host: Host
    problems: list[str] = field(default_factory=list)
    _oom_kills_at_first: int | None = None

    def topology(self, tiers: Tiers) -> Topology | None:
        """The machine's memory now, sorted into tiers as the policy says."""
        read = self._asked(lambda: inventory.read(self.host))
        if read is None:
            return None
        return arrange(read, tiers.source.value, tiers.fast or (), tiers.slow or ())

    def tiering(self) -> tuple[Active, ...] | None:
        """The kernel's own mechanisms that are on."""
        return self._asked(lambda: tiering.active(self.host))

    def pressure(self) -> Pressure | None:
        """How much tasks stall on memory."""
        found = self._asked(lambda: psi.memory(self.host))
        return None if found is None else Pressure(found.some.avg60_bp, found.full.avg10_bp)

    def oom_kills(self) -> int | None:
        """Processes that were killed for want of memory since this was first asked."""
        found = self._asked(lambda: vmstat.machine(self.host))
        if found is None or (kills := found.get("oom_kill")) is None:
            return None
        if self._oom_kills_at_first is None:
            self._oom_kills_at_first = kills
        return max(0, kills - self._oom_kills_at_first)

    def _asked(self, question: Callable[[], _T]) -> _T | None:
        try:
            return question()
        except KernelInterfaceError as err:
            self.problems.append(str(err))
            return None
