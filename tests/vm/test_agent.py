"""The agent on real kernels: pages of programs that access memory as told land where the policy wants them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands import node_python

pytestmark = pytest.mark.vm

PROBES = Path(__file__).with_name("probes")
MEMORY = "--memory 512M"
COMPILE = ("gcc", "-std=gnu11", "-O2", "-static", "-no-pie", "-Wall", "-Wextra", "-Werror")


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("share")
    compile_programs(folder)
    return folder


def compile_programs(folder: Path) -> None:
    """What scenarios run, into the folder that a node shares."""
    subprocess.run([*COMPILE, "-o", folder / "regions", PROBES / "regions.c"], check=True)


def policy(rules: list[dict[str, Any]], *, interval: str = "2s", **spec: Any) -> dict[str, Any]:
    """One whose guards leave a small, slow and busy machine alone."""
    hotness = {"interval": interval, "cpuLimit": "1", **spec.pop("hotness", {})}
    guards = {"memoryPressure": {"someAvg60": "10000bp", "fullAvg10": "10000bp"}}
    return {
        "apiVersion": "thermocline.dev/v1alpha1",
        "kind": "MemoryTierPolicy",
        "metadata": {"name": "lone"},
        "spec": {"mode": "Enforce", "hotness": hotness, "guards": guards, "rules": rules, **spec},
    }


def told(share: Path, options: str, timeout_seconds: int = 900, **scenario: Any) -> Any:
    """What probes/agent.py prints of a scenario."""
    return node_python(
        PROBES / "agent.py",
        json.dumps(scenario),
        options=options,
        share=share,
        timeout_seconds=timeout_seconds,
    ).json


def condition(found: Any, kind: str) -> tuple[str, str]:
    """Status and reason of a condition in the state that the agent left."""
    (which,) = (each for each in found["state"]["status"]["conditions"] if each["type"] == kind)
    return which["status"], which["reason"]


WORK = {"name": "work", "cgroups": ["work/**"], "placement": "Tier", "coldAfter": "4s"}
SERVICE = {"name": "service", "cgroups": ["service/*"], "placement": "PreferSlow"}
# A hot region in slow memory, and what is never used in fast memory, in cgroups of their own.
PROGRAMS = {"work/app": "1:16:100", "service/idle": "0:16:0", "other": "0:4:0 1:4:100"}
# Within 2 %, and what no rule governs to the page.
WANTED = {"work/app": [0.98], "service/idle": [-0.02], "other": [1.0, -0.0001]}


@pytest.mark.parametrize(
    ("options", "source", "engine"),
    [
        ("--kernel patched --slow-ram 128M", "IdlePage", "PhysicalCall"),
        ("--kernel patched --slow-ram 128M", "Damon", "PhysicalCall"),
        ("--kernel stock --slow-ram 128M", "Damon", "Damon"),
        ("--kernel stock --slow-ram 128M", "Damon", "MovePages"),
        ("--kernel patched --cxl 256M", "IdlePage", "PhysicalCall"),
    ],
)
def test_hot_pages_rise_cold_ones_sink_and_others_stay(
    share: Path, options: str, source: str, engine: str
) -> None:
    # DAMON's regions are read one file at a time: a smaller limit has it make do with fewer.
    hotness = {"sources": [source], "cpuLimit": "100m" if source == "Damon" else "1"}
    wanted = policy([WORK, SERVICE], hotness=hotness, migration={"engines": [engine]}, interval="3s")
    found = told(
        share, f"{options} {MEMORY}", programs=PROGRAMS, policy=wanted, seconds=240, wanted=WANTED,
        ask=[["explain", "--cgroup", "work/app"], ["heat", "--json"]],
    )  # fmt: skip
    assert found["before"] == {"work/app": [0.0], "service/idle": [1.0], "other": [1.0, 0.0]}
    after = found["after"]
    assert after["work/app"][0] >= 0.98, found["log"]
    assert after["service/idle"][0] <= 0.02, found["log"]
    assert after["other"] == [1.0, 0.0]
    status = found["state"]["status"]
    assert (status["source"], status["engine"], status["mode"]) == (source, engine, "Enforce")
    assert status["counters"]["promotedBytes"] >= 0.98 * (16 << 20)
    assert status["counters"]["demotedBytes"] >= 0.98 * (16 << 20)
    assert condition(found, "TiersFound") == ("True", "Found")
    explained, heat = found["asked"]
    assert "rule       work (Tier)" in explained["out"]
    assert {each["path"] for each in json.loads(heat["out"])["owners"]} >= {
        "work/app",
        "service/idle",
        "other",
    }
    assert found["status"] == 0


def test_an_owner_has_exactly_its_share_and_of_it_the_hottest(share: Path) -> None:
    rule = {**WORK, "fastShare": {"max": "16Mi"}}
    found = told(
        share, f"--kernel patched --slow-ram 128M {MEMORY}",
        programs={"work/app": "0:16:0 1:15:100"}, policy=policy([rule], hotness={"sources": ["IdlePage"]}),
        seconds=240, wanted={"work/app": [-0.06, 0.98]},
    )  # fmt: skip
    cold, hot = found["after"]["work/app"]
    assert hot >= 0.98, found["log"]
    # The hot region and the program itself nearly are the share: hardly anything of the cold one fits beside them.
    assert cold * 16 + hot * 15 <= 16, found["log"]


def test_it_ends_soon_reloads_and_keeps_a_policy_when_the_new_one_is_invalid(share: Path) -> None:
    found = told(
        share, f"--kernel patched --slow-ram 128M {MEMORY}",
        programs={"work/app": "1:16:100"}, policy=policy([WORK], hotness={"sources": ["IdlePage"]}),
        seconds=120, wanted={"work/app": [0.98]}, rewrite="a: [", rewrite_seconds=8,
    )  # fmt: skip
    assert found["status"] == 0
    # 2 s on a machine that has nothing else to do.
    assert found["stop_seconds"] < 6
    assert "the policy from before stays in force" in found["log"]
    assert any("stays in force" in problem for problem in found["state"]["problems"])
    assert found["state"]["status"]["policy"] == "lone"


def test_a_dry_run_prints_the_plan_and_moves_nothing(share: Path) -> None:
    found = told(
        share, f"--kernel patched --slow-ram 128M {MEMORY}",
        programs={"work/app": "1:16:100"}, policy=policy([WORK], hotness={"sources": ["IdlePage"]}),
        arguments=["--once", "--dry-run"], seconds=120, wanted={"work/app": [1.0]},
    )  # fmt: skip
    assert found["after"] == found["before"] == {"work/app": [0.0]}
    assert "promote" in found["log"]
    assert "accesses that fast memory serves" in found["log"]
    assert found["state"]["status"]["dryRun"]["promoteBytes"] >= 0.98 * (16 << 20)


@pytest.mark.parametrize("engine", ["PhysicalCall", "MovePages"])
def test_it_ends_within_two_seconds_whatever_it_is_at(
    share: Path, engine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = {**WORK, "cgroups": ["work"]}
    wanted = policy([rule], hotness={"sources": ["IdlePage"]}, migration={"engines": [engine]})
    found = node_python(
        PROBES / "ends.py",
        json.dumps({"policy": wanted, "ends": 6, "seconds": 120}),
        options=f"--kernel patched --slow-ram 128M --icount {MEMORY}", share=share, timeout_seconds=1800,
    ).json  # fmt: skip
    ends = found["ends"]
    assert len(ends) == 7, found["log"]
    # In a node that counts instructions a second is a billion of them, which is less than any machine does in one.
    slowest = max(each["seconds"] for each in ends)
    with capsys.disabled():
        sys.stdout.write(f" ({engine}: {[(each['share'], each['seconds']) for each in ends]}) ")
    assert all(each["alive"] for each in ends)
    assert {each["status"] for each in ends} == {0}
    assert slowest < 2
    # Some were told in the middle of moving.
    assert any(0 < each["share"] < 0.95 for each in ends), ends
    assert found["kdamonds"] == 0


def test_memory_goes_off_line_under_moves_and_the_agent_goes_on(share: Path) -> None:
    wanted = policy([{**WORK, "cgroups": ["work"]}], hotness={"sources": ["IdlePage"]})
    found = node_python(
        PROBES / "offline.py",
        json.dumps({"policy": wanted, "seconds": 120}),
        options=f"--kernel patched --cxl 256M --icount {MEMORY}", share=share, timeout_seconds=1800,
    ).json  # fmt: skip
    assert found["moving"], found["log"]
    # Movable memory goes off line whatever the agent is at: it holds no page for longer than a batch.
    assert [each["error"] for each in found["blocks"]] == [None] * len(found["blocks"])
    assert found["blocks"]
    assert found["alive"], found["log"]
    assert found["settled"], found["log"]
    assert found["status"] == 0
    assert "topology:" in found["log"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("kernel", "source", "engine"),
    [("patched", "IdlePage", "PhysicalCall"), ("stock", "Damon", "Damon")],
)
def test_an_agent_that_is_killed_anywhere_leaves_nothing_that_the_next_stumbles_over(
    share: Path, kernel: str, source: str, engine: str
) -> None:
    hotness = {"sources": [source], "cpuLimit": "100m" if source == "Damon" else "1"}
    rule = {**WORK, "cgroups": ["work"]}
    wanted = policy([rule], hotness=hotness, migration={"engines": [engine]})
    found = node_python(
        PROBES / "kills.py",
        json.dumps({"policy": wanted, "kills": 25, "seed": 7, "seconds": 240}),
        options=f"--kernel {kernel} --slow-ram 128M {MEMORY}", share=share, timeout_seconds=3000,
    ).json  # fmt: skip
    assert found["took"] is not None, found["log"]
    assert len(found["left"]) == 25
    for left in found["left"]:
        assert left["alive"], found["log"]
        assert left["state"] in ("none", "whole")
        assert left["isolated"] == 0
        assert left["other"] == 1.0
    # Some were killed before anything had moved, some afterwards.
    assert {left["fast"] > 0.5 for left in found["left"]} == {True, False}
    assert found["took_at_last"] is not None, found["log"]
    assert (found["first_status"], found["last_status"]) == (0, 0)
    assert (found["isolated"], found["kdamonds"]) == (0, 0)


@pytest.mark.long
def test_the_hot_values_of_redis_rise_and_an_idle_service_sinks(share: Path) -> None:
    rules: list[dict[str, Any]] = [
        {"name": "redis", "cgroups": ["redis"], "fastShare": {"max": "24Mi"}, "coldAfter": "6s"},
        {"name": "idle", "cgroups": ["idle"], "placement": "PreferSlow"},
    ]
    wanted = policy(rules, hotness={"sources": ["IdlePage"]}, interval="3s")
    found = node_python(
        PROBES / "redis.py",
        json.dumps({"policy": wanted, "idle_mib": 16, "seconds": 900, "wanted": 0.95}),
        options=f"--kernel patched --cxl 256M {MEMORY}", share=share, timeout_seconds=2400,
    ).json  # fmt: skip
    assert found["status"] == 0
    assert found["in_place"] >= 0.98
    before, after = found["before"], found["after"]
    assert before["hot"] <= 0.02
    assert before["cold"] <= 0.02
    assert before["idle"] == 1.0
    assert after["hot"] >= 0.95, found["log"]
    # 24 MiB hold the 8 MiB that are hot, and a part of the 56 MiB that are not.
    assert after["cold"] <= 0.3, found["log"]
    assert after["idle"] <= 0.05, found["log"]
    # Both were as slow before; what is in fast memory is served faster than what is not.
    us_before, us_after = found["us_before"], found["us_after"]
    assert us_after["hot"] / us_after["cold"] < 0.9 * us_before["hot"] / us_before["cold"], found
