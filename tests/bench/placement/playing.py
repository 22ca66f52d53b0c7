"""What is to be played, what of it is there already, and the report of what there is."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench import rows
from tests.bench.placement import drawing, figures, page, runs
from tests.bench.placement.arms import ARMS
from tests.bench.placement.runs import Run
from tests.bench.rows import Row

# Of them all, what shows in a few minutes that it works.
QUICK_ARMS: Final = ("none", "oracle", "kernel", "DAMON", "IdlePage x PhysicalCall")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Some workloads by some arms; without seeds each arm has its own number of them, from 1 on."""

    workloads: Sequence[str]
    arms: Sequence[str]
    seeds: Sequence[int] = ()
    quick: bool = False

    def keys(self) -> list[tuple[str, str, int, bool]]:
        """The runs, in the order of playing: each seed through all workloads, with all of its arms one by one.

        Raises ValueError for an arm that there is not.
        """
        for arm in self.arms:
            if arm not in ARMS:
                raise ValueError(f"there is no arm {arm!r}: name some of {', '.join(ARMS)}")
        every = self.seeds or range(1, 2 if self.quick else 1 + max(ARMS[arm].seeds for arm in self.arms))
        return [
            (workload, arm, seed, self.quick)
            for seed in every
            for workload in self.workloads
            for arm in self.arms
            if self.seeds or seed <= ARMS[arm].seeds
        ]


def play(wanted: Wanted, kept: Path, *, again: bool, timeout_seconds: int) -> None:
    """Play what is missing, and put each run into the file as soon as it has ended. Raises LabError or ValueError."""
    done = set() if again else {run.key for run in runs.load(kept)}
    keys = wanted.keys()
    missing = [key for key in keys if key not in done]
    if len(missing) < len(keys):
        _say(f"{len(keys) - len(missing)} of {len(keys)} runs are in {kept}, and not played again")
    began = time.monotonic()
    for number, (workload, arm, seed, quick) in enumerate(missing):
        left = ""
        if number:
            minutes = (time.monotonic() - began) / number * (len(missing) - number) / 60
            left = f", about {minutes:.0f} minutes left"
        _say(f"run {number + 1} of {len(missing)}: {workload}, seed {seed}, {arm}{left}")
        runs.add(kept, [runs.play(workload, arm, seed, quick=quick, timeout_seconds=timeout_seconds)])


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


def texts(found: Sequence[Run], kernel: Sequence[Row], before: Sequence[Run] = ()) -> tuple[str, str]:
    """placement.json and index.md, of runs, of the rows of kernel.json and of runs of before."""
    made = figures.rows(found)
    return rows.as_json(made), page.page(found, made, kernel, before)


def write(folder: Path, *, quick: bool) -> list[Row]:
    """The report and its plots, of what is in the folder; returns the rows, none without runs to compare with."""
    found = [run for run in runs.load(folder / "placement.jsonl") if run.quick == quick]
    if not found:
        return []
    before = runs.load(folder / "placement-before.jsonl")
    results, text = texts(found, rows.load(folder / "kernel.json"), before)
    (folder / "placement.json").write_text(results)
    (folder / "index.md").write_text(text)
    drawing.draw(found, folder)
    return figures.rows(found)
