"""The machine of a trace, on which pages may move: where each page that was recorded lies by now.

A page is the frame that it was recorded at, as long as its owner stays the same. It appears there, or elsewhere where
a page that was moved has that frame by now; it goes when its frame is recorded to be free, or another's. Free memory is
what was recorded, more where pages have been moved away, and less where they have been moved to.
"""

from __future__ import annotations

from dataclasses import dataclass
from errno import ENOENT, ENOMEM

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.extent import I32, I64, U8, Mask, Owners, Tier
from thermocline_agent.moves import Moves
from thermocline_agent.observation import Ranges
from thermocline_agent.snapshot import Node
from thermocline_agent.trace import Moment, Trace, tails_of


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """Counts by frame, shape (pages,). See observation.Observation."""

    counts: U8
    covered: Ranges
    full: int | None
    accesses_per_count: float

    def fill(self, start: int, counts: U8) -> None:
        """See Observation."""
        counts[:] = self.counts[start : start + len(counts)]


class Recorded:
    """`owner`: by frame, as Snapshot has it; `order`: of each frame's folio. `charged`: the owner of each page;
    `place`: its frame, -1 of none.
    """

    def __init__(self, trace: Trace) -> None:
        """Nothing has been seen yet."""
        self.layout = trace.layout
        pages = self.layout.pages
        kind = np.uint16 if len(trace.owners) < 1 << 16 else np.uint32
        self.owner: Owners = np.zeros(pages, dtype=kind)
        self.charged: Owners = np.zeros(pages, dtype=kind)
        self.place: I64 = np.full(pages, -1, dtype=np.int64)
        self.tails: Mask | None = None
        self._nodes = trace.nodes
        self._page_at: I64 = np.full(pages, -1, dtype=np.int64)
        # Orders of folios: by page as recorded, and by frame.
        self._recorded_order: U8 = np.zeros(pages, dtype=np.uint8)
        self.order: U8 = np.zeros(pages, dtype=np.uint8)
        frames = np.arange(pages)
        self._pfn = self.layout.pfn(frames).astype(np.int64)
        numbers = [node.number for node in trace.nodes]
        position = np.zeros(max(numbers, default=0) + 1, dtype=np.uint8)
        position[numbers] = np.arange(len(numbers))
        self._node_at: U8 = position[self.layout.node(frames)]
        self._is_fast = np.array([node.tier is Tier.FAST for node in trace.nodes])[self._node_at]
        # By node: free pages as recorded, pages that were recorded there, and those that lie there now.
        self._free: I64 = np.zeros(len(numbers), dtype=np.int64)
        self._recorded: I64 = np.zeros(len(numbers), dtype=np.int64)
        self._lying: I64 = np.zeros(len(numbers), dtype=np.int64)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes with what they have free now."""
        return tuple(
            Node(node.number, node.tier, node.pages, max(0, free))
            for node, free in zip(self._nodes, self._room().tolist(), strict=True)
        )

    @property
    def lives(self) -> Mask:
        """Which pages there are now, shape (pages,)."""
        found: Mask = self.place >= 0
        return found

    @property
    def in_fast(self) -> Mask:
        """Which of them lie in fast memory."""
        found: Mask = self.lives & self._is_fast[self.place]
        return found

    @property
    def was_in_fast(self) -> Mask:
        """Which of them lay in fast memory when they were recorded."""
        found: Mask = self.lives & self._is_fast
        return found

    def advance(self, moment: Moment) -> I64:
        """Take over who has what now; the frames of which nothing is known any more."""
        index, owner = moment.changed.frames()
        order = np.repeat(moment.order, moment.changed.pages)
        was = self.charged[index]
        stays = (owner > 0) & (owner == was) & (order <= self._recorded_order[index])
        split = self.place[index[stays]]
        self.order[split] = np.minimum(self.order[split], order[stays])
        gone = index[~stays & (was > 0)]
        left = self.place[gone]
        self._vacate(left)
        self.place[gone] = -1
        self.charged[index], self._recorded_order[index] = owner, order
        self._free = np.array(moment.free_pages, dtype=np.int64)
        born = np.flatnonzero(~stays & (owner > 0))
        self._recorded += self._by_node(index[born]) - self._by_node(gone)
        self._bear(index[born], order[born])
        self.tails = tails_of(self.order, self._pfn)
        # What is known of a frame is known on where no page was moved: nobody tells the agent either.
        at = self.place[index[born]]
        return np.concatenate((left[left != gone], at[at != index[born]]))

    def seen(self, moment: Moment) -> Counted:
        """What the source saw, where the pages lie now. What it did not look at, it does not see elsewhere either."""
        counts = np.zeros(self.layout.pages, dtype=np.uint8)
        page, count = moment.counts.frames()
        lives = self.place[page] >= 0
        counts[self.place[page[lives]]] = count[lives]
        covered = moment.covered.mask(self.layout.pages)
        if not covered.all():
            away = np.flatnonzero(self.lives & (self.place != np.arange(len(self.place))))
            covered[self.place[away]] = covered[away]
        edges = np.flatnonzero(np.diff(covered, prepend=False, append=False)).tolist()
        ranges = tuple(zip(edges[::2], edges[1::2], strict=True))
        return Counted(counts, ranges, moment.full, moment.accesses_per_count)

    def carry_out(self, moves: Moves) -> I32:
        """Move folios; the status of each, as the system call's. Where no frames for it are free, -ENOMEM."""
        status = np.full(len(moves), -ENOENT, dtype=np.int32)
        number = {node.number: position for position, node in enumerate(self._nodes)}
        edges = (np.flatnonzero(np.diff(moves.node)) + 1).tolist()
        for first, last in zip([0, *edges], [*edges, len(moves)], strict=True):
            if first == last:
                continue
            place = number[int(moves.node[first])]
            sizes = moves.pages[first:last]
            for size in sorted(set(sizes.tolist()), reverse=True):
                chosen = first + np.flatnonzero(sizes == size)
                status[chosen] = self._move(moves.index[chosen], size, place)
        return status

    def _move(self, head: I64, size: int, node: int) -> I32:
        inside = np.arange(size)
        pages = self._page_at[head[:, None] + inside]
        whole = np.flatnonzero((pages >= 0).all(axis=1))
        room = max(0, int(self._room()[node])) // size
        target = self._vacant(node, size)[: min(room, len(whole))]
        status = np.full(len(head), -ENOENT, dtype=np.int32)
        status[whole] = -ENOMEM
        moved = whole[: len(target)]
        status[moved] = self._nodes[node].number
        source = (head[moved][:, None] + inside).ravel()
        order = self.order[source]
        self._vacate(source)
        self._settle(pages[moved].ravel(), (target[:, None] + inside).ravel(), order)
        return status

    def _bear(self, page: I64, order: U8) -> None:
        """Pages appear: at home, else on the same node, else where there is room, as the kernel allocates."""
        # What is recorded as free is so after they have appeared; they are not among what lies there yet.
        room = self._room()
        home = np.zeros(len(page), dtype=np.bool_)
        for node in range(len(self._nodes)):
            here = np.flatnonzero(self._node_at[page] == node)[: max(0, int(room[node]))]
            home[here] = self._page_at[page[here]] < 0
        # A folio has all of its frames, or is taken to pieces.
        head = page - (self._pfn[page] & ((1 << order.astype(np.int64)) - 1))
        order = np.where(np.isin(head, head[~home]), np.uint8(0), order)
        room -= self._by_node(page[home])
        self._settle(page[home], page[home], order[home])
        for node in range(len(self._nodes)):
            away = page[~home & (self._node_at[page] == node)]
            for other in (node, *(each for each in range(len(self._nodes)) if each != node)):
                target = self._vacant(other, 1)[: min(max(0, int(room[other])), len(away))]
                self._settle(away[: len(target)], target)
                room[other] -= len(target)
                away = away[len(target) :]
            # Recorded memory holds what was recorded: there are frames, although none should be free.
            self._settle(away, np.flatnonzero(self._page_at < 0)[: len(away)])

    def _settle(self, page: I64, frame: I64, order: U8 | None = None) -> None:
        self._page_at[frame] = page
        self.place[page] = frame
        self.owner[frame] = self.charged[page]
        self.order[frame] = 0 if order is None else order
        self._lying += self._by_node(frame)

    def _vacate(self, frame: I64) -> None:
        self._page_at[frame] = -1
        self.owner[frame] = 0
        self.order[frame] = 0
        self._lying -= self._by_node(frame)

    def _room(self) -> I64:
        """Free pages of each node: below 0 where more was allocated than is free, once pages were moved there."""
        return self._free + self._recorded - self._lying

    def _by_node(self, frame: I64) -> I64:
        return np.bincount(self._node_at[frame], minlength=len(self._nodes)).astype(np.int64)

    def _vacant(self, node: int, size: int) -> I64:
        """The first frames of vacant, aligned blocks of a node, ascending."""
        vacant = (self._page_at < 0) & (self._node_at == node)
        if size == 1:
            return np.flatnonzero(vacant)
        found: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
        for start, span in zip(self.layout.starts, self.layout.spans, strict=True):
            first = start + -span.first_pfn % size
            blocks = max(0, start + span.pages - first) // size
            whole = vacant[first : first + blocks * size].reshape(blocks, size).all(axis=1)
            found.append(first + np.flatnonzero(whole) * size)
        return np.concatenate(found)
