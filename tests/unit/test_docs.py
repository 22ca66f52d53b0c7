"""The documentation: it builds without a warning, and what is made from the code is as the code is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import policy_reference
from tests.environment import CHECKOUT

DOCS = CHECKOUT / "docs"


def build(source: Path, into: Path) -> subprocess.CompletedProcess[str]:
    words: list[str | Path] = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        source,
        into,
    ]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = build(DOCS, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    for page in DOCS.rglob("*.md"):
        built = tmp_path / "site" / page.relative_to(DOCS).with_suffix(".html")
        assert "<h1>" in built.read_text(), page


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[x](nowhere.md)", "'nowhere.md'"),
        ("[x](index.md#nothing)", "nothing"),
        ("[x](../nowhere.md)", "which is not there"),
    ],
)
def test_a_link_that_leads_nowhere_breaks_the_build(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/conf.py").write_text((DOCS / "conf.py").read_text())
    (tmp_path / "docs/index.md").write_text(f"# Title\n\n{text}\n")
    done = build(tmp_path / "docs", tmp_path / "site")
    assert done.returncode != 0
    assert sentence in done.stderr


def test_the_policy_reference_is_the_schemas() -> None:
    assert policy_reference.PAGE.read_text() == policy_reference.page(), (
        "python3 -m tests.policy_reference writes it anew"
    )


def _fields(schema: dict[str, object]) -> set[str]:
    found: set[str] = set()
    properties = schema.get("properties", {})
    assert isinstance(properties, dict)
    for name, field in properties.items():
        found |= {name} | _fields(field) | _fields(field.get("items", {}))
    return found


def test_the_policy_reference_has_every_field() -> None:
    (version,) = yaml.safe_load(policy_reference.CRD.read_text())["spec"]["versions"]
    root = version["schema"]["openAPIV3Schema"]["properties"]
    page = policy_reference.page()
    for field in _fields(root["spec"]) | _fields(root["status"]):
        assert f"| `{field}` |" in page


def test_every_example_is_listed() -> None:
    page = (DOCS / "examples/README.md").read_text()
    for example in (DOCS / "examples").glob("*.yaml"):
        assert f"]({example.name})" in page
