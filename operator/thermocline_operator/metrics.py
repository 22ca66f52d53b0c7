"""What the operator tells of itself, in the exposition format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from thermocline_api import __version__
from thermocline_api.policy import NodeCounts

REGISTRY: Final = CollectorRegistry()
_BUILD: Final = Gauge("thermocline_operator_build_info", "Constant 1.", ["version"], registry=REGISTRY)
_BUILD.labels(__version__).set(1)
WRITES: Final = Counter(
    "thermocline_operator_writes_total", "Writes to the API server, by what became of them.", ["kind", "result"],
    registry=REGISTRY,
)  # fmt: skip
RECONCILES: Final = Histogram(
    "thermocline_operator_reconcile_seconds", "How long a reconcile took, writes included.", registry=REGISTRY
)
FAILURES: Final = Counter(
    "thermocline_operator_failures_total", "Failed reconciles, lease renewals and reads of objects.", ["what"],
    registry=REGISTRY,
)  # fmt: skip
for _what in ("reconcile", "lease", "read"):
    # A counter that began with its first failure would never be seen to rise.
    FAILURES.labels(_what)
ACTING: Final = Gauge(
    "thermocline_operator_acting", "1 while this replica holds the lease.", registry=REGISTRY
)
POLICY_NODES: Final = Gauge(
    "thermocline_policy_nodes", "Nodes of a policy, by state.", ["policy", "state"], registry=REGISTRY
)
OBJECTS: Final = Gauge("thermocline_operator_objects", "Objects that are known.", ["kind"], registry=REGISTRY)
_STATES: Final = ("matched", "updated", "ready", "degraded", "aborted")


def tell_policies(counts: Mapping[str, NodeCounts]) -> None:
    """The nodes of each policy; one that is not there any more is told no more."""
    (told,) = POLICY_NODES.collect()
    for policy, state in {(each.labels["policy"], each.labels["state"]) for each in told.samples}:
        if policy not in counts:
            POLICY_NODES.remove(policy, state)
    for policy, found in counts.items():
        for state in _STATES:
            POLICY_NODES.labels(policy, state).set(getattr(found, state) or 0)


def tell_objects(counts: Mapping[str, int]) -> None:
    """How many objects of each kind are known."""
    for kind, count in counts.items():
        OBJECTS.labels(kind).set(count)
