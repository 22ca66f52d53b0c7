"""What is reported of nodes and of policies alike: totals, dry runs, and the pods that they concern most."""

from __future__ import annotations

from thermocline_api.codec import listed, nested, record, wire


@record
class TopPod:
    """A pod, or without a namespace a host service by its cgroup's path, and the bytes that move of it."""

    name: str = wire("name")
    namespace: str | None = wire("namespace", default=None)
    rule: str | None = wire("rule", default=None)
    promote_bytes: int | None = wire("promoteBytes", default=None)
    demote_bytes: int | None = wire("demoteBytes", default=None)


@record
class Totals:
    """What was moved, and what came of it. None is not known, as long as nothing was observed."""

    promoted_bytes: int | None = wire("promotedBytes", default=None)
    demoted_bytes: int | None = wire("demotedBytes", default=None)
    failed_pages: int | None = wire("failedPages", default=None)
    fast_hit_percent: int | None = wire("fastHitPercent", default=None)
    ping_pong_percent: int | None = wire("pingPongPercent", default=None)


@record
class NodeDryRun:
    """What one node would move."""

    promote_bytes: int | None = wire("promoteBytes", default=None)
    demote_bytes: int | None = wire("demoteBytes", default=None)
    predicted_fast_hit_percent: int | None = wire("predictedFastHitPercent", default=None)


@record
class PolicyDryRun:
    """What all nodes of a policy would move."""

    promote_bytes: int | None = wire("promoteBytes", default=None)
    demote_bytes: int | None = wire("demoteBytes", default=None)
    predicted_fast_hit_percent: int | None = wire("predictedFastHitPercent", default=None)
    top_pods: tuple[TopPod, ...] | None = wire("topPods", listed(nested(TopPod)), default=None)
