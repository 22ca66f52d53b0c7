"""thermocline-agent validate."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tests import corpus
from tests.corpus import CORPUS
from thermocline_agent.cli import main

GOOD = "apiVersion: thermocline.dev/v1alpha1\nkind: MemoryTierPolicy\nmetadata: {name: good}\nspec: {}\n"
BAD = "apiVersion: thermocline.dev/v1alpha1\nkind: MemoryTierPolicy\nmetadata: {name: bad}\nspec: {priority: -1}\n"
OTHER = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file to write to."""
    return tmp_path / "a.yaml"


def test_what_is_valid_has_nothing_said_of_it(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(GOOD)
    assert main(["validate", str(path)]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_line_a_problem(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(f"{GOOD}---\n{BAD}---\n{BAD.replace('priority: -1', 'paused: 1')}")
    assert main(["validate", str(path)]) == 1
    assert capsys.readouterr().out.splitlines()[:2] == [
        (f"{path}: document 2 (MemoryTierPolicy bad): spec.priority: Invalid value: -1: "
        "spec.priority in body should be greater than or equal to 0"),
        (f'{path}: document 3 (MemoryTierPolicy bad): spec.paused: Invalid value: "integer": '
        'spec.paused in body must be of type boolean: "integer"'),
    ]  # fmt: skip


def test_other_kinds_are_passed_over_with_a_note(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text(f"{OTHER}---\n{GOOD}")
    assert main(["validate", str(path)]) == 0
    assert capsys.readouterr() == (
        "",
        f"{path}: document 1 (ConfigMap other): passed over, for it is none of ours\n",
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty: write a MemoryTierPolicy"),
        ("---\n# nothing\n", "is empty: write a MemoryTierPolicy"),
        ("- 1\n", "document 1: is no object: write apiVersion, kind, metadata and spec"),
        ("spec: {}\n", "document 1: apiVersion: Required value: write apiVersion: thermocline.dev/v1alpha1"),
        (
            GOOD.replace("MemoryTierPolicy", "MemoryTierPolicies"),
            (
                'document 1 (MemoryTierPolicies good): kind: Invalid value: "MemoryTierPolicies": '
                "write MemoryTierPolicy or MemoryTierNode"
            ),
        ),
        (
            GOOD.replace("v1alpha1", "v1"),
            (
                'document 1 (MemoryTierPolicy good): apiVersion: Invalid value: "thermocline.dev/v1": '
                "must be thermocline.dev/v1alpha1"
            ),
        ),
        (f"apiVersion: v1\nkind: List\nitems:\n- {{{'}'}\n", "document 1: apiVersion: Required value: write"),
        ("a: [", "line 1: is no YAML"),
    ],
)
def test_what_is_no_manifest(
    path: Path, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    path.write_text(text)
    assert main(["validate", str(path)]) == 1
    assert capsys.readouterr().out.startswith(f"{path}: {sentence}")


def test_a_file_that_cannot_be_read_does_not_hide_others(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(BAD)
    missing = path.with_name("missing.yaml")
    assert main(["validate", str(missing), str(path)]) == 2
    streams = capsys.readouterr()
    assert streams.err == f"{missing}: cannot be read: No such file or directory\n"
    assert "spec.priority" in streams.out


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(BAD.encode())))
    assert main(["validate", "-"]) == 1
    assert capsys.readouterr().out.startswith("-: document 1 (MemoryTierPolicy bad): spec.priority: ")


def test_without_a_file_it_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["validate"])
    assert caught.value.code == 2
    assert "FILE" in capsys.readouterr().err


def test_its_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["validate", "--help"])
    assert caught.value.code == 0
    assert "\n  thermocline-agent validate policy.yaml\n" in capsys.readouterr().out


def test_the_corpus_and_the_examples(capsys: pytest.CaptureFixture[str]) -> None:
    good = [*sorted((CORPUS / "valid").glob("*.yaml")), *corpus.EXAMPLES]
    assert main(["validate", *map(str, good)]) == 0
    assert capsys.readouterr() == ("", "")
    for bad in sorted((CORPUS / "invalid").glob("*.yaml")):
        if "status" not in bad.stem:
            assert main(["validate", str(bad)]) == 1
            lines = capsys.readouterr().out.splitlines()
            expected = [sentence for case in corpus.cases(bad) for sentence in case.expected]
            assert len([line for line in lines if "rules were not checked" not in line]) == len(expected)
