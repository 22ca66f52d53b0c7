"""The measuring programs compile without a warning, and refuse to measure what they do not know."""

from __future__ import annotations

import json
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


# redis has its turn in a node, which has redis-server: tests/vm/test_bench.py.
@pytest.mark.parametrize("law", ["zipf", "shifting", "scan", "even", "large", "late", "forks", "short"])
def test_a_program_of_known_accesses_tells_where_its_pages_are(law: str) -> None:
    """All fast from the start, for this machine need not have a second node."""
    words = [law, "1", "256", "64", "320", "3", "512", "0", "0", "0"]
    told = subprocess.run(
        [programs.folder() / "tiers", *words], input="\n", capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert told[0] == "ready"
    lines = [json.loads(line) for line in told[1:]]
    assert [line["interval"] for line in lines] == [0, 1, 2]
    assert all(line["hits"] == pytest.approx(1) and line["room"] == pytest.approx(1) for line in lines)
    assert all(line["up"] == line["down"] == line["back"] == 0 for line in lines)
    # A file alone at first, all of it within the capacity.
    assert [line["fast_pages"] for line in lines] == ([64, 64, 256] if law == "late" else [256] * 3)
    assert all((line["best"] == 1) == (law == "late" and line["fast_pages"] == 64) for line in lines)
    assert all(line["cpu_ns"] > 0 and line["work_ns"] > 0 for line in lines)


def test_the_best_that_can_be_had_is_what_the_law_says() -> None:
    words = ["large", "1", "256", "64", "320", "1", "512", "0", "0", "0"]
    told = subprocess.run(
        [programs.folder() / "tiers", *words], input="\n", capture_output=True, text=True, check=True
    ).stdout.splitlines()
    # Half of the hot set, and as much of the rest.
    assert json.loads(told[1])["best"] == pytest.approx(0.9 / 2 + 0.1 * 64 / 256)
