"""Go: its version, and what a module proxy that does not answer looks like."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import lab
from tests.lab.build import golang
from tests.lab.build.part import Workshop
from tests.lab.cache import Cache
from tests.lab.errors import BuildFailed, LabError


def _go(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a go on the PATH that is this shell script."""
    program = folder / "bin" / "go"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/sbin:/usr/bin:/sbin:/bin")


def test_the_newest_go_that_a_module_asks_for_is_required() -> None:
    required = golang.parse_version(f"go{golang.required_version()}", 3)
    for module in golang.MODULES.iterdir():
        (line,) = [x for x in (module / "go.mod").read_text().splitlines() if x.startswith("go ")]
        assert golang.parse_version(line, 3) <= required


@pytest.mark.parametrize("version", ["go1.21.13", "go1.26rc1", "devel +abcdef"])
def test_an_old_go_says_which_one_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    _go(tmp_path, f'echo "{version}"', monkeypatch)
    with pytest.raises(
        LabError, match=rf"needs Go 1\.\d+\S* or newer and found {version.split(maxsplit=1)[0]}"
    ):
        golang.require_go()


def test_no_go_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _go(tmp_path, "exit 1", monkeypatch)
    with pytest.raises(LabError, match="install Go"):
        golang.require_go()


@pytest.mark.parametrize("words", [("check",), ("build",), ("build", "helm")])
def test_that_there_is_no_go_is_told_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    _go(tmp_path, "exit 1", monkeypatch)
    ended = lab(*words, env={"THERMOCLINE_CACHE": str(tmp_path / "cache")})
    assert ended.status == 2
    assert ended.err.startswith("lab: the lab found no Go that works: install Go 1.")
    assert list((tmp_path / "cache" / "parts").iterdir()) == []


@pytest.mark.parametrize(
    ("complaint", "sentence"),
    [
        ("go: example.org/x@v1: Get x: dial tcp 127.0.0.1:9: connect: connection refused", "did not answer"),
        ("go: example.org/x@v1: Get x: net/http: TLS handshake timeout", "did not answer"),
        ("go: example.org/x@v1: module lookup disabled by GOPROXY=off", "did not answer"),
        ("./main.go:7:2: undefined: Timeout", "failed with status 1"),
    ],
)
def test_a_silent_proxy_is_told_from_a_broken_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: str, sentence: str
) -> None:
    _go(tmp_path, f'[ "$1" = env ] && echo go1.99.0 && exit\necho "{complaint}"\nexit 1', monkeypatch)
    parts = {part.name: part for part in golang.PARTS}
    workshop = Workshop(Cache(tmp_path / "cache"), parts)
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(BuildFailed, match=sentence):
        parts["cni"].build(workshop, into)
