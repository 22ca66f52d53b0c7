"""The pages that are tracked: their layout by the machine's topology, their owners and their heat, as one."""

from __future__ import annotations

from dataclasses import dataclass

from thermocline_agent.census import Census
from thermocline_agent.extent import I64, Layout, Span, Tier, expanded
from thermocline_agent.frames import Frames, union
from thermocline_agent.heat import Heat
from thermocline_agent.snapshot import Node
from thermocline_agent.topology import Topology
from thermocline_kernel.host import PAGE_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class Tracking:
    """Frames, census and heat have the layout's order: an index is a page in all of them."""

    topology: Topology
    layout: Layout
    frames: tuple[Frames, ...]
    census: Census
    heat: Heat

    @staticmethod
    def of(topology: Topology, before: Tracking | None = None) -> Tracking:
        """Of a machine's memory now; what was known `before` of frames that are still there is known on."""
        layout = Layout(spans(topology))
        frames = tuple(Frames(span.first_pfn, span.first_pfn + span.pages) for span in layout.spans)
        # A chunk that is looked at may be of two nodes that adjoin; as arrays, they are one range anyway.
        made = Tracking(topology, layout, frames, Census(union(frames)), Heat(layout))
        if before is not None:
            _carry(before, made)
        return made

    def with_topology(self, topology: Topology) -> Tracking:
        """The same where the layout has not changed, and anew where it has."""
        if spans(topology) != self.layout.spans:
            return Tracking.of(topology, self)
        return Tracking(topology, self.layout, self.frames, self.census, self.heat)

    def forget(self, head: I64, pages: I64) -> None:
        """Of folios that have left these indexes nothing is known any more, nor whose the frames are."""
        places = expanded(head, pages)
        self.heat.forget(places)
        self.census.owner.forget(places)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes as the planner sees them: the fastest first, which is the order in which they are filled."""
        ordered = sorted(self.topology.nodes, key=lambda node: (node.rank, node.number))
        return tuple(
            Node(
                node.number,
                Tier.FAST if node.fast else Tier.SLOW,
                node.size_bytes // PAGE_BYTES,
                node.free_bytes // PAGE_BYTES,
            )
            for node in ordered
        )


def spans(topology: Topology) -> tuple[Span, ...]:
    """The topology's frames, by node and tier. Pure."""
    found = [
        Span(frames.first_pfn, frames.pages, node.number, Tier.FAST if node.fast else Tier.SLOW)
        for node in topology.nodes
        for frames in node.frames
    ]
    return tuple(sorted(found, key=lambda span: span.first_pfn))


def _carry(before: Tracking, after: Tracking) -> None:
    old, new = before.heat, after.heat
    new.memory, new.forecast, new.scale, new.full = old.memory, old.forecast, old.scale, old.full
    new.accesses_per_count, new.number, new.at = old.accesses_per_count, old.number, old.at
    after.census.register = before.census.register
    for start, span in zip(after.layout.starts, after.layout.spans, strict=True):
        for old_start, theirs in zip(before.layout.starts, before.layout.spans, strict=True):
            first = max(span.first_pfn, theirs.first_pfn)
            end = min(span.first_pfn + span.pages, theirs.first_pfn + theirs.pages)
            if first < end:
                to = slice(start + first - span.first_pfn, start + end - span.first_pfn)
                source = slice(old_start + first - theirs.first_pfn, old_start + end - theirs.first_pfn)
                new.heat[to], new.state[to] = old.heat[source], old.state[source]
                after.census.owner.write(to.start, before.census.owner[source])
                after.census.tails.write(to.start, before.census.tails[source])
