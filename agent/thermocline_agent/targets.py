"""From what was chosen to moves: the node that each page goes to, the rule that asked for it, and why."""

from __future__ import annotations

import numpy as np

from thermocline_agent.candidates import Pages
from thermocline_agent.choice import Choice
from thermocline_agent.extent import I32, I64, Tier
from thermocline_agent.moves import Moves, Reason
from thermocline_agent.shares import PINNED, Parties
from thermocline_agent.snapshot import Node, Snapshot


def moves(snapshot: Snapshot, sharing: Parties, chosen: Choice, pool_level: int) -> Moves:
    """What was chosen, demotions first. `pool_level`: the threshold of those without a share."""
    up = chosen.up
    party = sharing.of_owner[up.owner]
    why_up = np.full(len(up), Reason.HOT, dtype=np.uint8)
    why_up[(sharing.minimum[party] > 0) & (up.heat < pool_level)] = Reason.FLOOR
    why_up[party == PINNED] = Reason.PIN
    index = np.concatenate((chosen.down.index, up.index))
    owner = np.concatenate((chosen.down.owner, up.owner))
    left = _by_node(snapshot, chosen.down)
    nodes = np.concatenate(
        (
            _targets(snapshot.nodes, Tier.SLOW, chosen.down.size, {}),
            _targets(snapshot.nodes, Tier.FAST, up.size, left),
        )
    )
    placed = nodes >= 0
    return Moves(
        index[placed],
        snapshot.layout.pfn(index[placed]),
        np.concatenate((chosen.down.size, up.size))[placed],
        nodes[placed],
        owner[placed],
        snapshot.rule_of[owner[placed]],
        np.concatenate((chosen.why_down, why_up)).astype(np.uint8)[placed],
    )


def _by_node(snapshot: Snapshot, pages: Pages) -> dict[int, int]:
    """How many of the pages each node has."""
    numbers, places = np.unique(snapshot.layout.node(pages.index), return_inverse=True)
    sums = np.bincount(places, pages.size, len(numbers)).astype(np.int64)
    return dict(zip(numbers.tolist(), sums.tolist(), strict=True))


def _targets(nodes: tuple[Node, ...], tier: Tier, size: I64, freed: dict[int, int]) -> I32:
    """The node that each folio goes to: nodes are filled in their order. -1: no node has room for it."""
    targets = np.full(len(size), -1, dtype=np.int32)
    first = 0
    for node in nodes:
        if node.tier is tier and first < len(size):
            space = node.free_pages + freed.get(node.number, 0)
            last = first + int(np.searchsorted(np.cumsum(size[first:]), space, side="right"))
            targets[first:last] = node.number
            first = last
    return targets
