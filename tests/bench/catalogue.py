"""Every benchmark, in the order in which they run: what the machine's other load disturbs comes last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tests.bench import versions
from tests.bench.agent import idle_interference, scan_tax
from tests.bench.control import rollout, steady
from tests.bench.install import footprint
from tests.bench.kernel import (
    damon_ratio,
    interference,
    mapped_pages,
    move_tax,
    profiles,
    query_tax,
    scratch_memory,
    stuck_calls,
    thp_cost,
    translation_saved,
)
from tests.bench.nodes import Effort
from tests.bench.placement.workloads import WORKLOADS
from tests.bench.rows import Row
from tests.bench.simulation import figures, planner_cost


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One question. `measure` answers it with rows, which need no command yet, nor the versions of `measured_with`."""

    group: str
    question: str
    measure: Callable[[Effort], Sequence[Row]]
    measured_with: Callable[[], Mapping[str, str]] = versions.measured_with


BENCHMARKS: Final = MappingProxyType(
    {
        "move_tax": Benchmark("kernel", move_tax.__doc__ or "", move_tax.measure),
        "query_tax": Benchmark("kernel", query_tax.__doc__ or "", query_tax.measure),
        "thp_cost": Benchmark("kernel", thp_cost.__doc__ or "", thp_cost.measure),
        "profiles": Benchmark("kernel", profiles.__doc__ or "", profiles.measure),
        "mapped_pages": Benchmark("kernel", mapped_pages.__doc__ or "", mapped_pages.measure),
        "stuck_calls": Benchmark("kernel", stuck_calls.__doc__ or "", stuck_calls.measure),
        "scratch_memory": Benchmark("kernel", scratch_memory.__doc__ or "", scratch_memory.measure),
        "damon_ratio": Benchmark("kernel", damon_ratio.__doc__ or "", damon_ratio.measure),
        "translation_saved": Benchmark("kernel", translation_saved.__doc__ or "", translation_saved.measure),
        "scan_tax": Benchmark("agent", scan_tax.__doc__ or "", scan_tax.measure),
        "idle_interference": Benchmark("agent", idle_interference.__doc__ or "", idle_interference.measure),
        "simulation": Benchmark("planner", figures.__doc__ or "", figures.measure, versions.simulated_with),
        "planner_cost": Benchmark(
            "planner", planner_cost.__doc__ or "", planner_cost.measure, versions.simulated_with
        ),
        "rollout": Benchmark("control", rollout.__doc__ or "", rollout.measure, versions.simulated_with),
        "steady": Benchmark("control", steady.__doc__ or "", steady.measure, versions.simulated_with),
        "footprint": Benchmark("install", footprint.__doc__ or "", footprint.measure),
        "interference": Benchmark("kernel", interference.__doc__ or "", interference.measure),
    }
)


# The group of all workloads that are played in nodes.
PLACEMENT: Final = "placement"
# What is measured in a hurry when nobody names anything: of each group, but for a
# cluster, what answers most in a minute or two.
QUICK: Final = ("move_tax", "damon_ratio", "translation_saved", "scan_tax", "simulation", "steady", "zipf")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was asked for: benchmarks, and workloads of placement."""

    benchmarks: Sequence[str]
    workloads: Sequence[str]


def chosen(words: Sequence[str], *, quick: bool = False) -> Chosen:
    """What these names, or names of groups, mean; all for none, or QUICK's. Raises ValueError."""
    groups = {benchmark.group for benchmark in BENCHMARKS.values()}
    for word in words:
        if word not in {*BENCHMARKS, *WORKLOADS, *groups, PLACEMENT}:
            known = ", ".join([*sorted(groups), PLACEMENT, *BENCHMARKS, *WORKLOADS])
            raise ValueError(f"there is no benchmark {word!r}: name some of {known}")
    words = words or (QUICK if quick else (*groups, PLACEMENT))
    benchmarks = [name for name, benchmark in BENCHMARKS.items() if name in words or benchmark.group in words]
    return Chosen(benchmarks, [name for name in WORKLOADS if name in words or PLACEMENT in words])
