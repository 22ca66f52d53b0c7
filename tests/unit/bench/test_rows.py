"""Rows, targets, void runs and result files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench import rows
from tests.bench.rows import Row, as_json, controlled, load, merged

ROW = Row(
    "move_tax_512",
    0.93,
    "ratio",
    0.48,
    "<= 0.95",
    (0.92, 0.94),
    {"move_pages": 9000.0},
    "python3 x",
    {"kernel": "6.12"},
)


@pytest.mark.parametrize(
    ("value", "spread", "target", "holds"),
    [
        (0.95, (0.94, 0.95), "<= 0.95", True),
        (0.94, (0.93, 0.951), "<= 0.95", False),
        (60, (60, 61), ">= 60", True),
        (61, (59.9, 62), ">= 60", False),
        (61, None, ">= 60", True),
        (None, None, ">= 60", False),
        (0.5, None, None, None),
        (None, None, None, None),
    ],
)
def test_a_target_holds_in_every_boot_or_not_at_all(
    value: float | None, spread: tuple[float, float] | None, target: str | None, holds: bool | None
) -> None:
    assert Row("m", value, "ratio", target=target, spread=spread).holds is holds


@pytest.mark.parametrize("target", ["0.95", "< 0.95", "<=0.95", "<= x"])
def test_what_is_no_target_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="is no target: write"):
        _ = Row("m", 1.0, "ratio", target=target).holds


@pytest.mark.parametrize(("control", "void"), [(0.97, False), (1.03, False), (0.969, True), (1.031, True)])
def test_two_arms_that_are_the_same_say_whether_a_run_is_void(control: float, void: bool) -> None:
    row = controlled(ROW, control)
    assert row.arms == {"move_pages": 9000.0, "A/A": control}
    assert row.void is void
    assert row.holds is not void


def test_a_file_has_what_the_design_says_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "kernel.json"
    path.write_text(as_json([ROW, replace(ROW, value=None, spread=None)]))
    told = json.loads(path.read_text())["rows"]
    names = ["metric", "value", "unit", "limit", "target", "holds", "spread", "arms", "command", "versions"]
    assert [list(row) for row in told] == [names, names]
    assert [row["holds"] for row in told] == [True, False]
    assert load(path) == [ROW, replace(ROW, value=None, spread=None)]


def test_no_file_has_no_rows_and_another_file_is_refused(tmp_path: Path) -> None:
    assert load(tmp_path / "nothing.json") == []
    for text in ("", "[]", "{}", '{"rows": [{}]}'):
        (tmp_path / "wrong.json").write_text(text)
        with pytest.raises(ValueError, match="is no result file"):
            load(tmp_path / "wrong.json")


def test_a_benchmark_that_ran_again_replaces_all_that_it_said() -> None:
    tax, quick, query = (
        replace(ROW, command=f"python3 -m tests.bench {name}") for name in ("tax", "tax --quick", "query")
    )
    gone = replace(tax, metric="move_tax_1024")
    assert merged([tax, gone, query], [quick]) == [query, quick]
    assert merged([quick], [tax]) == [tax]
    assert merged([], []) == []


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.floats(0.01, 100))
def test_a_row_never_holds_when_its_worst_boot_does_not(value: float, least: float, most: float) -> None:
    row = Row("m", value, "ratio", target="<= 1", spread=(least, most))
    assert row.holds is (max(value, least, most) <= 1)


def test_control_bounds_are_the_ones_that_the_design_says() -> None:
    assert rows.CONTROL == (0.97, 1.03)
