"""PhysicalCall: move_phy_pages(2), on a kernel with our patches. The kernel is handed the very frames."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from thermocline_agent import owners
from thermocline_agent.engines.engine import Outcome, Request, Result, Results, from_statuses
from thermocline_kernel import move_phy_pages
from thermocline_kernel.errors import KernelInterfaceError
from thermocline_kernel.host import PAGE_BYTES, Host

# The kernel moves up to 512 pages at a time; more calls than needed would cost, and one for everything would keep
# the agent from ending when it is told to.
CALL_PAGES: Final = 4096


@dataclass(slots=True)
class PhysicalCall:
    """The engine. It also moves what several processes map: the owner check has said whose the page is."""

    host: Host
    name: str = "PhysicalCall"

    def migrate(self, moves: Request) -> Outcome:
        """See Engine."""
        began = time.thread_time()
        results = np.full(moves.pfns.shape, Result.NOT_ATTEMPTED, dtype=np.uint8)
        error: str | None = None
        for start in range(0, moves.pfns.size, CALL_PAGES):
            piece = np.arange(start, min(start + CALL_PAGES, moves.pfns.size))
            try:
                # A batch may be many calls: each has its owners asked for right before it.
                same = owners.unchanged(self.host, moves.pfns[piece], moves.owners[piece])
                results[piece[~same]] = Result.CHANGED
                piece = piece[same]
                if piece.size:
                    results[piece] = self._move(moves.some(piece))
            except KernelInterfaceError as err:
                error = str(err)
                break
        return Outcome(results, time.thread_time() - began, error)

    def _move(self, moves: Request) -> Results:
        paddrs = moves.pfns * np.uint64(PAGE_BYTES)
        statuses = move_phy_pages.move(paddrs, moves.targets, shared=True, host=self.host)
        return from_statuses(statuses, moves.targets)

    def stop(self) -> None:
        """Nothing is left anywhere."""
