"""The measuring programs compile without a warning, and refuse to measure what they do not know."""

from __future__ import annotations

import subprocess

import pytest

from tests.bench import programs


def test_every_program_is_there_and_is_static() -> None:
    folder = programs.folder()
    assert programs.names() == ["damon", "moves", "neighbour", "profiled", "reverse", "scratch", "tiers"]
    for name in programs.names():
        told = subprocess.run(
            ["readelf", "--program-headers", folder / name], capture_output=True, text=True, check=True
        ).stdout
        # A program with one is handed to the dynamic linker.
        assert "LOAD" in told
        assert "INTERP" not in told


@pytest.mark.parametrize("name", ["damon", "moves", "neighbour", "profiled", "reverse", "tiers"])
def test_a_program_that_was_asked_for_nothing_says_how_to_ask(name: str) -> None:
    done = subprocess.run([programs.folder() / name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"usage: {name} ")
