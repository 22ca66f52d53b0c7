"""What all nodes of a policy report together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from thermocline_api.report import PolicyDryRun, TopPod, Totals
from thermocline_operator.state import Report

# int64: what the API server takes.
_MOST: Final = 2**63 - 1
_TOP_PODS: Final = 10


def totals_of(reports: Sequence[Report]) -> Totals | None:
    """Sums; shares of moved pages by the bytes that each node moved, and hits as the mean of nodes.

    How many accesses a node's hits are a share of is not reported. None when nobody reports.
    """
    if not reports:
        return None
    totals = [report.totals for report in reports]
    return Totals(
        promoted_bytes=_sum(each.promoted_bytes for each in totals),
        demoted_bytes=_sum(each.demoted_bytes for each in totals),
        failed_pages=_sum(each.failed_pages for each in totals),
        fast_hit_percent=_mean((each.fast_hit_percent, 1) for each in totals),
        ping_pong_percent=_mean(
            (each.ping_pong_percent, (each.promoted_bytes or 0) + (each.demoted_bytes or 0))
            for each in totals
        ),
    )


def dry_run_of(reports: Iterable[Report]) -> PolicyDryRun | None:
    """What all nodes would move, and the pods that it would concern most. None when no node has planned."""
    planned = [(report, report.dry_run) for report in reports if report.dry_run is not None]
    if not planned:
        return None
    return PolicyDryRun(
        promote_bytes=_sum(plan.promote_bytes for _, plan in planned),
        demote_bytes=_sum(plan.demote_bytes for _, plan in planned),
        predicted_fast_hit_percent=_mean((plan.predicted_fast_hit_percent, 1) for _, plan in planned),
        top_pods=_top(pod for report, _ in planned for pod in report.top_pods),
    )


def _top(pods: Iterable[TopPod]) -> tuple[TopPod, ...]:
    """The pods with the most bytes to move; a host service is one, on however many nodes it runs."""
    merged: dict[tuple[str | None, str, str | None], TopPod] = {}
    for pod in pods:
        key = pod.namespace, pod.name, pod.rule
        before = merged.get(key)
        merged[key] = pod if before is None else replace(
            pod,
            promote_bytes=_sum((before.promote_bytes, pod.promote_bytes)),
            demote_bytes=_sum((before.demote_bytes, pod.demote_bytes)),
        )  # fmt: skip

    def rank(pod: TopPod) -> tuple[int, str, str]:
        return -((pod.promote_bytes or 0) + (pod.demote_bytes or 0)), pod.namespace or "", pod.name

    return tuple(sorted(merged.values(), key=rank)[:_TOP_PODS])


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return min(_MOST, sum(known)) if known else None


def _mean(weighed: Iterable[tuple[int | None, int]]) -> int | None:
    """The rounded mean; of nodes that all weigh nothing, they weigh alike."""
    known = [(value, weight) for value, weight in weighed if value is not None]
    if not known:
        return None
    weight = sum(weight for _, weight in known)
    if not weight:
        return round(sum(value for value, _ in known) / len(known))
    return round(sum(value * weight for value, weight in known) / weight)
