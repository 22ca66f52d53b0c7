"""What was played, one run a line of a file: a run that is in it is not played again.

    {"workload": "zipf", "arm": "kernel", "seed": 1, "quick": false, "versions": {…}, "programs": {CGROUP: [LINE, …]},
     "seconds": 160.1, "vmstat": {…}, "agent_ns": 0, "kernel_ns": {…}}

A LINE is that of tests/bench/programs/tiers.c, an interval each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench import programs, versions
from tests.bench.placement import workloads
from tests.bench.placement.arms import ARMS
from tests.bench.placement.workloads import WORKLOADS
from tests.commands import node_python
from tests.lab.errors import LabError

INSIDE: Final = Path(__file__).with_name("inside.py")
# Nothing but the arm moves pages; with transparent huge pages on, the kernel keeps 20 MiB more free.
QUIET: Final = {
    "/proc/sys/kernel/numa_balancing": "0",
    "/sys/kernel/mm/transparent_hugepage/enabled": "never",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One arm under one workload."""

    workload: str
    arm: str
    seed: int
    quick: bool
    versions: Mapping[str, str]
    programs: Mapping[str, Sequence[Mapping[str, float]]]
    seconds: float
    vmstat: Mapping[str, int]
    agent_ns: int
    kernel_ns: Mapping[str, int]

    @property
    def key(self) -> tuple[str, str, int, bool]:
        """What of there is one."""
        return self.workload, self.arm, self.seed, self.quick


def load(path: Path) -> list[Run]:
    """The runs of a file; none when there is no such file. Raises ValueError when it is no such file."""
    if not path.exists():
        return []
    try:
        return [Run(**json.loads(line)) for line in path.read_text().splitlines()]
    except (TypeError, json.JSONDecodeError) as err:
        raise ValueError(f"{path} has no runs ({err}): write another path, or remove it") from err


def add(path: Path, found: Sequence[Run]) -> list[Run]:
    """Put runs into the file, in place of those that they repeat; returns all of its runs."""
    new = {run.key: run for run in found}
    kept = [run for run in load(path) if run.key not in new]
    merged = sorted([*kept, *found], key=_place)
    path.write_text("".join(json.dumps(asdict(run)) + "\n" for run in merged))
    return merged


def _place(run: Run) -> tuple[int, int, int, bool]:
    return list(WORKLOADS).index(run.workload), run.seed, list(ARMS).index(run.arm), run.quick


def play(workload: str, arms: Sequence[str], seed: int, *, quick: bool, timeout_seconds: int) -> list[Run]:
    """Boot a node and play these arms one after the other. Those that ended are returned, even if not all did."""
    wanted = WORKLOADS[workload]
    setup = {
        "files": QUIET,
        "free_mib": workloads.CAPACITY_MIB + workloads.FLOOR_MIB,
        "programs": wanted.setup(seed, workloads.QUICK_INTERVALS if quick else workloads.INTERVALS),
        "arms": {name: ARMS[name].setup(wanted.rules()) for name in arms},
    }
    ended = node_python(
        INSIDE, json.dumps(setup),
        options=workloads.NODE, share=programs.folder(), timeout_seconds=timeout_seconds,
    )  # fmt: skip
    told = [json.loads(line) for line in ended.out.decode().splitlines() if line.endswith("}")]
    if ended.status:
        sys.stderr.write(f"bench: {len(told)} of {len(arms)} arms were played:\n{ended.err[-3000:]}\n")
    if ended.status and not told:
        raise LabError(f"no arm of {workload} was played to its end")
    measured = dict(versions.measured_with())
    return [_run(each, workload, seed, quick=quick, measured=measured) for each in told]


def _run(
    told: Mapping[str, Any], workload: str, seed: int, *, quick: bool, measured: Mapping[str, str]
) -> Run:
    rest = {name: value for name, value in told.items() if name != "log"}
    return Run(workload=workload, seed=seed, quick=quick, versions=measured, **rest)
