"""Alerts and dashboard name what the code exports; each alert has its page; each metric is described."""

from __future__ import annotations

import re

import pytest
import yaml
from prometheus_client import CollectorRegistry

from tests import monitoring
from tests.environment import CHECKOUT
from tests.monitoring import Query
from thermocline_agent.exporter import Exporter
from thermocline_api.policy import NodeCounts
from thermocline_operator import metrics

OPERATIONS = CHECKOUT / "docs/operations.md"
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
QUERIES = [*monitoring.alert_queries(), *monitoring.dashboard_queries()]


def exported(registry: CollectorRegistry) -> set[str]:
    return {
        f"{family.name}{suffix}"
        for family in registry.collect()
        for suffix in SUFFIXES.get(family.type, ("",))
    }


@pytest.fixture(scope="module")
def names() -> set[str]:
    """Of all that agent and operator export, as Prometheus knows it."""
    return exported(Exporter().registry) | exported(metrics.REGISTRY)


def test_there_are_queries() -> None:
    assert len(monitoring.alert_queries()) == 9
    assert len(monitoring.dashboard_queries()) > 25


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_every_metric_in_a_query_is_exported(query: Query, names: set[str]) -> None:
    assert query.metrics <= names
    assert query.metrics or query.where == "ThermoclineAgentDown"


def test_every_metric_is_on_the_dashboard_or_in_an_alert(names: set[str]) -> None:
    used = set[str]().union(*(query.metrics for query in QUERIES))
    untold = {"thermocline_operator_build_info", "thermocline_rounds_total"}
    parts = {f"{name}{suffix}" for name in ("thermocline_round_seconds", "thermocline_operator_reconcile_seconds")
             for suffix in ("_sum", "_count")}  # fmt: skip
    assert names - used == untold | parts


def test_every_metric_of_the_operator_is_documented() -> None:
    page = (CHECKOUT / "docs/reference/metrics.md").read_text()
    for name in exported(metrics.REGISTRY):
        assert f"`{re.sub('_(bucket|sum|count)$', '', name)}`" in page, name


def test_each_alert_says_what_to_do_and_for_how_long_it_waits() -> None:
    headings = re.findall(r"^### (\w+)$", OPERATIONS.read_text(), re.MULTILINE)
    alerts = monitoring.alerts()
    for alert in alerts:
        page, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert CHECKOUT / page == OPERATIONS
        assert anchor == alert["alert"].lower()
        assert {"summary", "description", "runbook"} == set(alert["annotations"])
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert "for" in alert
    assert [alert["alert"] for alert in alerts] == [
        name for name in headings if name.startswith("Thermocline")
    ]


def test_each_alert_has_a_test_that_it_fires_and_one_that_it_does_not() -> None:
    tests = yaml.safe_load((CHECKOUT / "tests/cluster/alerts_test.yaml").read_text())["tests"]
    for alert in monitoring.alerts():
        (found,) = (test for test in tests if test["name"] == alert["alert"])
        fires = [bool(each.get("exp_alerts")) for each in found["alert_rule_test"]]
        assert set(fires) == {True, False}
        assert {each["alertname"] for each in found["alert_rule_test"]} == {alert["alert"]}


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    board = monitoring.dashboard()
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert board["uid"]
    assert "__inputs" not in board
    places: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & places, panel["title"]
        places |= cells
        if panel["type"] != "row":
            assert panel["targets"]
            assert panel["datasource"]["uid"] == "${datasource}"


def test_the_operator_tells_of_policies_that_are_there_and_of_no_others() -> None:
    def told() -> dict[tuple[str, str], float]:
        (family,) = metrics.POLICY_NODES.collect()
        return {(each.labels["policy"], each.labels["state"]): each.value for each in family.samples}

    try:
        metrics.tell_policies({"a": NodeCounts(matched=3, aborted=1), "b": NodeCounts(matched=1)})
        assert told()["a", "aborted"] == 1
        assert told()["b", "aborted"] == 0
        metrics.tell_policies({"b": NodeCounts(matched=2)})
        assert {policy for policy, _ in told()} == {"b"}
        assert told()["b", "matched"] == 2
    finally:
        metrics.tell_policies({})
    assert told() == {}


def test_a_failure_that_has_not_happened_is_told_as_none() -> None:
    (family,) = metrics.FAILURES.collect()
    assert {each.labels["what"] for each in family.samples} == {"reconcile", "lease", "read"}
