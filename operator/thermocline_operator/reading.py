"""What the API server says, made into values, and values into what it takes. Pure.

What cannot be read is not guessed: a policy or a MemoryTierNode becomes one with a problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from thermocline_api.codec import FLAG, OBJECT, TEXT, decode, encode, read_time, record, wire
from thermocline_api.node import NodeStatus
from thermocline_api.policy import MemoryTierPolicy, PolicyStatus
from thermocline_api.problem import InvalidManifest
from thermocline_api.report import Totals
from thermocline_api.schema import API_VERSION, GROUP, Schema
from thermocline_api.settings import Settings
from thermocline_operator.decide import NodeWrite
from thermocline_operator.notes import GIVEN, MARKS, given_text, marks_text, read_given, read_marks
from thermocline_operator.revisions import digest
from thermocline_operator.state import (
    Node,
    Policy,
    Report,
    Revision,
    TierNode,
)

Raw = Mapping[str, Any]

POLICY_LABEL: Final = f"{GROUP}/policy"
MANAGED_BY: Final = {"app.kubernetes.io/managed-by": "thermocline-operator"}
# The keys of a policy's spec that are a node's settings.
_SETTINGS: Final = tuple(field.metadata["name"] for field in fields(Settings))
# An unreadable priority is taken for the highest, so that no other policy takes its nodes.
_HIGHEST_PRIORITY: Final = 1000
_LONGEST_PROBLEM: Final = 900
# What decoding raises, of whatever the API server has.
_UNREADABLE: Final = (AttributeError, KeyError, TypeError, ValueError)


def read_policy(raw: Raw, schema: Schema) -> Policy:
    """A MemoryTierPolicy, judged once more: it may have been written past the API server's validation."""
    meta = raw["metadata"]
    identity = meta["name"], meta["uid"], meta.get("generation", 0), read_time(meta["creationTimestamp"])
    is_leaving = "deletionTimestamp" in meta
    # Its status is the operator's own, and no reason to refuse it.
    bare = {**{key: raw[key] for key in raw if key != "status"}, "metadata": {"name": meta["name"]}}
    try:
        found = MemoryTierPolicy.read(schema, bare)
    except InvalidManifest as err:
        spec = raw.get("spec")
        told: Raw = spec if isinstance(spec, Mapping) else {}
        priority = told.get("priority")
        return Policy(
            *identity,
            priority=priority if isinstance(priority, int) else _HIGHEST_PRIORITY,
            paused=told.get("paused") is True,
            status=_policy_status(raw),
            is_leaving=is_leaving,
            problem=str(err)[:_LONGEST_PROBLEM],
        )
    spec = schema.defaulted(bare)["spec"]
    settings = {key: spec[key] for key in _SETTINGS if key in spec}
    return Policy(
        *identity,
        priority=found.spec.priority,
        paused=found.spec.paused,
        selector=found.spec.node_selector,
        rollout=found.spec.rollout,
        settings=settings,
        digest=digest(settings),
        mode=found.spec.settings.mode,
        kernel_tiering=found.spec.settings.guards.kernel_tiering,
        status=_policy_status(raw),
        is_leaving=is_leaving,
    )


def read_node(raw: Raw) -> Node:
    """A Node: its labels, and whether it is ready."""
    meta = raw["metadata"]
    conditions = raw.get("status", {}).get("conditions", ())
    ready: Raw = next((each for each in conditions if each.get("type") == "Ready"), {})
    since = ready.get("lastTransitionTime") or meta["creationTimestamp"]
    return Node(
        meta["name"],
        meta["uid"],
        dict(meta.get("labels") or {}),
        ready.get("status") == "True",
        read_time(since),
    )


@record
class _Spec:
    """What a MemoryTierNode is given, its settings as they are."""

    policy: str | None = wire("policy", TEXT, default=None)
    revision: str | None = wire("revision", TEXT, default=None)
    paused: bool = wire("paused", FLAG, default=False)
    settings: dict[str, Any] | None = wire("settings", OBJECT, default=None)


def read_tier_node(raw: Raw) -> TierNode:
    """A MemoryTierNode. One whose spec or status cannot be read is one all the same, with a problem."""
    meta, spec, report, problems = raw["metadata"], _Spec(), None, []
    try:
        spec = decode(_Spec, raw.get("spec", {}))
    except _UNREADABLE as err:
        problems.append(f"its spec cannot be read: {_said(err)}")
    try:
        report = _report(raw)
    except _UNREADABLE as err:
        problems.append(f"its status cannot be read: {_said(err)}")
    return TierNode(
        name=meta["name"],
        uid=meta["uid"],
        created_at=read_time(meta["creationTimestamp"]),
        policy=spec.policy,
        revision=spec.revision,
        paused=spec.paused,
        settings=spec.settings,
        digest=None if spec.settings is None else digest(spec.settings),
        given=read_given(meta.get("annotations", {}).get(GIVEN)),
        report=report,
        problem="; ".join(problems) or None,
    )


def read_revision(raw: Raw) -> Revision:
    """A ControllerRevision of ours. Raises KeyError for one that is not."""
    meta = raw["metadata"]
    (owner,) = [each for each in meta.get("ownerReferences", ()) if each["kind"] == "MemoryTierPolicy"] or [
        None
    ]
    if owner is None:
        raise KeyError("ownerReferences")
    settings = raw["data"]["settings"]
    return Revision(
        name=meta["name"],
        policy=owner["name"],
        policy_uid=owner["uid"],
        number=raw["revision"],
        settings=settings,
        digest=digest(settings),
        marks=read_marks(meta.get("annotations", {}).get(MARKS)),
    )


def tier_node_manifest(write: NodeWrite) -> dict[str, Any]:
    """A MemoryTierNode as it is applied."""
    meta: dict[str, Any] = {"name": write.name, "labels": dict(MANAGED_BY)}
    spec: dict[str, Any] = {"paused": write.paused}
    if write.policy is not None:
        spec |= {"policy": write.policy, "revision": write.revision, "settings": write.settings}
        if write.given is not None:
            meta["annotations"] = {GIVEN: given_text(write.given)}
    return {"apiVersion": API_VERSION, "kind": "MemoryTierNode", "metadata": meta, "spec": spec}


def revision_manifest(revision: Revision, namespace: str) -> dict[str, Any]:
    """A ControllerRevision as it is applied: owned by its policy, so that it goes with it."""
    owner = {
        "apiVersion": API_VERSION,
        "kind": "MemoryTierPolicy",
        "name": revision.policy,
        "uid": revision.policy_uid,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": revision.name,
            "namespace": namespace,
            # A label's value is shorter than a name may be.
            "labels": {**MANAGED_BY, POLICY_LABEL: revision.policy_uid},
            "annotations": {MARKS: marks_text(revision.marks)},
            "ownerReferences": [owner],
        },
        "data": {"settings": revision.settings},
        "revision": revision.number,
    }


def policy_status_manifest(policy: Policy, status: PolicyStatus) -> dict[str, Any]:
    """A policy's status as it is applied."""
    return {
        "apiVersion": API_VERSION,
        "kind": "MemoryTierPolicy",
        "metadata": {"name": policy.name, "uid": policy.uid},
        "status": encode(status),
    }


def _report(raw: Raw) -> Report | None:
    """What the agent reported; None when nothing. Raises what decoding does."""
    if not raw.get("status"):
        return None
    status = decode(NodeStatus, raw["status"])
    counters = status.counters
    return Report(
        heard_at=_heard_at(raw["metadata"]),
        policy=status.policy,
        revision=status.revision,
        pods_matched=status.pods_matched,
        totals=Totals() if counters is None else counters.totals,
        oom_kills=0 if counters is None else counters.oom_kills or 0,
        counting_since=None if counters is None else counters.since,
        dry_run=status.dry_run,
        top_pods=() if status.dry_run is None else status.top_pods or (),
        conditions=status.conditions,
    )


def _heard_at(meta: Raw) -> datetime:
    """When the status was last changed, as the API server noted."""
    times = [each["time"] for each in meta.get("managedFields", ()) if each.get("subresource") == "status"]
    return max(map(read_time, times), default=read_time(meta["creationTimestamp"]))


def _policy_status(raw: Raw) -> PolicyStatus:
    try:
        return decode(PolicyStatus, raw.get("status", {}))
    except _UNREADABLE:
        return PolicyStatus()


def _said(err: Exception) -> str:
    return f"it lacks {err}" if isinstance(err, KeyError) else str(err)
