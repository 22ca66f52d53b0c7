"""What is reported of nodes and of policies alike: totals, dry runs, and the pods that they concern most."""

from __future__ import annotations

from thermocline_api.codec import INTEGER, TEXT, listed, nested, record, wire


@record
class TopPod:
    """A pod, or without a namespace a host service by its cgroup's path, and the bytes that move of it."""

    name: str = wire("name", TEXT)
    namespace: str | None = wire("namespace", TEXT, default=None)
    rule: str | None = wire("rule", TEXT, default=None)
    promote_bytes: int | None = wire("promoteBytes", INTEGER, default=None)
    demote_bytes: int | None = wire("demoteBytes", INTEGER, default=None)


@record
class Totals:
    """What was moved, and what came of it. None is not known, as long as nothing was observed."""

    promoted_bytes: int | None = wire("promotedBytes", INTEGER, default=None)
    demoted_bytes: int | None = wire("demotedBytes", INTEGER, default=None)
    failed_pages: int | None = wire("failedPages", INTEGER, default=None)
    fast_hit_percent: int | None = wire("fastHitPercent", INTEGER, default=None)
    ping_pong_percent: int | None = wire("pingPongPercent", INTEGER, default=None)


@record
class NodeDryRun:
    """What one node would move."""

    promote_bytes: int | None = wire("promoteBytes", INTEGER, default=None)
    demote_bytes: int | None = wire("demoteBytes", INTEGER, default=None)
    predicted_fast_hit_percent: int | None = wire("predictedFastHitPercent", INTEGER, default=None)


@record
class PolicyDryRun:
    """What all nodes of a policy would move."""

    promote_bytes: int | None = wire("promoteBytes", INTEGER, default=None)
    demote_bytes: int | None = wire("demoteBytes", INTEGER, default=None)
    predicted_fast_hit_percent: int | None = wire("predictedFastHitPercent", INTEGER, default=None)
    top_pods: tuple[TopPod, ...] | None = wire("topPods", listed(nested(TopPod)), default=None)
