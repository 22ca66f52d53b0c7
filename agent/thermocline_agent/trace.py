"""A trace: what an agent saw of a machine's memory, round by round, so that policies can be tried on it elsewhere.

Frames are told by their index in `layout`. A trace has no contents, and names only where they were asked for: owners
are numbers, from 1, in the order in which they were first seen to have memory. 0 is nobody: free frames, the kernel's,
and those that cannot be moved. docs/traces.md has the file's format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.extent import I32, I64, U8, Layout, Mask, Tier, expanded
from thermocline_agent.guards import Pressure

# 2^18 pages, 1 GiB, is the largest folio that there is.
MOST_ORDER = 18
_ORDER_BITS = 5
MOST_COUNT = 255
# include/linux/numa.h, MAX_NUMNODES, as distributions set it.
MOST_NODES = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Frames in a row that have one value: ascending, not overlapping, all of shape (runs,)."""

    first: I64
    pages: I64
    value: I64

    @staticmethod
    def of(values: NDArray[Any]) -> Runs:
        """The runs of an array that has a value for each frame; 0 is left out."""
        edges = np.flatnonzero(values[1:] != values[:-1]) + 1
        first = np.concatenate(([0], edges)) if len(values) else edges
        pages = np.diff(first, append=len(values))
        value = values[first].astype(np.int64)
        kept = value != 0
        return Runs(first[kept], pages[kept], value[kept])

    def frames(self) -> tuple[I64, I64]:
        """The index and the value of each frame in them."""
        return expanded(self.first, self.pages), np.repeat(self.value, self.pages)

    def mask(self, pages: int) -> Mask:
        """Which of so many frames are in them."""
        found = np.zeros(pages, dtype=np.bool_)
        found[self.frames()[0]] = True
        return found


@dataclass(frozen=True, slots=True)
class TraceNode:
    """A NUMA node. `read_latency_ns` is what the firmware tells, if it does."""

    number: int
    tier: Tier
    pages: int
    read_latency_ns: int | None = None


@dataclass(frozen=True, slots=True)
class TraceOwner:
    """Whose memory it is. `qos` is a pod's class; `left_alone`, whether it is one of kube-system or of Thermocline:
    None for a pod that nobody has told of. All that follows is None in a trace without names.
    """

    is_pod: bool
    qos: str | None = None
    left_alone: bool | None = False
    path: str | None = None
    namespace: str | None = None
    name: str | None = None
    labels: Mapping[str, str] | None = field(default=None, hash=False)
    namespace_labels: Mapping[str, str] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One round. `seconds` since the first; `free_pages` of each node.

    `changed`: frames whose owner, or whose folio, is not what it was the round before, by their owner now; `order`:
    log2 of the pages of the folio that each is part of, shape as `changed`. `covered`: frames that the source looked
    at; `counts`: those that it saw accessed, from 1 to 255, `full` being the most that it can see. See
    observation.Observation.
    """

    seconds: float
    source: str
    full: int | None
    accesses_per_count: float
    free_pages: tuple[int, ...]
    pressure: Pressure | None
    changed: Runs
    order: U8
    covered: Runs
    counts: Runs

    @property
    def runs(self) -> tuple[Runs, Runs, Runs]:
        """All of them."""
        return self.changed, self.covered, self.counts


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """`owners`: the first has number 1. `in_kubernetes`: whether the agent was told of pods."""

    interval_seconds: float
    in_kubernetes: bool
    has_names: bool
    nodes: tuple[TraceNode, ...]
    layout: Layout
    owners: tuple[TraceOwner, ...]
    moments: tuple[Moment, ...]

    def __post_init__(self) -> None:
        if not self.moments:
            raise ValueError("it has no rounds")
        numbers = [node.number for node in self.nodes]
        if len(set(numbers)) != len(numbers) or not {each.node for each in self.layout.spans} <= set(numbers):
            raise ValueError("its frames are of nodes that it does not list once")
        if any(not 0 <= node.number < MOST_NODES or node.pages < 0 for node in self.nodes):
            raise ValueError("its nodes are none")
        if not 0 < self.interval_seconds < float("inf"):
            raise ValueError("its interval is not longer than 0 s")
        before = float("-inf")
        for number, moment in enumerate(self.moments, 1):
            problem = self._problem(moment)
            if not moment.seconds > before:
                problem = "does not come after the one before"
            if problem is not None:
                raise ValueError(f"its round {number} {problem}")
            before = moment.seconds

    def _problem(self, moment: Moment) -> str | None:
        free = moment.free_pages
        fulls = (None, *range(1, MOST_COUNT + 1))
        found = (
            (len(free) != len(self.nodes) or min(free) < 0, "does not tell what each node has free"),
            (not all(map(self._is_inside, moment.runs)), "has frames that are not in its layout"),
            (moment.changed.value.max(initial=0) > len(self.owners), "has an owner that it does not list"),
            (moment.order.max(initial=0) > MOST_ORDER, f"has folios larger than 2^{MOST_ORDER} pages"),
            (
                moment.counts.value.max(initial=0) > MOST_COUNT or moment.full not in fulls,
                f"has counts above {MOST_COUNT}",
            ),
            (not 0 < moment.accesses_per_count < float("inf"), "does not tell what a count stands for"),
        )
        return next((sentence for is_so, sentence in found if is_so), None)

    def _is_inside(self, runs: Runs) -> bool:
        ends = runs.first + runs.pages
        inside = runs.pages.min(initial=1) >= 1 and runs.first.min(initial=0) >= 0
        return bool(inside and ends.max(initial=0) <= self.layout.pages)


def joined(owner: NDArray[Any], order: NDArray[Any]) -> I32:
    """Owner and order of frames as one number, to be told apart by `parted`."""
    found: I32 = owner.astype(np.int32) << _ORDER_BITS | order
    return found


def parted(both: I32 | I64) -> tuple[I64, U8]:
    """Owner and order."""
    return (both >> _ORDER_BITS).astype(np.int64), (both & ((1 << _ORDER_BITS) - 1)).astype(np.uint8)


def orders(tails: Mask | None, pfn: I64) -> U8:
    """The order of each frame's folio, from which of them are tails; 0 where those are no folio of 2^n pages at a
    frame number that 2^n divides, as where pages were looked at while they were joined. `pfn`: of each frame.
    """
    found = np.zeros(len(pfn), dtype=np.uint8)
    if tails is None or not tails.any():
        return found
    head = np.flatnonzero(~tails)
    pages = np.diff(head, append=len(tails))
    order = np.round(np.log2(pages)).astype(np.int64)
    order[(1 << order != pages) | (pfn[head] & (pages - 1) != 0) | (order > MOST_ORDER)] = 0
    # Tails before the first head have none.
    found[head[0] if len(head) else len(found) :] = np.repeat(order, pages)
    return found


def tails_of(order: U8, pfn: I64) -> Mask | None:
    """Which frames belong to a folio that starts before them; None where all are single pages."""
    if not order.any():
        return None
    found: Mask = pfn & ((1 << order.astype(np.int64)) - 1) != 0
    return found
