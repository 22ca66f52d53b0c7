"""A policy's settings in the planner's terms: shares of one, pages, and costs as the firmware tells them. Pure."""

from __future__ import annotations

from typing import Final

from thermocline_agent import activity
from thermocline_agent.memory import KNOWN
from thermocline_agent.settings import (
    PAGE_BYTES,
    Amount,
    Costs,
    FastShare,
    GuardLimits,
    Limits,
    PingPongAction,
    PingPongLimits,
    Placement,
    PressureLimits,
    Rule,
    Settings,
    Watermarks,
)
from thermocline_agent.topology import Topology
from thermocline_api import rule as api_rule
from thermocline_api import settings as api

_NEVER_TRIPS: Final = 100
# The firmware's figures are taken at their word only within these bounds.
_LEAST_EXTRA_NS, _MOST_EXTRA_NS = 10, 10_000


def planner_settings(settings: api.Settings, topology: Topology) -> Settings:
    """What plan_round is given. A rule has the same index in both."""
    hotness, migration, guards = settings.hotness, settings.migration, settings.guards
    watermarks = settings.watermarks
    ping_pong = None
    if guards.ping_pong.max_percent < _NEVER_TRIPS:
        ping_pong = PingPongLimits(
            # A page is seen to have moved back at the end of a round.
            max(guards.ping_pong.window_seconds, 2 * hotness.interval_seconds),
            float(guards.ping_pong.max_percent),
            PingPongAction(guards.ping_pong.action.value),
        )
    return Settings(
        rules=tuple(map(_rule, settings.rules)),
        interval_seconds=hotness.interval_seconds,
        rest_seconds=3 * hotness.interval_seconds,
        watermarks=Watermarks(watermarks.demote_below_percent / 100, watermarks.demote_until_percent / 100),
        limits=Limits(
            migration.promote_bytes_per_second,
            migration.demote_bytes_per_second,
            migration.per_pod_bytes_per_minute,
        ),
        guards=GuardLimits(
            PressureLimits(
                guards.memory_pressure.some_avg60_basis_points,
                guards.memory_pressure.full_avg10_basis_points,
            ),
            ping_pong,
            float(guards.min_usefulness_percent) if guards.min_usefulness_percent else None,
        ),
        costs=_costs(topology),
    )


def _rule(rule: api_rule.Rule) -> Rule:
    cold_after_seconds, hot_rounds = rule.of_tier
    if rule.placement is api_rule.Placement.PREFER_SLOW:
        # Every page of it sinks, used or not.
        cold_after_seconds = 0.0
    share = rule.fast_share
    return Rule(
        rule.name,
        Placement(rule.placement.value),
        cold_after_seconds,
        # More rounds than a page's byte can tell apart are as many as it can.
        min(hot_rounds, activity.MAX_HOT_ROUNDS),
        None if share is None else FastShare(_amount(share.min), _amount(share.max), share.weight),
    )


def _amount(share: api_rule.Share | None) -> Amount | None:
    if share is None:
        return None
    if share.percent is not None:
        return Amount(share=share.percent / 100)
    return Amount(pages=(share.size_bytes or 0) // PAGE_BYTES)


def _costs(topology: Topology) -> Costs:
    fast, slow = (
        [
            figures.read_latency_ns
            for node in nodes
            if (figures := node.performance) is not None and figures.read_latency_ns
        ]
        for nodes in (topology.fast, topology.slow)
    )
    if not fast or not slow:
        return Costs()
    extra_ns = min(max(min(slow) - max(fast), _LEAST_EXTRA_NS), _MOST_EXTRA_NS)
    return Costs(access_seconds=extra_ns * 1e-9)


def rounds_to_tell(settings: Settings) -> int:
    """After how many rounds the rules can tell hot from cold: what one round alone has to wait for."""
    movers = [rule for rule in settings.rules if rule.placement is not Placement.IGNORE]
    hot = max((rule.hot_rounds for rule in movers), default=1)
    cold = max((settings.rounds(rule.cold_after_seconds) for rule in movers), default=1)
    return 1 + max(hot, cold, KNOWN)
