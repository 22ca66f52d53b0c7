"""Tables, pages and plots, and that the committed ones say what the committed rows say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import cli, plots, report, rows
from tests.bench.catalogue import BENCHMARKS, PLACEMENT, QUICK, Benchmark, Chosen, chosen
from tests.bench.nodes import Effort
from tests.bench.placement.workloads import WORKLOADS
from tests.bench.rows import Row

DOCS = Path(__file__).resolve().parents[3] / "docs" / "benchmarks"
ROWS = [
    Row(f"{name}_{n}", 0.9, "ratio", 0.48, "<= 0.95", (0.9, 0.91), {"move_pages": 9000.0, "move_phy_pages": 8100.0},
        "python3 -m tests.bench move_tax", {"kernel": "6.12"})
    for name in ("move_tax", "mapped_pages") for n in (1, 64)
]  # fmt: skip


def test_a_table_has_a_line_a_row() -> None:
    void = replace(ROWS[0], metric="void_one", value=None, spread=None)
    lines = report.table([*ROWS, void]).splitlines()
    assert [line.split()[0] for line in lines] == ["metric", *(row.metric for row in ROWS), "void_one"]
    assert lines[1].split() == ["move_tax_1", "0.9", "0.9", "to", "0.91", "<=", "0.95", "yes", "0.48"]
    assert re.fullmatch(r"void_one +void +<= 0.95 +\*\*no\*\* +0.48", lines[-1])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.02, "0.02"), (0.95123, "0.9512"), (16480.0, "16,480"), (8912.4, "8,912"), (64.0, "64")],
)
def test_numbers_have_the_digits_that_matter(value: float, text: str) -> None:
    assert report.number(value) == text


def test_a_page_keeps_what_is_around_its_figures() -> None:
    page = f"before\n{report.BEGIN}\noutdated\n{report.END}\nafter\n"
    once = report.written_into(page, ROWS)
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "outdated" not in once
    assert "Measured with kernel 6.12." in once
    assert report.written_into(once, ROWS) == once
    with pytest.raises(ValueError, match="no place for figures"):
        report.written_into("before\n", ROWS)


def test_plots_are_drawn_from_rows_and_repeat(tmp_path: Path) -> None:
    results = tmp_path / "kernel.json"
    drawn = plots.draw(ROWS, results)
    assert [path.name for path in drawn] == ["kernel-move_tax.svg", "kernel-mapped_pages.svg"]
    first = [path.read_bytes() for path in drawn]
    assert all(b"<svg" in content and b"pages a call" in content for content in first[:1])
    plots.draw(ROWS, results)
    assert [path.read_bytes() for path in drawn] == first


def test_rendering_measures_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results, page = tmp_path / "kernel.json", tmp_path / "kernel.md"
    results.write_text(rows.as_json(ROWS))
    page.write_text(f"{report.BEGIN}\n{report.END}\n")
    assert cli.main(["kernel", "--into", str(tmp_path), "--render"]) == 0
    assert "| move_tax_64 | 0.9 |" in page.read_text()
    assert "move_tax_64" in capsys.readouterr().out
    assert rows.load(results) == ROWS


def test_rows_come_in_the_order_of_the_benchmarks() -> None:
    names = ["interference", "gone", "move_tax --quick", "query_tax"]
    found = [replace(ROWS[0], metric=name, command=f"python3 -m tests.bench {name}") for name in names]
    assert [row.metric for row in cli.in_order(found)] == [
        "move_tax --quick",
        "query_tax",
        "interference",
        "gone",
    ]


def test_what_was_measured_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[Effort] = []
    versions = {"kernel": "6.12"}

    def measure(effort: Effort) -> list[Row]:
        measured.append(effort)
        return [Row("a", 0.5, "ratio", None, ">= 0.9")]

    benchmark = Benchmark("kernel", "What?", measure, lambda: versions)
    monkeypatch.setattr(cli, "BENCHMARKS", {"move_tax": benchmark})
    words = ["move_tax", "--into", str(tmp_path)]
    # 1: the target is missed, whether it was measured now or before.
    assert [cli.main(words), cli.main(words)] == [1, 1]
    assert measured == [Effort()]
    assert "move_tax is in" in capsys.readouterr().err
    assert cli.main([*words, "--again"]) == 1
    versions["kernel"] = "6.13"
    assert cli.main(words) == 1
    assert cli.main([*words, "--quick"]) == 1
    assert measured == [Effort(), Effort(), Effort(), Effort.quick()]
    (row,) = rows.load(tmp_path / "kernel.json")
    assert (row.command, row.versions) == ("python3 -m tests.bench move_tax --quick", {"kernel": "6.13"})


def test_quick_figures_are_not_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["move_tax", "--quick", "--into", str(DOCS)]) == 2
    assert "quick figures are none to publish" in capsys.readouterr().err


def test_names_are_benchmarks_workloads_and_groups() -> None:
    assert chosen(["zipf", "query_tax"]) == Chosen(["query_tax"], ["zipf"])
    assert chosen(["placement"]) == Chosen([], list(WORKLOADS))
    assert chosen(["planner"]) == Chosen(["simulation", "planner_cost"], [])
    assert chosen([]) == Chosen(list(BENCHMARKS), list(WORKLOADS))
    quick = chosen([], quick=True)
    assert {*quick.benchmarks, *quick.workloads} == set(QUICK)
    # A cluster is up in no minute or two.
    measured = {each.group for each in BENCHMARKS.values()} - {"install"}
    assert {BENCHMARKS[name].group for name in quick.benchmarks} == measured
    assert not {*BENCHMARKS, *(each.group for each in BENCHMARKS.values())} & {*WORKLOADS, PLACEMENT}


def test_every_committed_row_is_of_a_benchmark_that_there_is() -> None:
    for results in DOCS.glob("*.json"):
        for row in rows.load(results):
            words = row.command.split()
            assert words[:3] == ["python3", "-m", "tests.bench"]
            assert set(words[3:]) <= {*BENCHMARKS, *WORKLOADS}, results


def test_a_name_that_is_none_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["speed"]) == 2
    assert "bench: there is no benchmark 'speed'" in capsys.readouterr().err


# placement.json's page is index.md, which is written as a whole: test_placement.py.
@pytest.mark.parametrize(
    "results",
    sorted(path for path in DOCS.glob("*.json") if path.name != "placement.json"),
    ids=lambda path: path.name,
)
def test_committed_pages_say_what_the_committed_rows_say(results: Path) -> None:
    found = rows.load(results)
    page = results.with_suffix(".md").read_text()
    assert report.written_into(page, found) == page
    for name in re.findall(r"\(([\w.-]+\.svg)\)", page):
        assert (DOCS / name).is_file()
