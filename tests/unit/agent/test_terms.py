"""A policy's settings in the planner's terms."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.agent.rounds import topology
from thermocline_agent import settings, terms
from thermocline_agent.settings import Amount
from thermocline_api import settings as api
from thermocline_api.rule import FastShare, Placement, Rule, Share

TIERS = topology(fast_pages=1024, slow_pages=1024)


def test_percentages_become_shares_and_bytes_pages() -> None:
    rule = Rule("a", fast_share=FastShare(Share(percent=10), Share(size_bytes=(8 << 20) + 5), 300))
    found = terms.planner_settings(api.Settings(rules=(rule,)), TIERS)
    assert found.rules[0].fast_share == settings.FastShare(Amount(share=0.1), Amount(pages=2048), 300)
    assert (found.watermarks.demote_below, found.watermarks.demote_until) == (0.08, 0.16)
    assert found.limits == settings.Limits(100 << 20, 100 << 20, None)
    assert (found.interval_seconds, found.rest_seconds) == (10.0, 30.0)
    assert found.guards.pressure == settings.PressureLimits(10, 100)


def test_every_page_of_prefer_slow_sinks_and_rounds_are_what_a_byte_tells() -> None:
    rules = (Rule("slow", placement=Placement.PREFER_SLOW), Rule("hot", hot_rounds=16, cold_after_seconds=90))
    found = terms.planner_settings(api.Settings(rules=rules), TIERS)
    assert [rule.cold_after_seconds for rule in found.rules] == [0.0, 90.0]
    assert found.rules[1].hot_rounds == 4


def test_guards_can_be_switched_off() -> None:
    guards = api.Guards(ping_pong=api.PingPong(max_percent=100), min_usefulness_percent=0)
    found = terms.planner_settings(api.Settings(guards=guards), TIERS)
    assert found.guards.ping_pong is None
    assert found.guards.min_usefulness_percent is None


def test_the_window_is_never_less_than_two_intervals() -> None:
    slow = api.Settings(hotness=api.Hotness(interval_seconds=120))
    limits = terms.planner_settings(slow, TIERS).guards.ping_pong
    assert limits is not None
    assert limits.window_seconds == 240


@pytest.mark.parametrize(
    ("fast_ns", "slow_ns", "seconds"),
    [(100, 250, 150e-9), (100, 101, 10e-9), (100, 10**9, 10e-6), (None, 250, 150e-9), (300, 200, 10e-9)],
)
def test_what_an_access_costs_more_is_the_firmwares_within_bounds(
    fast_ns: int | None, slow_ns: int | None, seconds: float
) -> None:
    found = topology(fast_pages=1024, slow_pages=1024, fast_ns=fast_ns, slow_ns=slow_ns)
    assert terms.planner_settings(api.Settings(), found).costs.access_seconds == pytest.approx(seconds)


def test_one_round_waits_until_its_rules_can_tell_hot_from_cold() -> None:
    rules = (Rule("a", cold_after_seconds=35, hot_rounds=3), Rule("ignored", placement=Placement.IGNORE))
    found = terms.planner_settings(api.Settings(rules=rules), TIERS)
    assert terms.rounds_to_tell(found) == 5
    assert terms.rounds_to_tell(replace(found, rules=())) == 5
