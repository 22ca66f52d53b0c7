"""Whether an installation works: an operator acts, and the agent of every node reports. It writes nothing.

A node that is not Ready is told and fails nothing: it is Kubernetes' to mend.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote

from thermocline_api.conditions import Status, find
from thermocline_api.node import NodeCondition
from thermocline_operator import lease
from thermocline_operator.apply import Api, ApiError
from thermocline_operator.health import Presence, health_of
from thermocline_operator.reading import read_node, read_tier_node
from thermocline_operator.state import Kind, Node, TierNode

_PAUSE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing, in a sentence that begins with its name."""

    works: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where a DaemonSet has pods, by the names of nodes, and on how many nodes it shall have one.

    Its own word for it: labels, affinity and taints decide, and no others know how.
    """

    daemonset: str
    names: frozenset[str]
    count: int


def check(api: Api, daemonset: str | None, seconds: float, say: Callable[[str], None]) -> bool:
    """Look until all is well or the time is over; says what is, and returns whether it is well.

    Agents are looked for on the nodes of the DaemonSet of that name, without one on all nodes.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = _look(api, daemonset)
        except ApiError as err:
            found = [Finding(works=False, sentence=f"the API server does not answer: {err}")]
        works = all(each.works for each in found)
        if works or time.monotonic() > deadline:
            break
        time.sleep(_PAUSE_SECONDS)
    for each in found:
        say(f"{'ok   ' if each.works else 'FAIL '} {each.sentence}")
    return works


def findings(
    nodes: Iterable[Node], tier_nodes: Mapping[str, TierNode], wanted: Wanted | None, now: datetime
) -> list[Finding]:
    """One for each node that is wanted, all without Wanted, and one when some are missing. Pure."""
    looked_at = [node for node in nodes if wanted is None or node.name in wanted.names]
    found = [
        _of(node, tier_nodes.get(node.name), now) for node in sorted(looked_at, key=lambda node: node.name)
    ]
    return [*_missing(wanted, len(looked_at)), *found]


def _missing(wanted: Wanted | None, found: int) -> Iterable[Finding]:
    if wanted is None:
        if not found:
            yield Finding(works=False, sentence="there are no nodes: agents run nowhere")
    elif not wanted.count:
        yield Finding(works=False, sentence=f"DaemonSet {wanted.daemonset} fits no node: agents run nowhere")
    elif found < wanted.count:
        yield Finding(
            works=False,
            sentence=f"DaemonSet {wanted.daemonset} has pods on {found} of {wanted.count} nodes: describe it",
        )


def _of(node: Node, tier_node: TierNode | None, now: datetime) -> Finding:
    health = health_of(node, tier_node, now)
    report = None if tier_node is None else tier_node.report
    if report is None or health.presence in (Presence.ABSENT, Presence.LOST):
        return Finding(not node.is_ready, f"node {node.name} {health.why or 'has no agent that reports'}")
    tiers = find(report.conditions, NodeCondition.TIERS_FOUND)
    if tiers is None:
        told = "its agent reports"
    elif tiers.status is Status.TRUE:
        told = "its agent reports, and has two tiers"
    else:
        told = f"its agent reports {tiers.reason}: {tiers.message}"
    return Finding(works=True, sentence=f"node {node.name}: {told}")


def _look(api: Api, daemonset: str | None) -> list[Finding]:
    now = api.time()
    holder = lease.holder(api, now)
    if holder is None:
        operator = Finding(works=False, sentence="no operator acts: nobody renews the lease")
    else:
        operator = Finding(works=True, sentence=f"operator {holder} acts")
    try:
        tier_nodes = {raw["metadata"]["name"]: read_tier_node(raw) for raw in api.objects(Kind.TIER_NODE)}
    except ApiError as err:
        return [operator, Finding(works=False, sentence=f"MemoryTierNodes cannot be read: {err}")]
    wanted = None if daemonset is None else _wanted(api, daemonset)
    return [operator, *findings(map(read_node, api.objects(Kind.NODE)), tier_nodes, wanted, now)]


def _wanted(api: Api, daemonset: str) -> Wanted:
    found = api.ask(
        "GET", f"/apis/apps/v1/namespaces/{api.namespace}/daemonsets/{quote(daemonset, safe='')}"
    ).body
    pods = api.pods(found["spec"]["selector"]["matchLabels"])
    names = frozenset(pod["spec"]["nodeName"] for pod in pods if "nodeName" in pod["spec"])
    return Wanted(daemonset, names, found["status"]["desiredNumberScheduled"])
