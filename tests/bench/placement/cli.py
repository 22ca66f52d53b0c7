"""The command line, `python3 -m tests.bench.placement`. See docs/benchmarks/index.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench import report, rows
from tests.bench.placement import drawing, figures, page, runs
from tests.bench.placement.arms import ARMS
from tests.bench.placement.runs import Run
from tests.bench.placement.workloads import WORKLOADS
from tests.commands import CHECKOUT
from tests.lab.errors import STATUS_LAB_ERROR, LabError

DOCS: Final = CHECKOUT / "docs" / "benchmarks"
RUNS: Final = DOCS / "placement.jsonl"


def main(argv: Sequence[str] | None = None) -> int:
    """Play what is missing, and write the report. Returns 2 after a fault."""
    arguments = _parser().parse_args(argv)
    try:
        if not arguments.render:
            _play_missing(arguments)
        _write(arguments.runs)
    except (LabError, ValueError) as err:
        print(f"bench: {err}", file=sys.stderr)
        return STATUS_LAB_ERROR
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.bench.placement",
        description="Plays programs whose accesses are known in nodes of the lab, with everybody who can move their "
        "pages, and writes docs/benchmarks/index.md; needs root. What was played is kept, and not played again.",
        epilog="python3 -m tests.bench.placement zipf scan --arms 'kernel,Damon x Damon' --seed 2 plays two arms under "
        "two workloads; figures want none, oracle and kernel of the same seed.",
    )
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help=f"all when none: {', '.join(WORKLOADS)}"
    )
    parser.add_argument("--arms", default=",".join(ARMS), metavar="ARM,ARM", help=f"all: {', '.join(ARMS)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="play also what was played before")
    parser.add_argument("--quick", action="store_true", help="fewer intervals: to see that it works")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="FILE", help="where runs are kept")
    parser.add_argument("--timeout", type=int, default=1800, metavar="SECONDS", help="for one node")
    parser.add_argument("--render", action="store_true", help="play nothing: only write the report")
    return parser


def _play_missing(arguments: argparse.Namespace) -> None:
    arms = arguments.arms.split(",")
    for word, known in [*((arm, ARMS) for arm in arms), *((each, WORKLOADS) for each in arguments.workloads)]:
        if word not in known:
            raise ValueError(f"there is no {word!r}: name some of {', '.join(known)}")
    for workload in arguments.workloads or list(WORKLOADS):
        done = set() if arguments.again else {run.key for run in runs.load(arguments.runs)}
        missing = [arm for arm in arms if (workload, arm, arguments.seed, arguments.quick) not in done]
        if not missing:
            continue
        print(f"bench: {workload}: {', '.join(missing)}", file=sys.stderr, flush=True)
        began = time.monotonic()
        found = runs.play(
            workload, missing, arguments.seed, quick=arguments.quick, timeout_seconds=arguments.timeout
        )
        runs.add(arguments.runs, found)
        print(f"bench: {workload}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def written(found: Sequence[Run], folder: Path) -> tuple[str, str]:
    """The texts of placement.json and index.md in a folder that has kernel.json."""
    made = figures.rows(found)
    return rows.as_json(made), page.page(found, made, rows.load(folder / "kernel.json"))


def _write(path: Path) -> None:
    """Runs that are kept elsewhere are told on the terminal, and the report is not touched."""
    found = runs.load(path)
    if path == RUNS:
        results, text = written(found, DOCS)
        (DOCS / "placement.json").write_text(results)
        (DOCS / "index.md").write_text(text)
        drawing.draw(found, DOCS)
    sys.stdout.write(report.table(figures.rows(found)))
