"""What a recorder takes of an agent's rounds: numbers for names, one layout, and what backtests then make of it."""

from __future__ import annotations

import io
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.agent.benches import HOT_PAGES, INTERVAL, SETTINGS, START, Bench, made
from tests.unit.agent.rounds import HOT, PAGES, plant, write
from tests.unit.kernel import trees
from thermocline_agent import trace_file
from thermocline_agent.assignment import Pod
from thermocline_agent.backtest import _Run
from thermocline_agent.recorder import LayoutChanged, Recorder, Seen
from thermocline_agent.terms import planner_settings
from thermocline_agent.trace import Trace, orders, tails_of
from thermocline_agent.trial import topology, tried
from thermocline_api.rule import Rule
from thermocline_api.selector import LabelSelector
from thermocline_api.settings import Mode

UID = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
POD = f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice"
KNOWN = {UID: Pod(UID, "secret-team", "secret-pod", {"app": "secret-app"}, {"tier": "secret-tier"})}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    host = plant(tmp_path)
    trees.plant(tmp_path, {f"sys/fs/cgroup/{POD}/memory.max": "max\n"})
    write(host, {**START, **dict.fromkeys(range(PAGES + 6000, PAGES + 6050), (POD, HOT))})
    return made(host, monkeypatch)


def recorded(bench: Bench, rounds: int, *, names: bool = True) -> Trace:
    """So many rounds of an agent that only observes; its very first one sees nothing."""
    recorder = Recorder(INTERVAL, names=names)
    bench.rounds.mode, bench.rounds.witness = Mode.OBSERVE, recorder.take
    bench.run(rounds + (bench.rounds.tracking is None))
    assert len(recorder) == rounds
    trace = recorder.trace()
    assert trace is not None
    return trace


def content(trace: Trace) -> tuple[bytes, bytes]:
    """A trace's file, and what is in it."""
    file = io.BytesIO()
    trace_file.write(trace, file)
    with zipfile.ZipFile(file) as archive:
        return file.getvalue(), b"".join(map(archive.read, archive.namelist()))


def test_a_round_is_recorded_as_it_was(bench: Bench) -> None:
    trace = recorded(bench, 3)
    assert bench.engine.asked == []
    assert [each.seconds for each in trace.moments] == [0.0, INTERVAL, 2 * INTERVAL]
    assert {each.source for each in trace.moments} == {"Referenced"}
    assert [(node.number, node.pages) for node in trace.nodes] == [(0, PAGES), (1, PAGES)]
    assert trace.moments[0].free_pages == (4096, 4096)
    assert trace.moments[0].pressure is not None
    assert sorted(str(owner.path) for owner in trace.owners) == sorted(["other", "work", POD])
    # Nothing has changed after the first round.
    assert [int(each.changed.pages.sum()) for each in trace.moments] == [350, 0, 0]
    assert int(trace.moments[0].counts.pages.sum()) == 250


def test_what_a_backtest_predicts_is_what_the_agent_then_does(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = recorded(bench, 6)
    trial = tried(trace, SETTINGS, {})
    (tmp_path / "again").mkdir()
    again = made(plant(tmp_path / "again"), monkeypatch)
    write(again.host, START)
    again.run(7)
    really = [each.last.promoted_pages for each in again.told[1:]]
    assert sum(really) == len(HOT_PAGES)
    assert list(trial.outcome.promoted) == really
    assert sum(trial.outcome.demoted) == sum(each.last.demoted_pages for each in again.told) == 0


def test_heat_is_what_the_agent_has_that_recorded(bench: Bench) -> None:
    trace = recorded(bench, 5)
    settings = planner_settings(replace(SETTINGS, rules=()), topology(trace))
    run = _Run(trace, settings, np.full(len(trace.owners) + 1, -1, dtype=np.int16))
    for moment in trace.moments:
        run.step(moment)
    assert bench.rounds.tracking is not None
    heat = bench.rounds.tracking.heat
    assert heat.heat.max() > 0
    assert (run._loop.heat.heat == heat.heat).all()
    assert (run._loop.heat.state == heat.state).all()


def test_without_names_there_are_none_in_the_file(bench: Bench) -> None:
    bench.policy.known_pods = KNOWN
    names = [b"work", b"other", b"kubepods", b"secret", UID.encode(), UID.replace("-", "_").encode()]
    trace = recorded(bench, 2, names=False)
    assert [name for name in names if any(name in part for part in content(trace))] == []
    assert [owner.is_pod for owner in trace.owners].count(True) == 1
    assert {owner.qos for owner in trace.owners} == {None, "Burstable"}
    _, kept = content(recorded(bench, 2))
    # The UID stands in the cgroup's name alone, as systemd's driver writes it.
    assert [name for name in names if name not in kept] == [UID.encode()]


def test_pods_are_governed_by_their_labels_where_they_were_recorded(bench: Bench) -> None:
    bench.policy.known_pods = KNOWN
    rules = (
        Rule("database", pod_selector=LabelSelector({"app": "secret-app"})),
        Rule("everything-else"),
    )
    settings = replace(SETTINGS, rules=rules)
    by_name = tried(recorded(bench, 4), settings, {})
    (pod,) = [each for each in by_name.rulings if each.rule == 0]
    assert pod.why == "rule 'database' is the first that selects it"
    assert sum(by_name.outcome.promoted) == 50
    unnamed = recorded(bench, 4, names=False)
    without = tried(unnamed, settings, {})
    assert [each.rule for each in without.rulings] == [-1, -1, -1]
    assert sum(without.outcome.promoted) == 0
    number = next(number for number, each in enumerate(unnamed.owners, 1) if each.is_pod)
    (note,) = without.notes
    assert note.startswith(
        f"no rule governs owner {number}: 'database' may be the one, but selects by names or labels"
    )
    assert f"--owner-rule {number}=database" in note
    assert sum(tried(unnamed, settings, {number: "database"}).outcome.promoted) == 50


def test_an_owner_that_comes_later_has_a_number_that_nobody_had(bench: Bench) -> None:
    recorder = Recorder(INTERVAL, names=True)
    bench.rounds.mode, bench.rounds.witness = Mode.OBSERVE, recorder.take
    bench.run(2)
    cgroups = bench.host.sys / "fs/cgroup"
    write(bench.host, {100: ("other", HOT)})
    shutil.rmtree(cgroups / "work")
    bench.run(2)
    (cgroups / "newer").mkdir()
    write(bench.host, {100: ("other", HOT), 200: ("newer", HOT)})
    bench.run(2)
    trace = recorder.trace()
    assert trace is not None
    paths = [owner.path for owner in trace.owners]
    assert len(paths) == len(set(paths)) == 4
    assert paths[3] == "newer"
    assert [(number, pages) for number, _, pages in recorder.numbered() if pages] == [
        (paths.index("other") + 1, 1), (4, 1),
    ]  # fmt: skip


def test_memory_that_comes_or_goes_ends_a_trace(bench: Bench) -> None:
    taken: list[Seen] = []
    bench.rounds.mode, bench.rounds.witness = Mode.OBSERVE, taken.append
    bench.run(2)
    recorder = Recorder(INTERVAL, names=False)
    recorder.take(taken[0])
    zones = bench.host.proc / "zoneinfo"
    zones.write_text(zones.read_text().replace(f"spanned  {PAGES}", f"spanned  {PAGES // 2}", 1))
    bench.run(3)
    assert taken[-1].snapshot.layout.spans != taken[0].snapshot.layout.spans
    with pytest.raises(LayoutChanged):
        recorder.take(taken[-1])
    assert len(recorder) == 1


def test_nothing_was_recorded_yet() -> None:
    assert Recorder(INTERVAL, names=False).trace() is None


@pytest.mark.parametrize(
    ("tails", "found"),
    [
        ([0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]),
        ([0, 1, 1, 1, 0, 1, 0, 0], [2, 2, 2, 2, 1, 1, 0, 0]),
        # Three pages are no folio, nor are two that begin at an odd frame, nor tails without a head.
        ([0, 1, 1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]),
        ([1, 1, 0, 1, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2, 2, 2]),
        ([1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_orders_of_folios(tails: list[int], found: list[int]) -> None:
    pfn = np.arange(8, 16)
    order = orders(np.array(tails, dtype=np.bool_), pfn)
    assert order.tolist() == found
    again = tails_of(order, pfn)
    assert (again is None) == (not any(found))
    if again is not None:
        assert (orders(again, pfn) == order).all()
