"""What of its MemoryTierNode an agent follows: what it says, judged once more, and for how long. Pure.

told --valid--> followed        told --invalid--> what was before stays, and the sentence of why
emptied or deleted --> onDelete is done, then nothing moves
nothing heard for longer than the TTL --> the same settings, only observing
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

from thermocline_agent.assignment import Assignment
from thermocline_agent.cluster.objects import Raw
from thermocline_api.codec import decode
from thermocline_api.node import NodeSpec
from thermocline_api.problem import InvalidManifest
from thermocline_api.rule import Placement, Rule
from thermocline_api.schema import API_VERSION, Schema
from thermocline_api.settings import Mode, OnDelete, Settings

# As long as the operator waits for a silent agent.
TTL_SECONDS: Final = 900.0
# Bringing pages back ends by itself when there are no more; and after this long in any case.
LEAVING_SECONDS: Final = 1800.0
_LONGEST_PROBLEM: Final = 900


@dataclass(frozen=True, slots=True)
class Standing:
    """What is followed. `spec` is the last valid one, `generation` the last that was read, of the object with `uid`.

    `problem` says what is wrong with what was read last. `leaving`: settings whose onDelete is done until `leaves_at`.
    """

    spec: NodeSpec = field(default_factory=NodeSpec)
    uid: str | None = None
    generation: int | None = None
    problem: str | None = None
    leaving: Settings | None = None
    leaves_at: float = 0.0


def told(before: Standing, raw: Raw, schema: Schema, now: float) -> Standing:
    """What is followed once the object was read. `now` is monotonic, in seconds.

    Raises KeyError, TypeError or ValueError for what is no object at all.
    """
    meta = raw["metadata"]
    uid, generation = str(meta["uid"]), int(meta["generation"])
    bare = {"apiVersion": API_VERSION, "kind": raw.get("kind", "MemoryTierNode"),
            "metadata": {"name": meta["name"]}, "spec": raw.get("spec", {})}  # fmt: skip
    try:
        spec = decode(NodeSpec, schema.read(bare)["spec"])
    except InvalidManifest as err:
        # Of what is wrong, one thing can be followed: the order to stop.
        kept = replace(before.spec, paused=before.spec.paused or _says_stop(raw))
        return replace(before, uid=uid, generation=generation, spec=kept, problem=str(err)[:_LONGEST_PROBLEM])
    return replace(_followed(before, spec, now), uid=uid, generation=generation, problem=None)


def gone(before: Standing, now: float) -> Standing:
    """What is followed when there is no object: as if it were empty."""
    return replace(_followed(before, NodeSpec(), now), uid=None, generation=None, problem=None)


def left(before: Standing) -> Standing:
    """Nothing more is to be brought back."""
    return replace(before, leaving=None)


def assignment(
    standing: Standing, unheard_seconds: float | None, ttl_seconds: float, now: float
) -> Assignment:
    """What shall be done. `unheard_seconds`: since when the API server has said nothing; None when it never has."""
    spec, problem = standing.spec, standing.problem
    settings = spec.settings
    if settings is None and standing.leaving is not None and now < standing.leaves_at:
        settings = brought_back(standing.leaving)
    if unheard_seconds is None or unheard_seconds > ttl_seconds:
        since = "since the agent started" if unheard_seconds is None else f"for {unheard_seconds:.0f} s"
        problem = (
            f"the API server has not been heard {since}: until it is, heat is observed and nothing moves"
        )
        settings = None if settings is None else replace(settings, mode=Mode.OBSERVE)
    return Assignment(
        settings=settings,
        policy=spec.policy,
        revision=spec.revision,
        generation=standing.generation,
        paused=spec.paused,
        problem=problem,
    )


def brought_back(settings: Settings) -> Settings:
    """Settings that bring back to fast memory what a policy governed, as far as there is room for it."""
    rules = tuple(_pinned(rule) for rule in settings.rules)
    migration = replace(settings.migration, demote_bytes_per_second=0)
    return replace(settings, rules=rules, migration=migration)


def _followed(before: Standing, spec: NodeSpec, now: float) -> Standing:
    governed = before.spec.settings
    if spec.settings is not None:
        return replace(before, spec=spec, leaving=None)
    if governed is not None and governed.on_delete is OnDelete.PROMOTE_BACK and governed.mode is Mode.ENFORCE:
        return replace(before, spec=spec, leaving=governed, leaves_at=now + LEAVING_SECONDS)
    return replace(before, spec=spec)


def _pinned(rule: Rule) -> Rule:
    if rule.placement is Placement.IGNORE:
        return rule
    return replace(
        rule, placement=Placement.PIN_FAST, fast_share=None, cold_after_seconds=None, hot_rounds=None
    )


def _says_stop(raw: Raw) -> bool:
    spec: Any = raw.get("spec")
    return isinstance(spec, dict) and spec.get("paused") is True
