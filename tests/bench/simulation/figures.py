"""Placement in simulation: which part of the fast-tier hits that an oracle gets the planner gets too, and for how many
moves. Seeded generators of accesses, seen as a sampler and as access bits see them; docs/benchmarks/planner.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.bench.nodes import Effort
from tests.bench.rows import Row
from tests.bench.simulation.generator import SCENARIOS
from tests.bench.simulation.measure import Result, run
from tests.bench.simulation.observers import BITS, LONG_BITS, REGIONS, SAMPLES, SPARSE, Observer
from tests.bench.simulation.start import STARTS, Started, started

SEEDS: Final = (1, 2, 3, 4, 5)
# How often access bits are read in an interval: by IdlePage where memory is large, and where it is small.
LOOKS: Final = (1, 4)
# Of what can be known from an observation, the part that the planner must get where a target cannot be reached.
_OF_BEST: Final = 0.95


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: what is taken of each result, whose median over seeds is the value."""

    metric: str
    unit: str
    limit: float | None
    target: str | None
    of: Callable[[Result], float]


def measure(effort: Effort) -> Sequence[Row]:
    """Every scenario with every observer that it is meant for; three seeds when in a hurry."""
    seeds = SEEDS if effort.boots > 1 else SEEDS[:1]
    found: list[Row] = []
    for scenario, observer, figures in _QUESTIONS:
        results = [run(SCENARIOS[scenario], observer, seed) for seed in seeds]
        found += [_row(figure, observer, results) for figure in figures]
    for looks in LOOKS:
        for name in STARTS:
            found += _start_rows(name, looks, [started(name, looks, seed) for seed in seeds])
    return found


def _start_rows(name: str, looks: int, runs: Sequence[Started]) -> list[Row]:
    """Of programs that start in slow memory, seen so often an interval."""
    capture, waste = _STARTS[name]
    told: list[tuple[str, float, str, Callable[[Started], float]]] = [
        (f"start_capture_{name}", 1.0, f">= {capture}", lambda run: run.capture),
        (f"start_waste_{name}", 1.0, f"<= {waste}", lambda run: run.waste),
        (f"start_ping_pong_{name}", 0.0, "<= 0.05", lambda run: run.ping_pong),
    ]
    rows = []
    for metric, limit, target, of in told:
        values = sorted(round(of(run), 4) for run in runs)
        named = metric if looks == 1 else f"{metric}_{looks}_looks"
        rows.append(Row(named, median(values), "ratio", limit, target, (values[0], values[-1])))
    return rows


def _row(figure: Figure, observer: Observer, results: Sequence[Result]) -> Row:
    values = sorted(figure.of(result) for result in results)
    arms: dict[str, float] = {}
    for arm in results[0].hits:
        arms[f"{arm}: fast hits"] = round(median(result.hits[arm] for result in results), 4)
    for arm in ("clairvoyant", "LRU", "threshold"):
        arms[f"{arm}: capture"] = round(median(result.capture(arm) for result in results), 4)
    arms["capture of the unlimited oracle"] = round(
        median(result.capture("ours", "unlimited oracle") for result in results), 4
    )
    arms["moves"] = median(result.moves for result in results)
    arms["moves / oracle's moves"] = round(median(result.against_oracle for result in results), 4)
    name = figure.metric if observer is SAMPLES else f"{figure.metric}_{observer.name.replace(' ', '_')}"
    spread = (round(values[0], 4), round(values[-1], 4))
    return Row(name, round(median(values), 4), figure.unit, figure.limit, figure.target, spread, arms)


def _capture(name: str, target: float | None) -> Figure:
    bound = None if target is None else f">= {target}"
    return Figure(f"capture_{name}", "ratio", 1.0, bound, lambda result: result.capture("ours"))


def _of_best(name: str, target: float | None = _OF_BEST) -> Figure:
    bound = None if target is None else f">= {target}"
    return Figure(
        f"of_best_{name}", "ratio", 1.0, bound,
        lambda result: result.capture("ours") / result.capture("clairvoyant"),
    )  # fmt: skip


def _waste(name: str, target: float) -> Figure:
    return Figure(f"waste_{name}", "ratio", 1.0, f"<= {target}", lambda result: result.waste)


_ADAPT: Final = Figure("adapt_intervals", "intervals", 1.0, "<= 2", lambda result: median(result.adapt))
_THRASH: Final = Figure("ping_pong", "ratio", 0.0, "<= 0.05", lambda result: result.ping_pong)
_FLOORS: Final = Figure("below_minimum", "intervals", 0.0, "<= 0", lambda result: result.below_minimum)

# What is to be captured of a start, and how many pages may move for each that has to.
_STARTS: Final = {
    "zipf": (0.95, 1.1),
    "shifting": (0.85, 1.6),
    "scan": (0.9, 1.1),
    "overflow": (0.9, 1.1),
    "tenants": (0.9, 1.1),
}

_QUESTIONS: Final = (
    ("zipf", SAMPLES, (_capture("zipf", 0.95), _waste("static", 1.1))),
    ("zipf", BITS, (_capture("zipf", 0.95), _waste("static", 1.1))),
    ("zipf", SPARSE, (_of_best("zipf"),)),
    ("zipf", LONG_BITS, (_capture("zipf", None),)),
    ("clustered", REGIONS, (_capture("clustered", 0.95), _waste("clustered", 1.1))),
    ("shifting", SAMPLES, (_capture("shifting", 0.85), _waste("shifting", 1.6), _ADAPT)),
    ("shifting", BITS, (_capture("shifting", 0.85), _waste("shifting", 1.6), _ADAPT)),
    ("shifting", SPARSE, (_capture("shifting", None),)),
    ("drifting", SAMPLES, (_capture("drifting", None),)),
    ("drifting", BITS, (_capture("drifting", None),)),
    ("scan", SAMPLES, (_capture("scan", 0.9),)),
    ("scan", BITS, (_capture("scan", 0.9),)),
    ("tenants", SAMPLES, (_capture("tenants", 0.9), _FLOORS)),
    ("tenants", BITS, (_capture("tenants", 0.9), _FLOORS)),
    ("overflow", SAMPLES, (_capture("overflow", None), _THRASH)),
    ("overflow", BITS, (_capture("overflow", None), _THRASH)),
)
