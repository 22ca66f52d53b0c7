"""What an agent is asked to do, and who tells it: a file on a lone machine, the node's MemoryTierNode in a cluster.

The loop asks anew before each round and between the batches of a round's moves, so whatever answers must have its
answer ready: it watches, or looks at a file's times, and never waits for a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from thermocline_api.settings import Settings


@dataclass(frozen=True, slots=True)
class Assignment:
    """What shall be done now. Without `settings` no policy governs: heat is observed by the defaults, nothing moves.

    `generation` is that of the object that all this was read from, `revision` that of the policy; a file has neither.
    `problem` says, as a sentence, why something newer is not followed (it is invalid, or cannot be read); the rest is
    then what was in force before.
    """

    settings: Settings | None = None
    policy: str | None = None
    revision: str | None = None
    generation: int | None = None
    paused: bool = False
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of this node, by what rules select. `is_own`: it is one of Thermocline's."""

    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    namespace_labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    is_own: bool = False


class PolicySource(Protocol):
    """Who tells. Neither method raises, nor waits."""

    def current(self) -> Assignment:
        """What shall be done now."""

    def pods(self) -> Mapping[str, Pod] | None:
        """This node's pods by UID; None where there is no Kubernetes. A pod that is not among them is unknown, and its
        pages stay where they are.
        """
