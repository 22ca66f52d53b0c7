"""The chart: its CRDs are the project's, its version is, and its values are closed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.environment import CHECKOUT
from thermocline_api import __version__

CHART = CHECKOUT / "charts/thermocline"
NOTES = CHART / "templates/NOTES.txt"
PAGES = [CHECKOUT / "README.md", NOTES, *sorted((CHECKOUT / "docs").rglob("*.md"))]
CRDS = sorted((CHECKOUT / "crds").glob("*.yaml"))


@pytest.mark.parametrize("crd", CRDS, ids=lambda path: path.stem)
def test_its_crds_are_the_projects(crd: Path) -> None:
    assert (CHART / "files" / crd.name).read_bytes() == crd.read_bytes(), (
        f"cp crds/{crd.name} charts/thermocline/files/"
    )


def test_it_has_no_other_files() -> None:
    found = {
        str(path.relative_to(CHART / "files")) for path in (CHART / "files").rglob("*") if path.is_file()
    }
    assert found == {path.name for path in CRDS} | {"monitoring/alerts.yaml", "monitoring/dashboard.json"}


def test_its_version_is_the_projects() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


def _objects(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node:
            yield node
        for child in node.values():
            yield from _objects(child)


def test_no_value_is_taken_that_does_nothing() -> None:
    found = list(_objects(json.loads((CHART / "values.schema.json").read_text())))
    assert len(found) > 5
    assert all(each["additionalProperties"] is False for each in found)


def _keys(values: Any, described: Any, definitions: Any) -> Iterator[str]:
    if "$ref" in described:
        described = definitions[described["$ref"].rpartition("/")[2]]
    for key, value in values.items():
        known = described.get("properties", {})
        if key not in known and described.get("additionalProperties") is not True:
            yield key
        elif isinstance(value, dict) and value and "properties" in known.get(key, {}):
            yield from _keys(value, known[key], definitions)


def test_every_default_is_described_and_everything_described_has_one() -> None:
    described = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert list(_keys(values, described, described["definitions"])) == []
    assert set(described["properties"]) - {"global"} == set(values)
    for part in ("agent", "operator", "image", "crds", "monitoring"):
        assert set(described["properties"][part]["properties"]) == set(values[part])
    for part, given in values["monitoring"].items():
        assert set(described["properties"]["monitoring"]["properties"][part]["properties"]) == set(given)


def test_its_notes_need_nothing_of_this_checkout_and_their_policy_is_the_examples() -> None:
    text = NOTES.read_text()
    assert not re.search(r"\b(docs|charts|crds)/", text)
    (policy,) = re.findall(r"^kubectl apply -f - <<EOF\n(.*?)^EOF$", text, re.MULTILINE | re.DOTALL)
    example = yaml.safe_load((CHECKOUT / "docs/examples/observe-everything.yaml").read_text())
    assert example["spec"].pop("priority") == 0, "the default"
    assert yaml.safe_load(policy) == example


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"kubectl get \w+,\S+ .*(-w\b|--watch)", "kubectl watches one kind at a time"),
        (r"helm upgrade.*--reuse-values", "a value that came since would not have its default"),
        (r"docker .*\$_", "it is the last word, which is the folder"),
    ],
)
def test_no_page_has_a_command_that_fails(pattern: str, why: str) -> None:
    found = [f"{page.name}: {line}" for page in PAGES for line in page.read_text().splitlines()
             if re.search(pattern, line)]  # fmt: skip
    assert found == [], why
