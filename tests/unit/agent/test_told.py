"""What people and Prometheus are told: explain, heat, pictures, the table, lines and metrics."""

from __future__ import annotations

import io
import json
import os
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from rich.console import Console

from tests.unit.agent.test_state import REPORT
from thermocline_agent import lines, live
from thermocline_agent.cli import main
from thermocline_agent.commands.explain import _HINDERED, _WAITS, owner_named
from thermocline_agent.drawing import drawing
from thermocline_agent.engines.engine import Result
from thermocline_agent.exporter import Exporter, Unbindable
from thermocline_agent.guards import Why
from thermocline_agent.ledger import _NO_FAILURE
from thermocline_agent.moves import Reason
from thermocline_agent.report import OwnerReport
from thermocline_agent.state import State, StateFile
from thermocline_agent.warmth import Warmth, warmth
from thermocline_api.node import NumaNode, Tier, TierName
from thermocline_api.settings import Engine, Source

UID = "2f1c7a90-1111-4222-8333-444455556666"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    StateFile(tmp_path).publish(REPORT)
    return tmp_path


def drawn(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own


def test_steps_of_heat_are_three_words() -> None:
    assert warmth((1, 2, 4, 8, 16, 32, 64, 128)) == Warmth(hot=240, warm=14, cold=1)
    assert warmth(()) == Warmth()


def test_explain_tells_rule_moves_and_waits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--cgroup", "/sys/fs/cgroup/work", "--runtime-dir", str(folder)]) == 0
    told = capsys.readouterr().out
    for words in (
        "work (Tier): rule 'work' is the first whose cgroups match",
        "0.4 MiB promoted, 0.0 MiB demoted since 2026-01-02 03:04:05 UTC",
        "0.4 MiB: it is hot",
        "2 pages: in use in a way that passes",
        "waits for  DryRun: the policy's mode is DryRun",
        "waits for  PromoteBudget: migration.promoteBandwidth is used up",
        "something failed",
        "no agent runs now",
    ):
        assert words in told


def test_explain_says_what_it_does_not_know(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--cgroup", "nowhere", "--runtime-dir", str(folder)]) == 1
    assert "no rule governs it" in capsys.readouterr().err
    assert main(["explain", "--cgroup", "work", "--runtime-dir", str(folder / "none")]) == 1
    assert "no agent has run" in capsys.readouterr().err


def test_names_of_any_bytes_are_told_as_a_terminal_takes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = os.fsdecode(b"a\xff\x1b[2J")
    report = replace(REPORT, owners=(replace(REPORT.owners[0], path=name, why=f"by {name}"),))
    StateFile(tmp_path).publish(report)
    words = ["--runtime-dir", str(tmp_path)]
    assert main(["heat", "--svg", str(tmp_path / "heat.svg"), *words]) == 0
    assert main(["explain", "--cgroup", name, *words]) == 0
    assert main(["explain", "--cgroup", f"{name}/none", *words]) == 1
    console = Console(file=io.StringIO(), width=120)
    console.print(live.screen(report))
    told = capsys.readouterr()
    shown = (told.out, told.err, (tmp_path / "heat.svg").read_text(), console.file.getvalue())  # type: ignore[attr-defined]
    for text in shown:
        assert r"a\udcff\x1b[2J" in text
        assert text.encode()
        assert "\x1b" not in text


def test_a_container_is_explained_by_its_pod() -> None:
    pod = OwnerReport(f"kubepods/pod{UID}", "why", pod_uid=UID)
    found = State(replace(REPORT, owners=(pod,)), 0.0, running=True)
    assert owner_named(found, f"kubepods/pod{UID}/web") is pod
    assert owner_named(found, "kubepods/other") is None


def test_heat_is_told_by_owner_tier_and_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--runtime-dir", str(folder)]
    assert main(["heat", *words]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[:2] == ["work", "work"]
    assert main(["heat", "--by", "tier", *words]) == 0
    assert "slow" in capsys.readouterr().out
    assert main(["heat", "--json", "--svg", str(folder / "heat.svg"), *words]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["owners"][0]["slow"] == {"hotBytes": 65536, "warmBytes": 32768, "coldBytes": 16384}
    assert told["agentRuns"] is False
    assert drawn((folder / "heat.svg").read_text()).tag.endswith("svg")
    assert main(["heat", "--svg", str(folder / "no/where.svg"), *words]) == 1


def test_a_picture_is_well_formed_whatever_names_are() -> None:
    nasty = OwnerReport("a<b>&\"'" + "x" * 80, "why", fast_pages=(1, 2, 3, 4, 5, 6, 7, 8), slow_pages=())
    tree = drawn(drawing([nasty] * 40, "<&>"))
    bars = [float(each.attrib["width"]) for each in tree.iter() if each.find("{*}title") is not None]
    assert len(bars) == 3 * 24
    assert sum(bars[:3]) == pytest.approx(210, abs=0.5)
    assert not [each for each in drawn(drawing([], "nothing")).iter() if each.tag.endswith("title")]


def test_every_reason_has_its_sentence() -> None:
    assert set(_WAITS) == set(Why)
    assert set(_HINDERED) == {result.name for result in Result if result not in _NO_FAILURE}
    assert all(lines.reason_sentence(reason.name) for reason in Reason)


def test_a_round_is_one_line_of_keys_and_values() -> None:
    line = lines.log_line(REPORT)
    assert "\n" not in line
    words = dict(word.split("=", 1) for word in line.split())
    assert words["round"] == "3"
    assert words["promoted_pages"] == "100"
    assert words["migrating"] == "False:DryRun"
    assert words["results"] == "MOVED:100"


def test_a_plan_is_a_table() -> None:
    told = "\n".join(lines.plan_table(REPORT))
    assert "promote" in told
    assert "50.0 % now, 75.0 % then" in told
    assert "PromoteBudget" in told
    empty = replace(REPORT, last=replace(REPORT.last, planned=()))
    assert next(lines.plan_table(empty)) == "nothing would move"


def test_a_terminal_has_a_table_and_a_pipe_has_lines(capsys: pytest.CaptureFixture[str]) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    shown = live.Screen(console)
    shown.publish(REPORT)
    shown.close()
    assert "work" in output.getvalue()
    assert "the policy's mode is DryRun" in output.getvalue()
    live.Lines().publish(REPORT)
    told = capsys.readouterr().out
    assert told.startswith(
        "03:04:05 round 3: None, DryRun; 50.0 % of accesses to fast memory; 0.4 MiB promoted"
    )
    assert "  something failed" in told


def samples(exporter: Exporter) -> dict[str, float]:
    text = generate_latest(exporter.registry).decode()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if not line.startswith("#")
    }


def test_metrics_count_what_rounds_tell() -> None:
    exporter = Exporter()
    status = replace(
        REPORT.status,
        source=Source.DAMON,
        engine=Engine.DAMON,
        tiers=(Tier(TierName.FAST, (NumaNode(0, 1 << 30, 1 << 20),)),),
    )
    report = replace(REPORT, status=status)
    exporter.publish(report)
    exporter.publish(report)
    found = samples(exporter)
    assert found["thermocline_rounds_total"] == 2
    assert found['thermocline_moved_bytes_total{direction="promote"}'] == 2 * 409600
    assert found['thermocline_pages_total{result="MOVED"}'] == 200
    assert found['thermocline_planned_bytes{direction="promote",rule="work"}'] == 409600
    assert found['thermocline_fast_hit_ratio{when="planned"}'] == 0.75
    assert found['thermocline_condition{status="False",type="Migrating"}'] == 1
    assert found['thermocline_waiting{why="PromoteBudget"}'] == 1
    assert found['thermocline_waiting{why="Pressure"}'] == 0
    assert found['thermocline_node_memory_bytes{node="0",state="free",tier="fast"}'] == 1 << 20
    assert found['thermocline_owned_bytes{heat="hot",tier="slow"}'] == 16 * 4096
    # What is no more is not told any more.
    exporter.publish(replace(report, last=replace(report.last, planned=()), status=REPORT.status))
    found = samples(exporter)
    assert not any(name.startswith(("thermocline_planned_bytes", "thermocline_in_use")) for name in found)


def test_metrics_do_not_grow_with_owners() -> None:
    exporter = Exporter()
    exporter.publish(REPORT)
    before = len(samples(exporter))
    many = tuple(replace(REPORT.owners[0], path=f"work/{number}") for number in range(500))
    exporter.publish(replace(REPORT, owners=many))
    assert len(samples(exporter)) == before


def test_every_metric_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/metrics.md").read_text()
    exporter = Exporter()
    exporter.publish(REPORT)
    names = {each.name for each in exporter.registry.collect()}
    for name in names:
        assert f"`{name}" in page, name


@pytest.mark.parametrize("address", ["9464", ":port", "host:99999", "no.such.host.invalid:9464"])
def test_an_address_that_cannot_be_served_is_refused(address: str) -> None:
    with pytest.raises(Unbindable):
        Exporter().serve(address)
