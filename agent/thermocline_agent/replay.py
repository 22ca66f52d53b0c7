"""A machine's memory as a model, and the agent's loop run on it: what a policy would have done.

Pages are what programs see; frames are where they lie. As on a real machine a page's move leaves nothing that
tells its new frame: the planner sees frames alone, what was observed of them and whose they are. Freed frames
are reused last in, first out, as the kernel does, so that a promoted page often lies where the page just was
that made room for it.
"""

from __future__ import annotations

from errno import ENOENT, ENOMEM
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.extent import I32, I64, Layout, Mask, Owners, Span, Tier, expanded
from thermocline_agent.guards import Pressure
from thermocline_agent.heat import Heat
from thermocline_agent.history import History
from thermocline_agent.moves import Moves, Plan
from thermocline_agent.observation import Observation
from thermocline_agent.ownership import Ownership
from thermocline_agent.plan import pace, plan_round
from thermocline_agent.settings import Settings
from thermocline_agent.snapshot import Node, Snapshot
from thermocline_agent.tails import Tails

FAST_NODE, SLOW_NODE = 0, 1


class Model(Protocol):
    """A machine's memory as the planner sees it, on which its moves are carried out. See Snapshot."""

    @property
    def layout(self) -> Layout:
        """What is tracked."""

    @property
    def owner(self) -> Owners:
        """Whose each frame is."""

    @property
    def tails(self) -> Mask | None:
        """Which frames belong to a folio that starts before them."""

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes with their free memory."""

    def carry_out(self, moves: Moves) -> I32:
        """Move, and tell the status of each move, as the system call does."""


class Machine:
    """One fast and one slow node; frame numbers are indexes, the fast node's first."""

    def __init__(
        self, fast_frames: int, slow_frames: int, owner_of: NDArray[np.uint16], in_fast: Mask
    ) -> None:
        """`owner_of`: whose each page is; `in_fast`: where it lies at first. Both of shape (pages,).

        Raises ValueError when the pages do not fit.
        """
        self.fast_frames = fast_frames
        # All pages are single ones.
        self.tails: Mask | None = None
        self.layout = Layout(
            (
                Span(0, fast_frames, FAST_NODE, Tier.FAST),
                Span(fast_frames, slow_frames, SLOW_NODE, Tier.SLOW),
            )
        )
        fast, slow = np.flatnonzero(in_fast), np.flatnonzero(~in_fast)
        if len(fast) > fast_frames or len(slow) > slow_frames:
            raise ValueError(
                f"{len(fast)} + {len(slow)} pages do not fit {fast_frames} + {slow_frames} frames"
            )
        self.frame_of: I64 = np.empty(len(in_fast), dtype=np.int64)
        self.frame_of[fast] = np.arange(len(fast))
        self.frame_of[slow] = fast_frames + np.arange(len(slow))
        self.page_at: I64 = np.full(self.layout.pages, -1, dtype=np.int64)
        self.page_at[self.frame_of] = np.arange(len(in_fast))
        self.owner: Owners = np.zeros(self.layout.pages, dtype=np.uint16)
        self.owner[self.frame_of] = owner_of
        self._free = {
            Tier.FAST: np.arange(fast_frames - 1, len(fast) - 1, -1),
            Tier.SLOW: np.arange(self.layout.pages - 1, fast_frames + len(slow) - 1, -1),
        }

    @property
    def in_fast(self) -> Mask:
        """Which pages lie in fast memory, shape (pages,)."""
        found: Mask = self.frame_of < self.fast_frames
        return found

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Both nodes with their free memory."""
        slow_frames = self.layout.pages - self.fast_frames
        return (
            Node(FAST_NODE, Tier.FAST, self.fast_frames, len(self._free[Tier.FAST])),
            Node(SLOW_NODE, Tier.SLOW, slow_frames, len(self._free[Tier.SLOW])),
        )

    def by_frame(self, counts: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Counts of pages as counts of frames; 0 for free ones."""
        found = np.zeros(self.layout.pages, dtype=np.uint8)
        found[self.frame_of] = counts
        return found

    def carry_out(self, moves: Moves) -> I32:
        """See Model."""
        return self.move(moves.index, moves.node)

    def move(self, frames: I64, node: I32) -> I32:
        """Move what lies in these frames to these nodes; the statuses, as the system call's. No frame is
        named twice.

        Neighbours with the same target are moved together, and leave their frames free for the next.
        """
        status = np.full(len(frames), -ENOENT, dtype=np.int32)
        edges = np.flatnonzero(np.diff(node)) + 1
        for first, last in zip([0, *edges.tolist()], [*edges.tolist(), len(frames)], strict=True):
            there = first + np.flatnonzero(self.page_at[frames[first:last]] >= 0)
            if not len(there):
                continue
            to_fast = int(node[first]) == FAST_NODE
            into, out_of = (Tier.FAST, Tier.SLOW) if to_fast else (Tier.SLOW, Tier.FAST)
            count = min(len(there), len(self._free[into]))
            status[there[:count]], status[there[count:]] = node[first], -ENOMEM
            source = frames[there[:count]]
            target = self._free[into][len(self._free[into]) - count :][::-1]
            self._free[into] = self._free[into][: len(self._free[into]) - count]
            pages = self.page_at[source]
            self.page_at[source] = -1
            self.page_at[target] = pages
            self.frame_of[pages] = target
            self.owner[target] = self.owner[source]
            self.owner[source] = 0
            self._free[out_of] = np.concatenate((self._free[out_of], source))
        return status


class Loop:
    """The agent's loop: observe, plan, migrate, remember."""

    def __init__(
        self, machine: Model, settings: Settings, rule_of: NDArray[np.int16], started: float = 0.0
    ) -> None:
        """`rule_of`: the rule of each owner, as Snapshot has it."""
        self.machine = machine
        self.settings = settings
        self.rule_of = rule_of
        self.heat = Heat(machine.layout)
        self.history = History.begin(started)

    def snapshot(self, pressure: Pressure | None = None) -> Snapshot:
        """What the planner sees now."""
        return self._seen(Ownership.of(self.machine.owner), pressure)

    def _seen(self, owner: Ownership, pressure: Pressure | None) -> Snapshot:
        machine = self.machine
        tails = None if machine.tails is None else Tails.of(machine.tails)
        return Snapshot(machine.layout, self.heat, owner, self.rule_of, machine.nodes, pressure, tails)

    def step(self, observation: Observation, now: float, pressure: Pressure | None = None) -> Plan:
        """One round."""
        levels = self.history.sized_levels(len(self.rule_of))
        owner = Ownership.of(self.machine.owner)
        self.heat.observe(observation, owner, now, levels=levels, pace=pace(self.settings))
        plan = plan_round(self._seen(owner, pressure), self.settings, self.history, now)
        status = self.machine.carry_out(plan.moves)
        self.history = self.history.after(plan, status, self.settings, now)
        gone = status >= 0
        self.heat.forget(expanded(plan.moves.index[gone], plan.moves.pages[gone]))
        return plan
