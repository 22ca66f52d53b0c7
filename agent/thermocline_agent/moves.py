"""What a plan consists of: pages with the node they shall go to, the rule that asked for it, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.extent import I32, I64, U8, U64
from thermocline_agent.guards import Guards, Why


class Reason(IntEnum):
    """Why a page shall move."""

    CEILING = 0  # demoted: its owner has more fast memory than the rule's maximum
    SINK = 1  # demoted: its rule prefers slow memory, and it is cold
    ROOM = 2  # demoted: free fast memory is below the watermark
    SWAP = 3  # demoted: a hotter page takes its place
    PIN = 4  # promoted: its rule pins it to fast memory
    FLOOR = 5  # promoted: its owner has less fast memory than the rule's minimum
    HOT = 6  # promoted: it is among the pages that just fit


FIRST_PROMOTION = Reason.PIN


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """One element for each folio; demotions first, for they make the room. All of shape (moves,).

    `pages` is the folio's size; `node` where it shall go, `rule` the index of the rule that asked for it.
    """

    index: I64
    pfn: U64
    pages: I64
    node: I32
    owner: I64
    rule: NDArray[np.int16]
    reason: U8

    @staticmethod
    def none() -> Moves:
        """No moves."""
        empty = np.zeros(0, dtype=np.int64)
        return Moves(
            empty,
            empty.astype(np.uint64),
            empty,
            empty.astype(np.int32),
            empty,
            empty.astype(np.int16),
            empty.astype(np.uint8),
        )

    def __len__(self) -> int:
        return len(self.index)

    @property
    def promoted_pages(self) -> int:
        """How many pages shall go to fast memory."""
        return int(self.pages[self.reason >= FIRST_PROMOTION].sum())

    @property
    def demoted_pages(self) -> int:
        """How many pages shall go to slow memory."""
        return int(self.pages[self.reason < FIRST_PROMOTION].sum())

    def by_rule(self) -> dict[tuple[int, Reason], int]:
        """Pages by rule and reason."""
        keys, places = np.unique(self.rule.astype(np.int64) * 16 + self.reason, return_inverse=True)
        sums = np.bincount(places, self.pages, len(keys)).astype(np.int64)
        return {
            (key >> 4, Reason(key & 15)): pages
            for key, pages in zip(keys.tolist(), sums.tolist(), strict=True)
        }


@dataclass(frozen=True, slots=True)
class FastHits:
    """Which share of the accesses goes to fast memory, by the pages' heat: now, and once all has moved."""

    now: float
    planned: float


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What shall be done in a round, and what it was concluded from.

    `levels`: the heat from which each owner's pages belong in fast memory, shape (owners,). `waits`: why not
    more is moved. `returned`: pages among the moves that arrived where they are within the ping-pong window.
    `arrived`, `used`: pages promoted within it, and those of them that have been accessed since; `promised`:
    how many of the pages promoted now should be.
    """

    moves: Moves
    levels: U8
    guards: Guards
    waits: tuple[Why, ...] = ()
    fast_hits: FastHits | None = None
    returned: int = 0
    arrived: int = 0
    used: int = 0
    promised: float = 0.0
