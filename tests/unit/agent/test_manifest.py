"""Manifests in files: YAML as Kubernetes reads it, and what is no YAML."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from tests import corpus
from tests.commands import CHECKOUT
from thermocline_agent import manifest
from thermocline_agent.manifest import Malformed, Unreadable
from thermocline_api.problem import InvalidManifest
from thermocline_api.settings import Mode

POLICY = """\
apiVersion: thermocline.dev/v1alpha1
kind: MemoryTierPolicy
metadata: {name: a}
spec: {mode: DryRun, rules: [{name: a}]}
"""


def value_of(text: str) -> Any:
    """The only document of a text."""
    (document,) = manifest.documents(text)
    return document.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("y", True), ("N", False), ("on", True), ("OFF", False), ("yes", True), ("yEs", "yEs"), ("True", True),
        ("null", None), ("~", None), ("", None), ('"y"', "y"), ("'8'", "8"), ("010", 8), ("0o10", 8), ("08", 8),
        ("0x1F", 31), ("0b11", 3), ("1_000", 1000), ("-1", -1), ("+1", 1), ("1e3", 1000), ("1.5", 1.5), (".5", 0.5),
        ("5.", 5), ("10.0", 10), ("10:30", "10:30"), ("2026-01-02", "2026-01-02"), ("1e", "1e"), ("8%", "8%"),
        ("100Mi", "100Mi"), ("-", "-"), ("<<x", "<<x"), ("1e400", float("inf")),
    ],
)  # fmt: skip
def test_scalars_are_what_kubernetes_reads(text: str, value: Any) -> None:
    if text == "-":
        text = "'-'"
    found = value_of(f"a: {text}")["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_texts() -> None:
    assert value_of("{1: a, true: b, 1.5: c, ~: d}") == {"1": "a", "true": "b", "1.5": "c", "null": "d"}


def test_aliases_are_written_out() -> None:
    assert value_of("a: &x {b: [1]}\nc: *x\nd: {<<: *x, e: 2}") == {
        "a": {"b": [1]}, "c": {"b": [1]}, "d": {"b": [1], "e": 2},
    }  # fmt: skip


def test_documents_are_numbered_as_they_stand() -> None:
    found = list(manifest.documents("---\na: 1\n---\n---\nkind: X\nmetadata: {name: b}\n---\n- 1\n"))
    assert [(each.number, each.kind, each.name) for each in found] == [
        (1, "", ""),
        (3, "X", "b"),
        (4, "", ""),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a:\n  b: [1\n", r"line 3: .* while parsing a flow sequence that begins in line 2: is the file written"),
        ("a:\n  b: [1,\n", r"line 3: is no YAML: expected the node content, .*: is the file written to its end"),
        ("a: 1\n b: 2\n", r"line 2: is no YAML: mapping values are not allowed here"),
        ("a:\n\t- 1\n", r"line 2: is no YAML: found character '\\t'"),
        ('1: a\n"1": b\n', r"line 2: is no YAML: the key '1' is written twice"),
        ("a: 1\nb: 2\na: 3\n", r"line 3: is no YAML: the key 'a' is written twice"),
        ('a: "b\n', r"line 2: is no YAML: found unexpected end of stream, .* line 1: is the file written to its end\?"),
        ("a: !!python/object:os.system {}\n", r"line 1: is no YAML: could not determine a constructor"),
        ("a: !!timestamp 2026-01-02\n", r"line 1: is no YAML: could not determine a constructor"),
        ("a: *b\n", r"line 1: is no YAML: found undefined alias 'b'"),
        ("a: &x [*x]\n", r"an anchor contains itself"),
        ("[" * 5000, r"is nested too deeply"),
        ("{[a]: 1}", r"line 1: is no YAML: a key must be a text"),
        ("a: \0", r"is no YAML: unacceptable character #x0000"),
    ],
)  # fmt: skip
def test_what_is_no_yaml_is_told_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(Malformed, match=sentence):
        list(manifest.documents(text))


def test_few_aliases_cannot_stand_for_much() -> None:
    text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
    for letter, before in zip("bcdefgh", "abcdefg", strict=True):
        text += f"{letter}: &{letter} [{','.join([f'*{before}'] * 10)}]\n"
    with pytest.raises(Malformed, match="its aliases stand for too much"):
        list(manifest.documents(text))


def test_every_beginning_of_a_policy_is_read_or_refused() -> None:
    """A half-written file is either refused as YAML, or as a manifest, or what is missing has defaults."""
    text = (CHECKOUT / "crds/corpus/valid/design.yaml").read_text()
    sentences = set()
    for length in range(0, len(text), 7):
        try:
            for document in manifest.documents(text[:length]):
                manifest.problems(document)
        except Malformed as err:
            sentences.add(str(err))
    assert len(sentences) > 20
    assert all(sentence.startswith("line ") for sentence in sentences)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="cannot be read: No such file or directory"):
        manifest.read_text(tmp_path / "a.yaml")
    with pytest.raises(Unreadable, match="cannot be read: Is a directory"):
        manifest.read_text(tmp_path)


def test_a_file_of_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(Unreadable, match="is no text in UTF-8: line 2 has the byte 0xff"):
        manifest.read_text(path)
    with pytest.raises(Unreadable, match="larger than 3 MiB"):
        manifest.read_text(io.BytesIO(bytes(4 << 20)))


def test_a_file_that_never_ends() -> None:
    with pytest.raises(Unreadable, match="larger than 3 MiB"):
        manifest.read_text(Path(os.devnull).with_name("zero"))


def test_the_policy_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\n---\n{POLICY}")
    assert manifest.read_policy(path).spec.settings.mode is Mode.DRY_RUN
    path.write_text(f"{POLICY}---\n{POLICY}")
    with pytest.raises(Malformed, match="has 2 policies: write exactly one MemoryTierPolicy"):
        manifest.read_policy(path)
    path.write_text("")
    with pytest.raises(Malformed, match="has 0 policies"):
        manifest.read_policy(path)
    path.write_text(POLICY.replace("DryRun", "Dry"))
    with pytest.raises(InvalidManifest, match=r'spec\.mode: Unsupported value: "Dry"'):
        manifest.read_policy(path)


@pytest.mark.parametrize("path", corpus.EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_one_policy(path: Path) -> None:
    policy = manifest.read_policy(path)
    wanted = "default" if path.stem == "batch-and-frontend" else path.stem
    assert policy.metadata.name == wanted


def test_there_are_the_examples_that_people_start_from() -> None:
    assert {path.stem for path in corpus.EXAMPLES} == {
        "batch-and-frontend", "emergency-stop", "observe-everything", "protect-frontend", "sink-batch", "team-shares",
    }  # fmt: skip
