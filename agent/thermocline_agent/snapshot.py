"""What a round sees: a node's memory, whose it is, how hot it is. Values; observing is done elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.extent import Layout, Tier
from thermocline_agent.guards import Pressure
from thermocline_agent.heat import Heat
from thermocline_agent.ownership import Ownership
from thermocline_agent.tails import Tails


@dataclass(frozen=True, slots=True)
class Node:
    """One NUMA node's memory."""

    number: int
    tier: Tier
    total_pages: int
    free_pages: int


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything that plan_round decides on.

    `nodes`: in the order in which they are filled. `owner`: whose each page is, shape (pages,); 0 for pages
    of nobody, of the kernel, of somebody unknown, and for all that cannot move. An owner keeps its index
    while it lives. `rule_of`: the index of each owner's rule, -1 for none, shape (owners,), larger than any
    element of `owner`. `tails`: which pages belong to a folio that starts before them; None where all are
    single pages.
    """

    layout: Layout
    heat: Heat
    owner: Ownership
    rule_of: NDArray[np.int16]
    nodes: tuple[Node, ...]
    pressure: Pressure | None = None
    tails: Tails | None = None

    def __post_init__(self) -> None:
        if len(self.owner) != self.layout.pages or self.heat.layout is not self.layout:
            raise ValueError("heat and owners must be of the layout's pages")

    def total_pages(self, tier: Tier) -> int:
        """Of all nodes of the tier."""
        return sum(node.total_pages for node in self.nodes if node.tier is tier)

    def free_pages(self, tier: Tier) -> int:
        """Of all nodes of the tier."""
        return sum(node.free_pages for node in self.nodes if node.tier is tier)
