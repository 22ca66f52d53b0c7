"""A plan's moves, carried out in batches: the owner is asked again before each, and between two the agent can end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from thermocline_agent.census import Register
from thermocline_agent.engines import engine as engines
from thermocline_agent.engines.engine import Engine, Outcome, Request, Result, Results
from thermocline_agent.engines.move_pages import CALL_PAGES
from thermocline_agent.extent import I32
from thermocline_agent.moves import Moves
from thermocline_kernel import kpage
from thermocline_kernel.errors import KernelInterfaceError
from thermocline_kernel.host import Host

# So long a batch should take: an agent that is told to end finishes it first. A run of DAMON's takes a few passes.
_BATCH_SECONDS: Final = 0.2
_DAMON_BATCH_SECONDS: Final = 0.6
# Batches grow to what fits their time within a few; the first ones must be short whatever a page takes.
_FIRST_PAGES: Final = 256
_LEAST_PAGES: Final = 64
_MOST_PAGES: Final = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """A Result for each move, shape (moves,); `status` as History.after wants it. `error`: why the engine gave up."""

    results: Results
    status: I32
    cpu_seconds: float = 0.0
    error: str | None = None


@dataclass(slots=True)
class Mover:
    """Carries moves out. `pages_at_once` follows what a page has taken."""

    host: Host
    monotonic: Callable[[], float]
    pages_at_once: int = _FIRST_PAGES

    def carry_out(
        self, engine: Engine, moves: Moves, register: Register, halted: Callable[[], bool]
    ) -> Carried:
        """Move until all is done, or `halted` says that it must end."""
        results = np.full(len(moves), Result.NOT_ATTEMPTED, dtype=np.uint8)
        ends = np.cumsum(moves.pages)
        first, cpu_seconds, error = 0, 0.0, None
        while first < len(moves) and error is None and not halted():
            done = int(ends[first - 1]) if first else 0
            last = int(np.searchsorted(ends, done + self.pages_at_once, side="right"))
            piece = slice(first, max(last, first + 1))
            began = self.monotonic()
            outcome = self._move(engine, moves, piece, register)
            results[piece] = outcome.results
            cpu_seconds += outcome.cpu_seconds
            error = outcome.error
            first = piece.stop
            self._adapt(int(ends[first - 1]) - done, self.monotonic() - began, engine.name)
        status = Outcome(results).statuses(moves.node)
        return Carried(results, status, cpu_seconds, error)

    def _move(self, engine: Engine, moves: Moves, piece: slice, register: Register) -> Outcome:
        """One batch. What planned owner's page it was is one cgroup now, or another's."""
        pfns, wanted = moves.pfn[piece], moves.owner[piece]
        results = np.full(pfns.shape, Result.CHANGED, dtype=np.uint8)
        try:
            inodes = kpage.cgroups_at(self.host, pfns)
        except KernelInterfaceError as err:
            results[:] = Result.NOT_ATTEMPTED
            return Outcome(results, error=f"owners could not be checked: {err}")
        same = register.numbers(inodes) == wanted
        if not same.any():
            return Outcome(results)
        request = Request(pfns[same], moves.node[piece][same], inodes[same])
        outcome = engines.migrate(engine, self.host, request)
        results[same] = outcome.results
        return Outcome(results, outcome.cpu_seconds, outcome.error)

    def _adapt(self, pages: int, seconds: float, name: str) -> None:
        wanted_seconds = _DAMON_BATCH_SECONDS if name == "Damon" else _BATCH_SECONDS
        if seconds <= 0 or pages < self.pages_at_once // 2:
            return
        fitting = int(self.pages_at_once * min(4.0, max(0.25, wanted_seconds / seconds)))
        # A search takes as long for one page as for many.
        least = CALL_PAGES if name == "MovePages" else _LEAST_PAGES
        self.pages_at_once = min(_MOST_PAGES, max(least, fitting))
