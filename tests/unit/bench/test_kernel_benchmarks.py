"""From samples to rows, for each question about the kernel."""

from __future__ import annotations

import pytest

from tests.bench import catalogue, samples
from tests.bench.kernel import (
    damon_ratio,
    interference,
    mapped_pages,
    move_tax,
    query_tax,
    scratch_memory,
    stuck_calls,
    thp_cost,
    translation_saved,
)
from tests.bench.rows import Row
from tests.bench.samples import Boot, NoSamples

ARMS = {"move_phy_pages": 900_000, "move_pages": 1_000_000, "move_pages_again": 1_001_000}


def boot(values: dict[str, int], *cases: object) -> Boot:
    """A boot of one round in which each case had these values."""
    return samples.parse(
        "".join(f"{arm} {case} 0 {value}\n" for case in cases for arm, value in values.items())
    )


def only(rows: list[Row], metric: str) -> Row:
    (row,) = (row for row in rows if row.metric == metric)
    return row


def test_the_tax_is_ours_over_theirs_at_each_size() -> None:
    rows = move_tax.rows([boot(ARMS, *move_tax.TARGETS)] * 3, copy=240)
    assert [row.metric for row in rows] == [f"move_tax_{n}" for n in (1, 16, 512, 2048, 16384)]
    assert {row.value for row in rows} == {0.9}
    assert [row.holds for row in rows] == [False, True, True, True, True]
    assert {row.limit for row in rows} == {0.24}
    assert rows[0].arms == {"move_phy_pages": 900.0, "move_pages": 1000.0, "A/A": 1.001}


def test_only_batches_of_queries_have_a_target() -> None:
    rows = query_tax.rows([boot({**ARMS, "move_phy_pages": 290_000}, *query_tax.ENTRIES)])
    assert [(row.value, row.holds) for row in rows] == [
        (0.29, None),
        (0.29, None),
        (0.29, True),
        (0.29, True),
    ]


def test_mappers_and_reasons_are_rows() -> None:
    assert only(mapped_pages.rows([boot(ARMS, 1, 8, 64)]), "mapped_pages_64").value == 0.9
    assert only(stuck_calls.rows([boot(ARMS, *stuck_calls.CASES)]), "stuck_calls_lent").value == 0.9


def test_a_huge_page_is_compared_without_its_copy() -> None:
    values = {
        "base": 8_600_000, "huge": 4_199_000, "huge_by_tails": 4_300_000, "huge_move_pages": 4_200_000,
        "base_again": 8_600_000,
    }  # fmt: skip
    rows = thp_cost.rows([boot(values, "pages")], copy=4100)
    assert only(rows, "thp_cost").value == pytest.approx(99 / 4500, abs=1e-5)
    assert only(rows, "thp_cost").holds is True
    assert only(rows, "thp_cost").arms["copy"] == 4100
    assert only(rows, "thp_cost_by_tails").value == pytest.approx(200 / 4500, abs=1e-5)
    assert only(rows, "thp_total").value == pytest.approx(4199 / 8600, abs=1e-5)


def test_translation_saved_grows_with_what_is_mapped() -> None:
    values = {
        "physical": 4_000_000,
        "physical_again": 4_000_100,
        "reverse": 300_000_000,
        "search": 290_000_000,
    }
    rows = translation_saved.rows([boot({**values, "entry": 98_000}, 1, 200)], (1, 200))
    assert [(row.value, row.target, row.holds) for row in rows] == [(75.0, None, None), (75.0, ">= 60", True)]
    assert rows[1].arms["mapped MiB"] == 12800
    assert rows[1].arms["a pagemap entry"] == 98


def test_damon_is_compared_by_the_page() -> None:
    text = "".join(
        f"{arm} page 0 {value}\n{arm} moved 0 512\n{arm} ranges 0 7\n"
        for arm, value in {
            "damon": 9_500_000,
            "damon_again": 9_500_000,
            "call": 9_000_000,
            "call_again": 9_000_000,
        }.items()
    )
    row = damon_ratio.row("damon_ratio", [samples.parse(text + "damon_stat page 0 3000\n")])
    assert (row.value, row.holds) == (1.0556, True)
    assert row.arms["damon: pages"] == 512
    text = text.replace("call_again page 0 9000000", "call_again page 0 8000000")
    row = damon_ratio.row("damon_ratio", [samples.parse(text + "damon_stat page 0 3000\n")])
    assert row.void


def test_interference_pairs_windows_of_a_round() -> None:
    shares = {
        "idle": (1.0, 0),
        "move_phy_pages": (0.99, 50),
        "move_pages": (0.9, 20_000),
        "idle_again": (1.0, 0),
    }
    text = ""
    for number, noise in enumerate((100, 80, 120, 100)):
        for arm, (share, busy) in shares.items():
            moved = 160 if busy else 0
            window = f"{arm} turns {number} {round(noise * share * 1000)}\n{arm} moved {number} {moved}\n"
            text += (window + f"{arm} busy {number} {busy * 10}\n") * 2
    rows = interference.rows(samples.parse(text), 16)
    assert [row.metric for row in rows] == [
        "interference_16", "interference_move_pages_16", "interference_against_move_pages_16", "call_time_16",
    ]  # fmt: skip
    assert [row.value for row in rows] == [0.99, 0.9, 1.1, 0.0025]
    assert rows[0].arms["move_phy_pages: pages/s"] == 400
    assert rows[3].arms == {"move_phy_pages: us": 50, "move_pages: us": 20_000, "A/A": 1.0}


def test_interference_on_a_noisy_machine_is_void() -> None:
    text = ""
    for number, again in enumerate((0.9, 0.95, 1.0, 1.0, 1.0, 1.05, 1.1, 1.0)):
        for arm, share in {
            "idle": 1.0,
            "move_phy_pages": 1.0,
            "move_pages": 1.0,
            "idle_again": again,
        }.items():
            text += f"{arm} turns {number} {round(share * 1000)}\n{arm} moved {number} 512\n{arm} busy {number} 9\n"
    quiet = samples.parse(text.replace("idle_again turns 5 1050", "idle_again turns 5 1000"))
    assert not any(row.void for row in interference.rows(quiet, 16))
    noisy = samples.parse(text.replace("idle_again turns 3 1000", "idle_again turns 3 1060"))
    assert all(row.void for row in interference.rows(noisy, 16))


TRACE = """\
# tracer: nop
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
  scratch-77 [000] ..... 1.000001: kmalloc: call_site=w+0x1/0x2 ptr=00000000aa bytes_req=9 bytes_alloc=16
  scratch-77 [000] ..... 1.000001: tracing_mark_write: begin move_phy_pages query 512
  scratch-77 [000] ..... 1.000002: kfree: call_site=f+0x1/0x2 ptr=00000000aa
  scratch-77 [000] d..1. 1.000002: mm_page_alloc: page=00000000d1 pfn=0x1f3 order=2 migratetype=0
  scratch-77 [000] ..... 1.000003: kmalloc: call_site=f+0x1/0x2 ptr=00000000c3 bytes_req=16000 bytes_alloc=16384
  scratch-77 [000] ..... 1.000004: kmalloc: call_site=f+0x1/0x2 ptr=00000000c4 bytes_req=90 bytes_alloc=96
  scratch-77 [000] ..... 1.000005: kfree: call_site=f+0x1/0x2 ptr=00000000c4
  scratch-77 [000] ..... 1.000005: kmem_cache_alloc: call_site=f ptr=00000000c5 name=x bytes_req=8 bytes_alloc=8
  scratch-77 [000] ..... 1.000005: kmem_cache_free: call_site=f ptr=00000000c5 name=x
  scratch-77 [000] ..... 1.000006: kfree: call_site=f+0x1/0x2 ptr=00000000c3
  scratch-77 [000] ..... 1.000007: mm_page_free: page=00000000d1 pfn=0x1f3 order=2
  scratch-77 [000] d.h.. 1.000007: kmalloc: call_site=irq+0x1/0x2 ptr=00000000e1 bytes_req=8000 bytes_alloc=8192
  scratch-77 [000] ..... 1.000007: mm_page_free: page=00000000e1 pfn=0x77 order=0
  scratch-77 [000] ..... 1.000007: mm_page_alloc: page=00000000e2 pfn=0x78 order=1 migratetype=0
  scratch-77 [000] ..... 1.000008: tracing_mark_write: end
  scratch-77 [000] ..... 1.000009: tracing_mark_write: begin move_pages query 512
  scratch-77 [000] ..... 1.000010: tracing_mark_write: end
"""


def test_the_peak_of_a_call_is_what_it_held_at_once() -> None:
    found = scratch_memory.peaks(TRACE)
    assert found == {("move_phy_pages", "query", 512): 16384 + 96, ("move_pages", "query", 512): 0}
    (row,) = scratch_memory.rows(found)
    assert (row.metric, row.value, row.unit) == ("scratch_memory_query_512", 16480, "bytes")


def test_half_a_trace_is_no_figure() -> None:
    for text in (
        "",
        "# tracer: nop\n",
        "nonsense\n",
        TRACE[: TRACE.index("1.000010")].rpartition("\n")[0] + "\n",
    ):
        with pytest.raises(NoSamples):
            scratch_memory.peaks(text)


def test_names_and_groups_choose_benchmarks() -> None:
    assert catalogue.chosen([]).benchmarks == list(catalogue.BENCHMARKS)
    assert catalogue.chosen(["kernel"]).benchmarks[0] == "move_tax"
    assert catalogue.chosen(["interference", "move_tax"]).benchmarks == ["move_tax", "interference"]
    with pytest.raises(
        ValueError,
        match="there is no benchmark 'speed': name some of agent, control, install, kernel, planner, placement",
    ):
        catalogue.chosen(["speed"])
    for benchmark in catalogue.BENCHMARKS.values():
        assert benchmark.question
