"""Policies and nodes: which policy governs which node. Pure.

Of the policies that select a node the one of highest priority governs it, then the oldest, then the first by
name. A node whose policy cannot be judged (it breaks the schema, or was not found but may be there) is held: it
stays as it is, and no policy takes it but one that certainly goes before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from thermocline_operator.state import Doubt, Kind, Policy, Snapshot


@dataclass(frozen=True, slots=True)
class Governance:
    """Who governs.

    governing: each known node's policy, None for none; held nodes are left out.
    held: nodes that stay as they are.
    losses: for each policy, the policies that govern nodes in its stead, and how many.
    doubts: policies that must be asked for first.
    """

    governing: Mapping[str, str | None] = field(hash=False)
    held: frozenset[str]
    losses: Mapping[str, Mapping[str, int]] = field(hash=False)
    doubts: frozenset[Doubt]

    def nodes_of(self, policy: str) -> list[str]:
        """The nodes that a policy governs, by name."""
        return sorted(node for node, governor in self.governing.items() if governor == policy)


def precedence(policy: Policy) -> tuple[int, float, str]:
    """What policies are sorted by: who governs comes first."""
    return -policy.priority, policy.created_at.timestamp(), policy.name


def resolve(snapshot: Snapshot) -> Governance:
    """Which policy governs each node that is there."""
    ranked = sorted(
        (each for each in snapshot.policies.values() if each.problem is None and not each.is_leaving),
        key=precedence,
    )
    governing: dict[str, str | None] = {}
    held: set[str] = set()
    losses: dict[str, Counter[str]] = {policy.name: Counter() for policy in ranked}
    doubts: set[Doubt] = set()
    for name, node in snapshot.nodes.items():
        matching = [policy for policy in ranked if policy.selector.matches(node.labels)]
        tier_node = snapshot.tier_nodes.get(name)
        present = None if tier_node is None else tier_node.policy
        if present is not None and _is_held(snapshot, present, matching[:1], doubts):
            held.add(name)
            continue
        governing[name] = matching[0].name if matching else None
        for loser in matching[1:]:
            losses[loser.name][matching[0].name] += 1
    return Governance(governing, frozenset(held), losses, frozenset(doubts))


def _is_held(snapshot: Snapshot, name: str, first: Sequence[Policy], doubts: set[Doubt]) -> bool:
    """Whether the policy that a node has cannot be judged, and would govern it rather than the first of others."""
    if (policy := snapshot.policies.get(name)) is not None:
        return policy.problem is not None and not any(precedence(each) < precedence(policy) for each in first)
    doubt = Doubt(Kind.POLICY, name)
    if doubt in snapshot.confirmed:
        return False
    doubts.add(doubt)
    return True


def ground(winner: Policy, loser: Policy) -> str:
    """Why one policy governs rather than another, for a sentence."""
    if winner.priority != loser.priority:
        return f"priority {winner.priority} against {loser.priority}"
    if winner.created_at != loser.created_at:
        return f"the same priority {winner.priority}, but older"
    return f"the same priority {winner.priority} and age, but first by name"
