"""What was played, one run a line of a file: a run that is in it is not played again.

    {"workload": "zipf", "arm": "kernel", "seed": 1, "quick": false, "versions": {…}, "programs": {CGROUP: [LINE, …]},
     "seconds": 160.1, "vmstat": {…}, "agent_ns": 0, "kernel_ns": {…}, "results": {"MOVED": 4096, …}}

A LINE is that of tests/bench/programs/tiers.c, an interval each; results are what became of pages that the agent tried
to move. Runs of before there were `results`, and `work_ns` in a LINE, have none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

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
    results: Mapping[str, int] = field(default_factory=dict)

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


def play(workload: str, arm: str, seed: int, *, quick: bool, timeout_seconds: int) -> Run:
    """Boot a node and play one arm in it. Raises LabError with the end of its complaint when that fails."""
    wanted = WORKLOADS[workload]
    setup = {
        "files": QUIET,
        "free_mib": workloads.CAPACITY_MIB + workloads.FLOOR_MIB,
        "programs": wanted.setup(seed, workloads.QUICK_INTERVALS if quick else workloads.INTERVALS),
        "arms": {arm: ARMS[arm].setup(wanted.rules())},
    }
    ended = node_python(
        INSIDE, json.dumps(setup),
        options=workloads.NODE, share=programs.folder(), timeout_seconds=timeout_seconds,
    )  # fmt: skip
    if ended.status:
        raise LabError(f"{arm} under {workload} ended with status {ended.status}:\n{ended.err[-3000:]}")
    told = json.loads(ended.out.decode().splitlines()[-1])
    rest = {name: value for name, value in told.items() if name != "log"}
    return Run(workload=workload, seed=seed, quick=quick, versions=dict(versions.measured_with()), **rest)
