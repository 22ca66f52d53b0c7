"""A benchmark from its command to its file, as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import programs
from tests.bench.placement import runs
from tests.bench.rows import CONTROL
from tests.commands import CHECKOUT, node

pytestmark = pytest.mark.vm


def test_a_benchmark_writes_rows_that_are_void_only_by_their_control(tmp_path: Path) -> None:
    results = tmp_path / "kernel.json"
    command = [sys.executable, "-m", "tests.bench", "query_tax", "--quick", "--into", str(tmp_path)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=900, check=False)
    # 1: measured, and a target was missed. Whether it holds is what the committed figures say.
    assert done.returncode in {0, 1}, done.stderr
    rows = json.loads(results.read_text())["rows"]
    assert [row["metric"] for row in rows] == [f"query_tax_{entries}" for entries in (1, 16, 512, 16384)]
    least, most = CONTROL
    for row in rows:
        # One round of one boot: the kernel's own work may fall into either arm of a short case, and is said to.
        if least <= row["arms"]["A/A"] <= most:
            assert 0 < row["value"] < 2
        else:
            assert row["value"] is None
        assert row["command"] == "python3 -m tests.bench query_tax --quick"
        assert row["versions"]["kernel"].startswith("6.12.")
        assert row["metric"] in done.stdout
    assert any(row["value"] is not None for row in rows)


def test_redis_is_a_program_of_known_accesses() -> None:
    script = "cp /share/tiers /tmp/ && echo | /tmp/tiers redis 1 256 64 320 3 512 0 0 0"
    told = node(
        "sh", "-c", script, options="--no-slow", share=programs.folder(), timeout_seconds=300
    ).text.splitlines()
    assert told[0] == "ready"
    lines = [json.loads(line) for line in told[1:]]
    assert [line["interval"] for line in lines] == [0, 1, 2]
    assert all(line["hits"] == pytest.approx(1) and line["room"] == pytest.approx(1) for line in lines)
    assert all(line["up"] == line["down"] == line["back"] == 0 for line in lines)
    assert [line["fast_pages"] for line in lines] == [256] * 3
    assert all(line["cpu_ns"] > 0 and line["work_ns"] > 0 for line in lines)


@pytest.mark.long
def test_arms_are_played_once_and_tell_where_pages_were(tmp_path: Path) -> None:
    kept = tmp_path / "placement.jsonl"
    arms = "none,oracle,kernel"
    command = [
        sys.executable, "-m", "tests.bench", "zipf", "--quick", "--arms", arms, "--into", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr
    assert "run 3 of 3: zipf, seed 1, kernel" in done.stderr
    played = {run.arm: run for run in runs.load(kept)}
    assert set(played) == set(arms.split(","))
    lines = {arm: run.programs["work/app"] for arm, run in played.items()}
    assert all(line["hits"] == 0 for line in lines["none"])
    assert all(line["hits"] == line["best"] > 0.8 for line in lines["oracle"])
    assert 0.2 < lines["kernel"][-1]["hits"] < 1
    assert played["kernel"].vmstat["pgpromote_success"] >= lines["kernel"][0]["up"] > 0
    before = kept.read_text()
    again = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False)
    assert again.returncode == 0, again.stderr
    assert kept.read_text() == before
    assert "3 of 3 runs are in" in again.stderr
