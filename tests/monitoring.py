"""What the chart has for Prometheus and Grafana: the alert rules, the dashboard, and the queries in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.environment import CHECKOUT

FOLDER = CHECKOUT / "charts/thermocline/files/monitoring"
RULES = FOLDER / "alerts.yaml"
# Strings in a query may name anything; a metric is a word outside of them, and its selector follows.
_STRING = re.compile(r'"[^"]*"')
_SELECTOR = re.compile(r"\b(?:thermocline_\w+|up)\b(?:\{[^}]*\})?")
# What a person would have chosen, and Grafana have put in.
_VARIABLES = {"$instance": ".*", "$__rate_interval": "1m"}


@dataclass(frozen=True, slots=True)
class Query:
    """A query in PromQL, and where it stands."""

    where: str
    text: str

    @property
    def metrics(self) -> set[str]:
        """The names in it."""
        return set(re.findall(r"\bthermocline_\w+", _STRING.sub('""', self.text)))

    @property
    def selectors(self) -> list[str]:
        """Each metric with what it is selected by."""
        return _SELECTOR.findall(self.text)


def alerts() -> list[dict[str, Any]]:
    """The rules, as they stand in the file."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alert_queries() -> list[Query]:
    """The expression of each alert."""
    return [Query(rule["alert"], rule["expr"]) for rule in alerts()]


def dashboard() -> Any:
    """The dashboard, as Grafana reads it."""
    return json.loads((FOLDER / "dashboard.json").read_text())


def dashboard_queries() -> list[Query]:
    """Every query of the dashboard, its variables filled in."""
    return list(_dashboard_queries())


def _dashboard_queries() -> Iterator[Query]:
    board = dashboard()
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"]
            for variable, value in _VARIABLES.items():
                text = text.replace(variable, value)
            yield Query(f"{panel['title']} ({target['refId']})", text)
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert match is not None, variable
            yield Query(f"variable {variable['name']}", f"group by ({match[2]}) ({match[1]})")
