"""From what programs say of their pages to figures and the report; and that the committed report is what is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.bench import cli, report, rows
from tests.bench.placement import breakeven, change, drawing, figures, findings, page, playing, runs
from tests.bench.placement.arms import ARMS
from tests.bench.placement.runs import Run
from tests.bench.placement.scores import score
from tests.bench.placement.workloads import BYSTANDER, WORKLOADS
from tests.lab.errors import LabError
from thermocline_agent import manifest

KERNEL = rows.load(cli.DOCS / "kernel.json")
RUNS = cli.DOCS / "placement.jsonl"
OURS = figures.MAIN


def lines(
    hits: Sequence[float], *, up: int = 0, down: int = 0, back: int = 0, pages: int = 0
) -> list[dict[str, float]]:
    """What a program says; all of its moves are in the first interval."""
    first = {"up": up, "down": down, "back": back}
    none = dict.fromkeys(first, 0)
    return [
        {
            "interval": n,
            "hits": each,
            "best": 0.9,
            "room": 0.8,
            "fast_pages": pages,
            "cpu_ns": 1_000_000,
            "free_fast_kib": 0,
        }
        | (none if n else first)
        for n, each in enumerate(hits)
    ]


def run(
    arm: str,
    programs: Mapping[str, Sequence[Mapping[str, float]]],
    workload: str = "zipf",
    seed: int = 1,
    results: Mapping[str, int] | None = None,
    **rest: int,
) -> Run:
    """One whose bystander moved as many pages as it is told."""
    beside = lines([0.5], up=rest.pop("bystander", 0))
    return Run(
        workload, arm, seed, quick=False, versions={"kernel": "6.12"}, programs={**programs, BYSTANDER: beside},
        seconds=160.0, vmstat={}, agent_ns=rest.pop("agent_ns", 0), kernel_ns={"kswapd0": rest.pop("kswapd_ns", 0)},
        results=results or {},
    )  # fmt: skip


def zipf(seed: int = 1, ours: float = 0.76) -> list[Run]:
    return [
        run("none", {"work/app": lines([0.0] * 16)}, seed=seed),
        run("oracle", {"work/app": lines([0.8] * 16, up=1000)}, seed=seed),
        run(
            "kernel",
            {"work/app": lines([0.0] * 6 + [0.4] * 10, up=4000, down=2000, back=1500)},
            bystander=9,
            seed=seed,
        ),
        run(OURS, {"work/app": lines([0.0] * 3 + [ours] * 13, up=1100)}, seed=seed, agent_ns=1_600_000_000),
    ]


def only(found: Sequence[rows.Row], metric: str) -> rows.Row:
    (row,) = (row for row in found if row.metric == metric)
    return row


def test_capture_is_between_none_and_the_oracle_after_the_warm_up() -> None:
    found = figures.rows(zipf())
    row = only(found, "node_capture_zipf")
    assert (row.value, row.holds, row.arms) == (0.95, True, {"kernel": 0.5})
    # Nobody has pages: chance is 0, and the right ones would have had 0.8.
    assert only(found, "node_choice_zipf").arms == {"kernel": 0.5}
    assert only(found, "node_choice_at_last_zipf").arms == {"kernel": 0.5}
    assert only(found, "node_moves_zipf").value == 1.1
    assert only(found, "node_moves_zipf").arms == {"kernel": 6.0}
    assert only(found, "node_ping_pong_zipf").arms == {"kernel": 0.25}
    assert only(found, "node_promotions_zipf").value == 0.275
    assert only(found, "node_adapt_zipf").value == 4
    assert only(found, "node_adapt_zipf").arms == {"kernel": 17}


def test_the_movers_cpu_is_extrapolated_by_memory() -> None:
    found = figures.rows(zipf())
    assert only(found, "node_mover_cpu_zipf").value == pytest.approx(0.01)
    assert only(found, "node_mover_cpu_64_gib_zipf").value == pytest.approx(1.28)


def test_a_page_of_the_bystander_that_moves_is_a_violation() -> None:
    moved = [*zipf()[:3], run(OURS, {"work/app": lines([0.7] * 16)}, bystander=1)]
    assert only(figures.rows(zipf()), "node_violations_zipf").holds is True
    assert only(figures.rows(moved), "node_violations_zipf").holds is False


def test_tenants_count_by_their_accesses_and_are_compared_with_what_is_theirs() -> None:
    def tenants(arm: str, small: float, hog: float, pages: tuple[int, int]) -> Run:
        programs = {
            "work/zipf": lines([small] * 16, up=1, pages=pages[0]),
            "work/hog": lines([hog] * 16, up=1, pages=pages[1]),
        }
        return run(arm, programs, "tenants")

    found = [
        tenants("none", 0, 0, (0, 0)),
        tenants("oracle", 0.9, 0.3, (2048, 2048)),
        tenants("kernel", 0.0, 0.6, (0, 4096)),
        tenants(OURS, 0.9, 0.3, (2048, 1024)),
    ]
    made = figures.rows(found)
    # A third of the accesses is one's, two thirds are the other's.
    assert only(made, "node_capture_tenants").arms == {"kernel": pytest.approx(0.8, abs=1e-3)}
    assert only(made, "node_fairness_tenants").value == 0.9
    assert only(made, "node_fairness_tenants").arms == {"kernel": 0.5}
    assert only(made, "node_entitlement_tenants").value == 0.5


def test_seeds_are_the_spread() -> None:
    row = only(figures.rows([*zipf(), *zipf(2, ours=0.8), *zipf(3, ours=0.64)]), "node_capture_zipf")
    assert (row.value, row.spread) == (0.95, (0.8, 1.0))


def test_without_the_arms_to_measure_against_there_is_no_figure() -> None:
    assert figures.rows([run(OURS, {"work/app": lines([0.7] * 16)})]) == []


def test_a_run_that_is_played_again_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    runs.add(path, zipf())
    again = run(OURS, {"work/app": lines([0.1] * 16)})
    runs.add(path, [again])
    found = runs.load(path)
    assert [each.arm for each in found] == ["none", "oracle", "kernel", OURS]
    assert found[-1] == again
    path.write_text("{}\n")
    with pytest.raises(ValueError, match="has no runs"):
        runs.load(path)


def test_seeds_of_one_arm_need_not_be_those_of_another() -> None:
    found = figures.rows([*zipf(), *zipf(2, ours=0.8), run("Damon x Damon", {"work/app": lines([0.4] * 16)})])
    assert only(found, "node_capture_zipf").spread == (0.95, 1.0)
    other = only(found, "node_capture_zipf_damon_damon")
    assert (other.value, other.spread, other.arms[OURS]) == (0.5, None, 0.975)


def test_an_arm_that_was_played_twice_is_the_control_of_every_ratio() -> None:
    again = run(f"{OURS}, again", {"work/app": lines([0.0] * 3 + [0.72] * 13, up=1210)})
    found = figures.rows([*zipf(), again])
    assert only(found, "node_capture_zipf").arms == {"kernel": 0.5, f"A/A {OURS}": pytest.approx(0.9474)}
    assert only(found, "node_moves_zipf").arms[f"A/A {OURS}"] == 1.1
    assert not any("again" in row.metric for row in found)
    (match,) = figures.matches([*zipf(), again])["zipf"]
    assert figures.noise([match], figures.Match.capture) == pytest.approx(0.05)
    assert figures.noise(figures.matches(zipf())["zipf"], figures.Match.capture) is None


def test_what_is_no_further_apart_than_two_runs_of_the_same_is_level() -> None:
    def said(kernel: float) -> str:
        again = run(f"{OURS}, again", {"work/app": lines([0.72] * 16)})
        other = run("DAMON", {"work/app": lines([kernel] * 16)})
        return findings.findings(figures.matches([*zipf(), again, other]), ())

    assert "No more apart than two runs of the same (0.050): DAMON." in said(0.78)
    assert "**Better than ours: DAMON.**" in said(0.8001)
    assert "Ours is above them." in said(0.71)


def test_instructions_of_programs_and_of_the_neighbour_are_compared_with_those_where_nothing_moves() -> None:
    slower = run("DAMON", {"work/app": [line | {"cpu_ns": 1_250_000} for line in lines([0.4] * 16)]})
    found = only(figures.rows([*zipf(), slower]), "node_throughput_zipf")
    assert (found.value, found.arms) == (1.0, {"kernel": 1.0, "DAMON": 0.8})
    assert only(figures.rows(zipf()), "node_neighbour_zipf").value == 1.0
    assert not any("neighbour_pace" in row.metric for row in figures.rows(zipf())), "nobody looked"


def test_pages_that_were_others_by_then_are_stale() -> None:
    tried = run(
        OURS, {"work/app": lines([0.7] * 16)}, results={"MOVED": 90, "CHANGED": 6, "GONE": 2, "BUSY": 2}
    )
    assert only(figures.rows([*zipf()[:3], tried]), "node_staleness_zipf").value == 0.08
    assert not any("staleness" in row.metric for row in figures.rows(zipf()))


def test_processes_that_come_have_nothing_of_what_those_had_that_went() -> None:
    def choice(workload: str) -> float:
        programs = {
            group: lines([0.4] * 16, pages=WORKLOADS[workload].pages(group))
            for group in WORKLOADS[workload].programs
        }
        return score(run("none", programs, workload)).chance[-1]

    # All of a program's pages are fast: of those of others there were none when they came.
    assert choice("zipf") == 1.0
    assert choice("short") == 0.75


def test_the_report_says_where_another_arm_is_better_and_what_is_missing() -> None:
    found = zipf(ours=0.2)
    text = page.page(found, figures.rows(found), KERNEL)
    assert "**Better than ours: kernel.**" in text
    assert "which misses the target of 0.95" in text
    assert "Not played under zipf: all-slow, all-fast, DAMON, Damon x PhysicalCall" in text
    assert "Not played under scan: anything." in text
    assert "One seed alone under zipf" in text
    assert "No arm was played twice" in text
    assert (
        f"Played after others in the same node under zipf, which makes a difference: none, oracle, kernel, {OURS}."
        in text
    )
    assert "Ours is above them." in page.page(zipf(), figures.rows(zipf()), KERNEL)


def test_a_report_without_the_call_says_how_to_measure_it() -> None:
    text = page.page(zipf(), figures.rows(zipf()), ())
    assert "Not measured here: `python3 -m tests.bench kernel`." in text


def test_seeds_are_played_one_after_the_other_and_most_arms_with_one() -> None:
    wanted = playing.Wanted(["zipf", "scan"], ["none", "Damon x Damon"])
    assert wanted.keys() == [
        ("zipf", "none", 1, False),
        ("zipf", "Damon x Damon", 1, False),
        ("scan", "none", 1, False),
        ("scan", "Damon x Damon", 1, False),
        ("zipf", "none", 2, False),
        ("scan", "none", 2, False),
        ("zipf", "none", 3, False),
        ("scan", "none", 3, False),
    ]
    assert playing.Wanted(["zipf"], ["Damon x Damon"], [7]).keys() == [("zipf", "Damon x Damon", 7, False)]
    assert playing.Wanted(["zipf"], playing.QUICK_ARMS, quick=True).keys() == [
        ("zipf", arm, 1, True) for arm in playing.QUICK_ARMS
    ]


def test_what_was_played_is_not_played_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "runs.jsonl"
    runs.add(kept, zipf())
    played = []

    def play(workload: str, arm: str, seed: int, **_rest: object) -> Run:
        played.append((arm, seed))
        if arm == "DAMON":
            raise LabError("the node ended")
        return run(arm, {"work/app": lines([0.1])}, workload, seed)

    monkeypatch.setattr(runs, "play", play)
    wanted = playing.Wanted(["zipf"], ["none", "kernel", "DAMON"], [1, 2])
    with pytest.raises(LabError, match="the node ended"):
        playing.play(wanted, kept, again=False, timeout_seconds=1)
    assert played == [("DAMON", 1)]
    wanted = playing.Wanted(["zipf"], ["none", "kernel"], [1, 2])
    playing.play(wanted, kept, again=False, timeout_seconds=1)
    assert played[1:] == [("none", 2), ("kernel", 2)]
    assert len(runs.load(kept)) == 6
    playing.play(wanted, kept, again=True, timeout_seconds=1)
    assert len(played) == 7


def test_the_call_breaks_even_where_reading_pagemaps_costs_what_it_costs_more() -> None:
    found = breakeven.Costs(
        physical=6000, virtual=6500, damon=6000, physical_of_8=19_000, virtual_of_8=16_000, entry=100
    )
    assert found.break_even_of_8 == 30
    assert found.reverse(1, pages=1) == (1 << 18) * 100 + 6500
    assert found.ours(pages=2) == 12_000


def test_every_arm_of_ours_has_a_valid_policy(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    for arm in (each for each in ARMS.values() if each.ours):
        for workload in WORKLOADS.values():
            path.write_text(json.dumps(arm.setup(workload.rules())["policy"]))
            policy = manifest.read_policy(path)
            assert len(policy.spec.settings.rules) == (len(workload.programs) if workload.shares else 1)
            assert not any(BYSTANDER in (rule.cgroups or ()) for rule in policy.spec.settings.rules)


def test_arms_of_the_kernel_have_no_agent() -> None:
    assert {arm.name for arm in ARMS.values() if "policy" not in arm.setup(())} == {
        "none", "all-slow", "all-fast", "oracle", "kernel", "kernel, again", "DAMON",
    }  # fmt: skip


def test_words_of_programs_are_those_that_arms_have() -> None:
    capitals = {
        word
        for workload in WORKLOADS.values()
        for words in workload.setup(1, 2).values()
        for word in words.split()
        if word.isupper()
    }
    assert all(set(arm.setup(())["words"]) == capitals for arm in ARMS.values())


def test_the_same_again_is_the_same() -> None:
    for arm in (each for each in ARMS.values() if each.repeats):
        assert arm.setup(()) == ARMS[arm.repeats].setup(())


def test_names_are_not_those_of_the_simulation() -> None:
    assert all(row.metric.startswith("node_") for row in figures.rows(zipf()))


def test_an_arm_that_is_none_says_which_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["zipf", "--arms", "magic", "--into", str(tmp_path)]) == 2
    assert "there is no arm 'magic': name some of none, all-slow" in capsys.readouterr().err


def test_the_committed_report_is_what_the_committed_runs_make(tmp_path: Path) -> None:
    found = runs.load(RUNS)
    results, text = playing.texts(found, KERNEL, runs.load(cli.DOCS / "placement-before.jsonl"))
    assert (cli.DOCS / "placement.json").read_text() == results
    assert (cli.DOCS / "index.md").read_text() == text, (
        "python3 -m tests.bench placement --render --into docs/benchmarks writes it anew"
    )
    assert report.markdown(figures.rows(found)) in text
    for drawn in drawing.draw(found, tmp_path):
        assert (cli.DOCS / drawn.name).read_bytes() == drawn.read_bytes()


def test_before_and_after_are_of_the_same_seeds() -> None:
    now, worse = zipf(), zipf(ours=0.38)[-1]
    told = change.text(now, [worse]).splitlines()
    lines = [line for line in told if line.startswith("| zipf")]
    assert [line.split(" | ")[1] for line in lines] == ["before", "now"]
    captured = [float(line.split(" | ")[2]) for line in lines]
    assert captured[0] == pytest.approx(captured[1] / 2, abs=2e-3)
    assert change.text(now, []) == ""
    assert change.text(now, zipf(seed=7)[-1:]) == ""
    assert "## Before and after" in page.page(now, figures.rows(now), KERNEL, [worse])


def test_a_summary_has_all_three_and_who_is_ahead() -> None:
    found = figures.matches([*zipf(), run("DAMON", {"work/app": lines([0.6] * 16)})])
    assert findings.summary(found) == (
        "Of what an oracle gains, access bits by page frame capture 0.95 (zipf); the kernel's own tiering captures "
        "0.50 (zipf), and DAMON's schemes 0.75 (zipf). Above both is ours under zipf, and our own target it reaches "
        "under zipf. Seeds of ours: 1, each of 16 intervals."
    )
    assert (
        "Above both is ours under none of them, and our own target it reaches under none of them."
        in findings.summary(figures.matches(zipf(ours=0.3)))
    )
    assert findings.summary({}) == ""


def test_the_readme_says_what_was_measured() -> None:
    said = " ".join((cli.DOCS.parents[1] / "README.md").read_text().split())
    assert findings.summary(figures.matches(runs.load(RUNS))) in said
    costs = breakeven.costs(KERNEL)
    least, most = (costs.reverse(gib) / costs.ours() for gib in (1, 256))
    assert (
        f"takes {least:.1f} times the call's instructions where 1 GiB is mapped, and {most:.0f} times" in said
    )
