"""Rounds on a machine of fakes: what is planned is moved, and what fails makes a round do less."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.agent.benches import HOT_PAGES, INTERVAL, SETTINGS, START, Bench, made, status
from tests.unit.agent.rounds import HOT, PAGES, plant, write
from thermocline_agent.assignment import Pod
from thermocline_agent.clock import Woken
from thermocline_agent.engines.engine import Result
from thermocline_agent.heat import HOTTEST
from thermocline_agent.loop import loop, once
from thermocline_agent.probe import Capability
from thermocline_api.conditions import Status, find
from thermocline_api.node import AgentMode, NodeCondition
from thermocline_api.rule import Rule
from thermocline_api.settings import Guards, Hotness, KernelTiering, Mode, Source


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    host = plant(tmp_path)
    write(host, START)
    return made(host, monkeypatch)


def test_hot_pages_of_governed_owners_rise_and_no_others_move(bench: Bench) -> None:
    report = bench.run(6)
    moved = sorted(pfn for request in bench.engine.asked for pfn in request.pfns.tolist())
    assert moved == list(HOT_PAGES)
    assert sum(each.last.promoted_pages for each in bench.told) == len(HOT_PAGES)
    assert report.status.counters is not None
    assert report.status.counters.totals.promoted_bytes == len(HOT_PAGES) * 4096
    assert (report.status.mode, report.status.engine, report.status.source) == (
        AgentMode.ENFORCE, "MovePages", "Referenced",
    )  # fmt: skip
    assert status(report, NodeCondition.MIGRATING) == (Status.TRUE, "Settled")
    work = next(each for each in report.owners if each.path == "work")
    assert (work.rule, work.promoted_pages) == ("work", len(HOT_PAGES))
    assert sum(work.fast_pages) == len(HOT_PAGES) + 100
    assert report.status.top_pods is not None
    assert [each.name for each in report.status.top_pods] == ["work"]
    assert find(report.status.conditions, NodeCondition.ENGINE_AVAILABLE).message.endswith(  # type: ignore[union-attr]
        "not PhysicalCall: SystemCallMissing: this kernel has none; Damon: NotInKernel: no"
    )


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.DRY_RUN])
def test_nothing_moves_in_modes_that_move_nothing(bench: Bench, mode: Mode) -> None:
    bench.policy.settings = replace(SETTINGS, mode=mode)
    report = bench.run(5)
    assert not bench.engine.asked
    assert report.status.mode == mode.value
    if mode is Mode.DRY_RUN:
        assert report.status.dry_run is not None
        assert report.status.dry_run.promote_bytes == len(HOT_PAGES) * 4096
        assert [(each.rule, each.reason, each.pages) for each in report.last.planned] == [
            ("work", "HOT", len(HOT_PAGES))
        ]
        assert [(each.name, each.promote_bytes) for each in report.status.top_pods or ()] == [
            ("work", 409600)
        ]
        # What fast memory would serve grows by what rises.
        assert (report.last.fast_hit_planned or 0) > (report.last.fast_hit_now or 0)
    else:
        assert report.last.planned == ()


def test_paused_stops_a_round_between_batches(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thermocline_agent.migration._LEAST_PAGES", 8)
    bench.rounds.mover.pages_at_once = 8
    move = bench.engine.migrate

    def paused_after_this(request: object) -> object:
        bench.policy.paused = True
        return move(request)  # type: ignore[arg-type]

    monkeypatch.setattr(bench.engine, "migrate", paused_after_this)
    bench.run(3)
    assert sum(request.pfns.size for request in bench.engine.asked) == 8
    report = bench.run(3)
    assert len(bench.engine.asked) == 1
    assert status(report, NodeCondition.MIGRATING) == (Status.FALSE, "Paused")
    # What was not got to is no refusal.
    assert not bench.rounds.history.refusals.pfn.size


def test_a_page_that_changed_hands_since_it_was_seen_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {**START, **dict.fromkeys(HOT_PAGES, ("other", HOT))}
    carry_out = bench.rounds.mover.carry_out

    def taken_before(*words: object) -> object:
        write(bench.host, taken)
        return carry_out(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(type(bench.rounds.mover), "carry_out", lambda _, *words: taken_before(*words))
    bench.run(3)
    assert bench.told[-1].last.results == {"CHANGED": len(HOT_PAGES)}
    assert not bench.engine.asked


def test_an_engine_that_fails_is_a_condition_and_the_next_has_its_turn(bench: Bench) -> None:
    bench.engine.error = "the kernel said no"
    report = bench.run(3)
    assert status(report, NodeCondition.MIGRATING) == (Status.FALSE, "EngineFailed")
    assert "MovePages: the kernel said no" in report.problems
    report = bench.run()
    assert status(report, NodeCondition.ENGINE_AVAILABLE) == (Status.FALSE, "SystemCallMissing")
    assert status(report, NodeCondition.MIGRATING) == (Status.FALSE, "NoEngine")
    bench.engine.error = None
    report = bench.run(6)
    assert report.status.counters is not None
    assert report.status.counters.totals.promoted_bytes == len(HOT_PAGES) * 4096


def test_refused_pages_are_told_and_left_alone_for_a_while(bench: Bench) -> None:
    bench.engine.results = Result.SHARED
    report = bench.run(3)
    assert status(report, NodeCondition.MIGRATING) == (Status.FALSE, "Refused")
    migrating = find(report.status.conditions, NodeCondition.MIGRATING)
    assert migrating is not None
    assert migrating.message == (
        f"none of {len(HOT_PAGES)} pages moved: several processes map them, and this engine moves only pages of one"
    )
    bench.run(3)
    assert len(bench.engine.asked) == 1
    report = bench.told[-1]
    assert report.status.counters is not None
    assert report.status.counters.totals.failed_pages == len(HOT_PAGES)
    assert next(each for each in report.owners if each.path == "work").failed == {"SHARED": len(HOT_PAGES)}


def test_a_source_that_fails_is_a_condition_and_comes_back(bench: Bench) -> None:
    bench.run(2)
    content = (bench.host.proc / "kpageflags").read_bytes()
    (bench.host.proc / "kpageflags").write_bytes(b"\1" * 11)
    report = bench.run()
    assert status(report, NodeCondition.HOTNESS_AVAILABLE)[0] is Status.FALSE
    assert any("kpageflags" in problem for problem in report.problems)
    (bench.host.proc / "kpageflags").write_bytes(content)
    report = bench.run(8)
    assert status(report, NodeCondition.HOTNESS_AVAILABLE) == (Status.TRUE, "Referenced")
    assert report.status.counters is not None
    assert report.status.counters.totals.promoted_bytes == len(HOT_PAGES) * 4096


@pytest.mark.parametrize("what", ["kpagecgroup", "zoneinfo", "vmstat"])
def test_garbage_ends_no_agent_and_moves_nothing(bench: Bench, what: str) -> None:
    bench.run(2)
    content = (bench.host.proc / what).read_bytes()
    (bench.host.proc / what).write_bytes(b"\1" * 11)
    report = bench.run(3)
    assert report.problems
    assert bool(bench.engine.asked) is (what == "vmstat")
    (bench.host.proc / what).write_bytes(content)
    assert not bench.run(4).problems
    assert bench.engine.asked


def test_pressure_that_is_not_known_stops_moves(bench: Bench) -> None:
    (bench.host.proc / "pressure/memory").unlink()
    report = bench.run(5)
    assert not bench.engine.asked
    assert status(report, NodeCondition.GUARD_TRIPPED) == (Status.TRUE, "PressureUnknown")
    assert status(report, NodeCondition.MIGRATING) == (Status.FALSE, "GuardTripped")


@pytest.mark.parametrize("what", KernelTiering)
def test_the_kernels_own_tiering_is_deferred_to(bench: Bench, what: KernelTiering) -> None:
    (bench.host.proc / "sys/kernel/numa_balancing").write_text("2\n")
    bench.policy.settings = replace(SETTINGS, guards=Guards(kernel_tiering=what))
    report = bench.run(5)
    assert status(report, NodeCondition.KERNEL_TIERING_ACTIVE) == (Status.TRUE, "Active")
    assert bool(bench.engine.asked) is (what is KernelTiering.COEXIST)
    assert (report.status.source is None) is (what is KernelTiering.REFUSE)
    if what is KernelTiering.DEFER:
        assert report.status.mode is AgentMode.OBSERVE


@pytest.mark.parametrize("what", KernelTiering)
def test_what_undoes_placements_but_does_not_tier_is_told_and_not_deferred_to(
    bench: Bench, what: KernelTiering
) -> None:
    (bench.host.proc / "sys/kernel/numa_balancing").write_text("1\n")
    bench.policy.settings = replace(SETTINGS, guards=Guards(kernel_tiering=what))
    report = bench.run(5)
    assert bench.engine.asked
    assert status(report, NodeCondition.KERNEL_TIERING_ACTIVE) == (Status.FALSE, "NumaBalancing")
    found = find(report.status.conditions, NodeCondition.KERNEL_TIERING_ACTIVE)
    assert found is not None
    assert "write 0 to" in found.message


def test_without_a_policy_heat_is_only_observed(bench: Bench) -> None:
    bench.policy.settings = None
    report = bench.run(4)
    assert status(report, NodeCondition.MIGRATING) == (Status.FALSE, "NoPolicy")
    assert not bench.engine.asked


def test_a_machine_without_slow_memory_idles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = made(plant(tmp_path, slow=False), monkeypatch)
    report = idle.run(2)
    assert status(report, NodeCondition.TIERS_FOUND) == (Status.FALSE, "NoSlowTier")
    assert status(report, NodeCondition.MIGRATING) == (Status.FALSE, "NoSlowTier")
    assert report.status.source is None


def test_memory_that_goes_and_comes_is_followed(bench: Bench) -> None:
    bench.run(3)
    root = bench.host.sys.parent
    online = root / "sys/devices/system/node/online"
    online.write_text("0\n")
    distance = root / "sys/devices/system/node/node0/distance"
    distance.write_text("10\n")
    away = root / "away"
    tier = root / "sys/devices/virtual/memory_tiering/memory_tier8"
    shutil.move(tier, away)
    assert status(bench.run(), NodeCondition.TIERS_FOUND) == (Status.FALSE, "NoSlowTier")
    online.write_text("0-1\n")
    distance.write_text("10 20\n")
    shutil.move(away, tier)
    assert status(bench.run(3), NodeCondition.TIERS_FOUND) == (Status.TRUE, "Found")


def test_a_cgroup_that_is_gone_takes_its_counts_with_it(bench: Bench) -> None:
    bench.run(4)
    shutil.rmtree(bench.host.sys / "fs/cgroup/work")
    report = bench.run(2)
    assert [each.path for each in report.owners] == ["other"]
    assert bench.rounds.history.moved_into(10, 0).sum() == 0


def test_owners_are_judged_anew_when_pods_become_known(bench: Bench) -> None:
    uid = "2f1c7a90-1111-4222-8333-444455556666"
    pod = f"kubepods/pod{uid}"
    (bench.host.sys / "fs/cgroup" / pod).mkdir(parents=True)
    write(bench.host, dict.fromkeys(HOT_PAGES, (pod, HOT)))
    bench.policy.settings = replace(SETTINGS, rules=(Rule("all"),))
    bench.policy.known_pods = {}
    report = bench.run(4)
    assert not bench.engine.asked
    assert "not known yet" in report.owners[0].why
    bench.policy.known_pods[uid] = Pod(uid, "web", "shop-1", {}, {})
    report = bench.run(3)
    assert (report.owners[0].namespace, report.owners[0].name, report.owners[0].rule) == (
        "web",
        "shop-1",
        "all",
    )
    assert report.status.pods_matched == 1
    assert [(each.namespace, each.name) for each in report.status.top_pods or ()] == [("web", "shop-1")]


def test_the_loop_ends_when_it_is_told_to(bench: Bench) -> None:
    bench.time.ends_at = bench.time.seconds + 2.5 * INTERVAL
    bench.time.waits = [Woken.RELOAD]
    reloads: list[int] = []
    loop(bench.rounds, [bench], bench.time, lambda: reloads.append(1))
    assert [each.last.number for each in bench.told] == [1, 2, 3]
    assert reloads == [1]


def test_between_rounds_memory_is_looked_at_as_often_as_is_allowed(bench: Bench) -> None:
    bitmap = bench.host.sys / "kernel/mm/page_idle/bitmap"
    bitmap.parent.mkdir(parents=True)
    bitmap.write_bytes(bytes(2 * PAGES // 8))
    bench.rounds.parts.capabilities += (Capability("Source", "IdlePage", True, "", ""),)
    hotness = Hotness((Source.IDLE_PAGE,), INTERVAL, 0.1)
    bench.policy.settings = replace(SETTINGS, hotness=hotness)
    begins = bench.time.seconds
    waits: list[float] = []
    wait = bench.time.wait

    def noted(seconds: float) -> Woken:
        woken = wait(seconds)
        waits.append(bench.time.seconds - begins)
        # Whatever is marked is accessed at once.
        bitmap.write_bytes(bytes(2 * PAGES // 8))
        if len(waits) == 6:
            bitmap.unlink()
        return woken

    bench.time.wait = noted  # type: ignore[method-assign]
    bench.time.ends_at = begins + 2.5 * INTERVAL
    loop(bench.rounds, [bench], bench.time, lambda: None)
    assert waits == [2.5, 5.0, 7.5, 10.0, 12.5, 15.0, 17.5, 20.0, 30.0]
    assert bench.rounds.tracking is not None
    assert bench.rounds.tracking.heat.full == 4
    assert bench.rounds.tracking.heat.heat[HOT_PAGES[0]] == HOTTEST
    # The look that failed ended the source, and the next round says so.
    assert any("IdlePage" in problem for problem in bench.told[-1].problems)


def test_once_waits_until_it_can_tell_and_moves_once(bench: Bench) -> None:
    report = once(bench.rounds, [bench], bench.time, lambda: None)
    assert report is not None
    assert bench.told == [report]
    assert report.last.promoted_pages == len(HOT_PAGES)
    assert sum(request.pfns.size for request in bench.engine.asked) == len(HOT_PAGES)


def test_once_ends_early_when_it_is_told_to(bench: Bench) -> None:
    bench.time.waits = [Woken.END]
    assert once(bench.rounds, [bench], bench.time, lambda: None) is None
    assert not bench.engine.asked
