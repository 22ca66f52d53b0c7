"""From what rounds see to a trace. Pure: what it is handed it copies, and nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from thermocline_agent.assignment import Pod
from thermocline_agent.census import Identity, identity
from thermocline_agent.extent import I32, I64, U8
from thermocline_agent.observation import Observation
from thermocline_agent.owners import Owner
from thermocline_agent.selection import left_alone
from thermocline_agent.snapshot import Snapshot
from thermocline_agent.topology import MemoryNode
from thermocline_agent.trace import Moment, Runs, Trace, TraceNode, TraceOwner, joined, orders, parted

# Runs are 24 bytes each, so these are 800 MB: as much as whoever records, or replays, should need for them.
MOST_RUNS = 1 << 25


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What one round saw: `owners` by the numbers in the snapshot, `pods` as PolicySource has them."""

    snapshot: Snapshot
    observation: Observation
    owners: Mapping[int, Owner]
    pods: Mapping[str, Pod] | None
    nodes: tuple[MemoryNode, ...]
    source: str
    now: float


class LayoutChanged(Exception):
    """The machine's memory is not what it was: a trace has one layout."""


class Recorder:
    """Takes rounds, and makes a trace of them. Memory that comes or goes ends it."""

    def __init__(self, interval_seconds: float, *, names: bool) -> None:
        self._interval_seconds = interval_seconds
        self._names = names
        self._moments: list[Moment] = []
        # Owners by their number less one, with their pod as far as anybody has told of it.
        self._numbers: dict[Identity, int] = {}
        self._owners: list[tuple[Owner, Pod | None]] = []
        self._first: Seen | None = None
        self._before: I32 = np.zeros(0, dtype=np.int32)
        self._runs = 0
        self._pfn: I64 = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        """How many rounds it has."""
        return len(self._moments)

    @property
    def is_full(self) -> bool:
        """Whether it has as much as should be kept in memory."""
        return self._runs >= MOST_RUNS

    def take(self, seen: Seen) -> None:
        """One round more. Raises LayoutChanged."""
        layout = seen.snapshot.layout
        if self._first is None:
            self._first = seen
            self._before = np.zeros(layout.pages, dtype=np.int32)
            self._pfn = layout.pfn(np.arange(layout.pages)).astype(np.int64)
        elif layout.spans != self._first.snapshot.layout.spans:
            raise LayoutChanged
        observation = seen.observation
        counts = np.zeros(layout.pages, dtype=np.uint8)
        covered = np.zeros(layout.pages, dtype=np.bool_)
        for start, stop in observation.covered:
            covered[start:stop] = True
            observation.fill(start, counts[start:stop])
        changed, order = self._changed(seen)
        moment = Moment(
            seen.now - self._first.now,
            seen.source,
            observation.full,
            observation.accesses_per_count,
            tuple(node.free_pages for node in seen.snapshot.nodes),
            seen.snapshot.pressure,
            changed,
            order,
            Runs.of(covered),
            Runs.of(counts),
        )
        self._moments.append(moment)
        self._runs += sum(len(runs.first) for runs in moment.runs)

    def trace(self) -> Trace | None:
        """What was taken so far; None without a round."""
        first = self._first
        if first is None:
            return None
        by_number = {node.number: node for node in first.nodes}
        nodes = tuple(
            TraceNode(node.number, node.tier, node.total_pages, _latency_ns(by_number.get(node.number)))
            for node in first.snapshot.nodes
        )
        return Trace(
            self._interval_seconds,
            first.pods is not None,
            self._names,
            nodes,
            first.snapshot.layout,
            tuple(self._told(owner, pod, first.pods is not None) for owner, pod in self._owners),
            tuple(self._moments),
        )

    def numbered(self) -> tuple[tuple[int, str, int], ...]:
        """Who has which number, and how many pages in the last round: for whoever records, and not in the trace."""
        pages = np.bincount(parted(self._before)[0], minlength=len(self._owners) + 1)
        found = []
        for number, (owner, pod) in enumerate(self._owners, 1):
            who = owner.path if pod is None else f"{pod.namespace}/{pod.name}"
            found.append((number, who, int(pages[number])))
        return tuple(found)

    def _changed(self, seen: Seen) -> tuple[Runs, U8]:
        snapshot = seen.snapshot
        owner_of = snapshot.owner[:]
        pages = np.bincount(owner_of)
        number_of = np.zeros(len(pages), dtype=np.int32)
        for each in (np.flatnonzero(pages[1:]) + 1).tolist():
            if each in seen.owners:
                number_of[each] = self._number(seen.owners[each], seen.pods)
        owner = number_of[owner_of]
        tails = None if snapshot.tails is None else snapshot.tails[:]
        order = np.where(owner > 0, orders(tails, self._pfn), np.uint8(0))
        now = joined(owner, order)
        # 0 is what has not changed, so what has is one more.
        runs = Runs.of(np.where(now != self._before, now + 1, 0))
        self._before = now
        changed, order_of = parted(runs.value - 1)
        return Runs(runs.first, runs.pages, changed), order_of

    def _number(self, owner: Owner, pods: Mapping[str, Pod] | None) -> int:
        pod = pods.get(owner.pod_uid) if pods is not None and owner.pod_uid is not None else None
        who = identity(owner)
        if who not in self._numbers:
            self._owners.append((owner, pod))
            self._numbers[who] = len(self._owners)
        elif pod is not None:
            self._owners[self._numbers[who] - 1] = (owner, pod)
        return self._numbers[who]

    def _told(self, owner: Owner, pod: Pod | None, in_kubernetes: bool) -> TraceOwner:
        is_pod = owner.pod_uid is not None
        unknown = is_pod and in_kubernetes and pod is None
        told = TraceOwner(
            is_pod,
            None if owner.qos is None else owner.qos.value,
            None if unknown else pod is not None and left_alone(pod),
        )
        if not self._names:
            return told
        if pod is None:
            return TraceOwner(told.is_pod, told.qos, told.left_alone, owner.path)
        return TraceOwner(
            told.is_pod, told.qos, told.left_alone, owner.path,
            pod.namespace, pod.name, dict(pod.labels), dict(pod.namespace_labels),
        )  # fmt: skip


def _latency_ns(node: MemoryNode | None) -> int | None:
    return None if node is None or node.performance is None else node.performance.read_latency_ns
