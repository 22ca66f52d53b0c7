"""Metrics for Prometheus. Labels have values of fixed lists, the policy's rules and the machine's nodes, and no others.

docs/reference/metrics.md describes each.
"""

from __future__ import annotations

import socket
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from thermocline_agent.guards import Why
from thermocline_agent.lines import is_promotion
from thermocline_agent.report import Report, RoundReport
from thermocline_agent.warmth import by_tier
from thermocline_api import __version__
from thermocline_api.conditions import Status
from thermocline_api.node import NodeStatus
from thermocline_kernel.host import PAGE_BYTES

_DIRECTIONS: Final = ("promote", "demote")


class Unbindable(Exception):
    """The address cannot be listened on; the message says why."""


class Exporter:
    """The StatusSink that keeps metrics up to date, and serves them once `serve` was called."""

    def __init__(self) -> None:
        """In a registry of its own, so that several can be in one process."""
        registry = CollectorRegistry()
        self.registry: Final = registry

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"thermocline_{name}", text, labels, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"thermocline_{name}", text, labels, registry=registry)

        gauge("agent_build_info", "Constant 1.", "version").labels(__version__).set(1)
        self._rounds = counter("rounds", "Rounds of observing, planning and moving.")
        self._last_round = gauge("last_round_timestamp_seconds", "When the last round ended.")
        self._seconds = Histogram(
            "thermocline_round_seconds", "How long a round took, moves included.",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60), registry=registry,
        )  # fmt: skip
        self._moved = counter("moved_bytes", "Bytes moved between tiers.", "direction")
        self._pages = counter("pages", "Pages that moves were tried of, by what became of them.", "result")
        self._planned = gauge("planned_bytes", "Bytes that the last plan moves.", "rule", "direction")
        self._hits = gauge("fast_hit_ratio", "Observed accesses that fast memory serves.", "when")
        self._ping_pong = gauge("ping_pong_ratio", "Moved pages that moved back within the window.")
        self._useful = gauge("usefulness_ratio", "Promoted pages that were used again.")
        self._source_cpu = counter("source_cpu_seconds", "CPU that finding heat and owners took.")
        self._engine_cpu = counter("engine_cpu_seconds", "CPU that moving took.")
        self._missed = counter("missed_samples", "Samples or records that a source has lost.")
        self._tracked = gauge("tracked_bytes", "Memory that is tracked.")
        self._heat = gauge("owned_bytes", "Memory of pods and services, by how hot it is.", "tier", "heat")
        self._size = gauge("node_memory_bytes", "A NUMA node's memory.", "node", "tier", "state")
        self._condition = gauge(
            "condition", "1 for the status that a condition has, 0 for others.", "type", "status"
        )
        self._waits = gauge("waiting", "1 while this keeps pages from being moved.", "why")
        self._in_use = gauge("in_use", "1 for the source and the engine in use.", "kind", "name")
        self._pods = gauge("pods_matched", "Pods and services that a rule other than an Ignore rule governs.")
        self._kills = gauge("oom_kills", "Processes killed for want of memory since the agent started.")

    def serve(self, address: str) -> None:
        """Answer at HOST:PORT, or :PORT for all addresses. Raises Unbindable."""
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdigit() or int(port) > 65535:
            raise Unbindable(f"{address!r} is no address: write :9464 or 127.0.0.1:9464")
        try:
            # A kernel without IPv6 has no :: to listen on.
            anywhere = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104 - what :PORT asks for
            start_http_server(int(port), host.strip("[]") or anywhere, registry=self.registry)
        except OSError as err:
            raise Unbindable(f"{address} cannot be listened on: {err.strerror}") from err

    def publish(self, report: Report) -> None:
        """See StatusSink."""
        status, last = report.status, report.last
        self._rounds.inc()
        self._last_round.set(report.at.timestamp())
        self._round(last)
        self._memory(report)
        self._states(status, last)

    def close(self) -> None:
        """The server's thread ends with the process."""

    def _round(self, last: RoundReport) -> None:
        self._seconds.observe(last.round_seconds)
        for direction, pages in zip(_DIRECTIONS, (last.promoted_pages, last.demoted_pages), strict=True):
            self._moved.labels(direction).inc(pages * PAGE_BYTES)
        for result, pages in last.results.items():
            self._pages.labels(result).inc(pages)
        # A rule that is gone must not go on being told.
        self._planned.clear()
        for each in last.planned:
            direction = _DIRECTIONS[0 if is_promotion(each.reason) else 1]
            self._planned.labels(each.rule, direction).inc(each.pages * PAGE_BYTES)
        self._hits.clear()
        for when, share in (("now", last.fast_hit_now), ("planned", last.fast_hit_planned)):
            if share is not None:
                self._hits.labels(when).set(share)
        self._source_cpu.inc(last.source_cpu_seconds)
        self._engine_cpu.inc(last.engine_cpu_seconds)
        self._missed.inc(last.missed_samples)
        self._tracked.set(last.tracked_pages * PAGE_BYTES)

    def _memory(self, report: Report) -> None:
        for tier, pages in zip(("fast", "slow"), by_tier(report.owners), strict=True):
            for name, count in (("hot", pages.hot), ("warm", pages.warm), ("cold", pages.cold)):
                self._heat.labels(tier, name).set(count * PAGE_BYTES)
        self._size.clear()
        for each in report.status.tiers or ():
            for node in each.nodes:
                for state, size_bytes in (("size", node.size_bytes), ("free", node.free_bytes)):
                    if size_bytes is not None:
                        self._size.labels(str(node.id), each.name.value.lower(), state).set(size_bytes)

    def _states(self, status: NodeStatus, last: RoundReport) -> None:
        for condition in status.conditions:
            for value in Status:
                self._condition.labels(condition.type, value.value).set(condition.status is value)
        for why in Why:
            self._waits.labels(why.value).set(why.value in last.waits)
        self._in_use.clear()
        for kind, name in (("source", status.source), ("engine", status.engine)):
            if name is not None:
                self._in_use.labels(kind, name.value).set(1)
        self._pods.set(status.pods_matched or 0)
        counters = status.counters
        if counters is not None:
            self._kills.set(counters.oom_kills or 0)
            for gauge, percent in (
                (self._ping_pong, counters.totals.ping_pong_percent),
                (self._useful, counters.usefulness_percent),
            ):
                gauge.set(float("nan") if percent is None else percent / 100)
