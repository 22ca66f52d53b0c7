"""Backtests: exact figures of the committed traces, and that they are what the planner does elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.bench.simulation import measure
from tests.bench.simulation.generator import SCENARIOS
from tests.bench.simulation.observers import BITS
from tests.traces import ALL, FIGURES, FOLDER, TRACES, scenario
from tests.traces.figures import figures
from tests.unit.agent.traces import told
from thermocline_agent import trace_file
from thermocline_agent.backtest import backtest
from thermocline_agent.guards import Pressure, Why
from thermocline_agent.heat import Heat
from thermocline_agent.owners import owner_of
from thermocline_agent.replay import Loop, Machine
from thermocline_agent.settings import GuardLimits, PressureLimits, Rule, Settings
from thermocline_agent.trace import Runs

ONE = {1: owner_of(1, "work")}
EVERYBODY = np.array([-1, 0], dtype=np.int16)


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, dict[str, object]]]:
    return figures()


@pytest.mark.parametrize("name", ALL)
def test_figures_are_exactly_what_they_were(
    name: str, found: dict[str, dict[str, dict[str, object]]]
) -> None:
    """After a change of the planner that is meant: `python3 -m tests.traces`, and look at what git shows."""
    assert found[name] == json.loads(FIGURES.read_text())[name]


def test_figures_are_the_same_again(found: dict[str, dict[str, dict[str, object]]]) -> None:
    assert figures() == found


@pytest.mark.parametrize("name", TRACES)
def test_committed_traces_are_what_the_command_makes(name: str) -> None:
    assert told(trace_file.read(FOLDER / f"{name}.npz")) == told(TRACES[name]())


def test_the_replay_is_what_the_simulation_is() -> None:
    """On other frames, for those that become free are used in another order; so pages of one heat may differ."""
    rounds = 25
    trace = scenario("shifting", BITS, rounds, ONE, names=True, seed=3)
    settings = Settings((Rule("all"),))
    outcome = backtest(trace, settings, EVERYBODY)
    first = trace.moments[0]
    owner = np.zeros(trace.layout.pages, dtype=np.int64)
    index, number = first.changed.frames()
    owner[index] = number
    fast = trace.layout.spans[0].pages
    machine = Machine(
        fast, trace.layout.spans[1].pages, SCENARIOS["shifting"].owner_of, fast > np.flatnonzero(owner)
    )
    loop = Loop(machine, settings, EVERYBODY, -settings.interval_seconds)
    for moment, share in zip(trace.moments, outcome.fast_hits, strict=True):
        counts = np.zeros(trace.layout.pages, dtype=np.uint8)
        index, count = moment.counts.frames()
        counts[index] = count
        by_page = counts[owner > 0]
        assert share == pytest.approx(by_page[machine.in_fast].sum() / by_page.sum(), abs=0.005)
        loop.step(BITS.tell(machine.by_frame(by_page)), moment.seconds, moment.pressure)
    assert outcome.fast_hit is not None
    assert outcome.recorded_fast_hit is not None
    assert outcome.fast_hit > outcome.recorded_fast_hit + 0.2


def test_pressure_stops_moves_where_it_was_recorded() -> None:
    trace = scenario("zipf", BITS, 12, ONE, names=True)
    limits = GuardLimits(PressureLimits(10, 100))
    pressed = tuple(
        replace(each, pressure=Pressure(50, 0) if number < 8 else Pressure(0, 0))
        for number, each in enumerate(trace.moments)
    )
    outcome = backtest(replace(trace, moments=pressed), Settings((Rule("all"),), guards=limits), EVERYBODY)
    moved = [up + down for up, down in zip(outcome.promoted, outcome.demoted, strict=True)]
    assert sum(moved[:8]) == 0 < sum(moved[8:])
    assert outcome.waits[Why.PRESSURE] == 8
    unknown = tuple(replace(each, pressure=None) for each in trace.moments)
    outcome = backtest(replace(trace, moments=unknown), Settings((Rule("all"),), guards=limits), EVERYBODY)
    assert outcome.moved_pages == 0
    assert outcome.waits == {Why.PRESSURE_UNKNOWN: 12}


def test_another_source_has_heat_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = scenario("zipf", BITS, 8, ONE, names=True)
    begun: list[int] = []
    begin = Heat.begin

    def counted(heat: Heat) -> None:
        begun.append(1)
        begin(heat)

    monkeypatch.setattr(Heat, "begin", counted)
    others = tuple(
        replace(each, source="Damon" if number >= 4 else each.source)
        for number, each in enumerate(trace.moments)
    )
    backtest(replace(trace, moments=others), Settings((Rule("all"),)), EVERYBODY)
    # Once as it is made.
    assert len(begun) == 2


def test_a_page_that_moves_back_is_counted() -> None:
    """Half of memory is used in turns that are shorter than the window; rules want it at once."""
    trace = scenario("zipf", BITS, 24, ONE, names=True)
    half = trace.layout.pages // 2
    turns = []
    for number, each in enumerate(trace.moments):
        counts = np.zeros(trace.layout.pages, dtype=np.uint8)
        counts[half * (number // 4 % 2) :][:half] = 1
        turns.append(replace(each, counts=Runs.of(counts)))
    settings = Settings((Rule("all", hot_rounds=1),), rest_seconds=0.0, guards=GuardLimits(ping_pong=None))
    outcome = backtest(replace(trace, moments=tuple(turns)), settings, EVERYBODY)
    assert outcome.returned_pages > 100
    assert outcome.returned_pages <= outcome.moved_pages


def test_simulations_have_one_interval() -> None:
    assert scenario("zipf", BITS, 2, ONE, names=True).interval_seconds == measure.INTERVAL_SECONDS
