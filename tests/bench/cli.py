"""The command line, `python3 -m tests.bench`. See docs/benchmarks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.bench import plots, report, rows
from tests.bench.catalogue import BENCHMARKS, PLACEMENT, QUICK, Chosen, chosen
from tests.bench.nodes import Effort
from tests.bench.placement import playing
from tests.bench.placement.arms import ARMS
from tests.bench.placement.workloads import WORKLOADS
from tests.bench.rows import Row
from tests.bench.samples import NoSamples
from tests.commands import CHECKOUT
from tests.lab.errors import STATUS_LAB_ERROR, LabError

DOCS: Final = CHECKOUT / "docs" / "benchmarks"
_OWN: Final = CHECKOUT / "dist" / "bench"
_OWN_QUICK: Final = CHECKOUT / "dist" / "bench-quick"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is missing, print it all, and write. Returns 1 when a figure misses its target, 2 after a fault."""
    arguments = _parser().parse_args(argv)
    into: Path = arguments.into or (_OWN_QUICK if arguments.quick else _OWN)
    try:
        wanted = chosen(arguments.names, quick=arguments.quick)
        _make(into, quick=arguments.quick)
        if not arguments.render:
            _measure_all(wanted, into, arguments)
        found = _written(wanted, into, quick=arguments.quick)
    except (LabError, NoSamples, ValueError) as err:
        print(f"bench: {err}", file=sys.stderr)
        return STATUS_LAB_ERROR
    sys.stdout.write(report.table(found))
    print(f"bench: {into} has it", file=sys.stderr)
    return 1 if not arguments.render and any(row.holds is False or row.void for row in found) else 0


def _make(into: Path, *, quick: bool) -> None:
    if quick and into.resolve() == DOCS:
        raise ValueError(f"quick figures are none to publish: write them into another folder than {into}")
    into.mkdir(parents=True, exist_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.bench",
        description="Measures what Thermocline costs and is worth, as ratios, in nodes of the lab; needs root. What "
        "was measured is kept, and not measured again: so it can be stopped at any time, and goes on where it was.",
        epilog="benchmarks: "
        + "; ".join(f"{name}: {each.question.splitlines()[0]}" for name, each in BENCHMARKS.items())
        + f". {PLACEMENT}: programs whose accesses are known, placed by everybody who can; by workload: "
        + "; ".join(f"{name}: {each.what}" for name, each in WORKLOADS.items()),
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="benchmarks, workloads, or their groups; all when none is named",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one boot, few rounds, few arms, one seed: to see that it works; without a "
        f"name only {', '.join(QUICK)}",
    )
    parser.add_argument(
        "--into", type=Path, metavar="FOLDER", help="where results, plots and the report are (default: dist/bench, or "
        "dist/bench-quick)",
    )  # fmt: skip
    parser.add_argument("--again", action="store_true", help="measure also what is there")
    parser.add_argument(
        "--render", action="store_true", help="measure nothing: only draw and write what is there"
    )
    playback = parser.add_argument_group("placement")
    playback.add_argument(
        "--arms", type=lambda text: text.split(","), metavar="ARM,ARM", help=f"all: {', '.join(ARMS)}"
    )
    playback.add_argument(
        "--seeds",
        type=_numbers,
        default=(),
        metavar="N,N",
        help="for all arms (default: from 1 to 3 for the main ones)",
    )
    playback.add_argument("--timeout", type=int, default=1800, metavar="SECONDS", help="for one run")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


def _measure_all(wanted: Chosen, into: Path, arguments: argparse.Namespace) -> None:
    for number, name in enumerate(wanted.benchmarks, 1):
        print(f"bench: {number} of {len(wanted.benchmarks)}: {name}", file=sys.stderr, flush=True)
        _measure(name, into, quick=arguments.quick, again=arguments.again)
    if wanted.workloads:
        arms = arguments.arms or (playing.QUICK_ARMS if arguments.quick else list(ARMS))
        play = playing.Wanted(wanted.workloads, arms, arguments.seeds, quick=arguments.quick)
        kept = into / "placement.jsonl"
        playing.play(play, kept, again=arguments.again, timeout_seconds=arguments.timeout)


def _measure(name: str, into: Path, *, quick: bool, again: bool) -> None:
    """Put the rows of one benchmark into its file, unless they are there, of the same versions."""
    benchmark, results = BENCHMARKS[name], _results(name, into)
    command = f"python3 -m tests.bench {name}{' --quick' if quick else ''}"
    measured_with = benchmark.measured_with()
    old = rows.load(results)
    if not again and any(row.command == command and row.versions == measured_with for row in old):
        print(f"bench: {name} is in {results}, and not measured again", file=sys.stderr)
        return
    found = benchmark.measure(Effort.quick() if quick else Effort())
    done = [replace(row, command=command, versions=measured_with) for row in found]
    results.write_text(rows.as_json(rows.merged(old, done)))


def _results(name: str, into: Path) -> Path:
    return into / f"{BENCHMARKS[name].group}.json"


def _written(wanted: Chosen, into: Path, *, quick: bool) -> list[Row]:
    """Draw and write everything that these are part of; returns their rows."""
    found: list[Row] = []
    for results in dict.fromkeys(_results(name, into) for name in wanted.benchmarks):
        if results.exists():
            ordered = in_order(rows.load(results))
            _render(results, ordered)
            found += [row for row in ordered if _name(row) in wanted.benchmarks]
    if wanted.workloads:
        found += [row for row in playing.write(into, quick=quick) if _name(row) in wanted.workloads]
    return found


def _name(row: Row) -> str:
    return row.command.removesuffix(" --quick").rpartition(" ")[2]


def in_order(found: Sequence[Row]) -> list[Row]:
    """Rows in the order of the benchmarks, whichever of them ran last; those of none that there is, at the end."""
    names = list(BENCHMARKS)
    return sorted(found, key=lambda row: names.index(_name(row)) if _name(row) in names else len(names))


def _render(results: Path, found: Sequence[Row]) -> None:
    results.write_text(rows.as_json(found))
    plots.draw(found, results)
    page = results.with_suffix(".md")
    if page.exists():
        report.update(page, found)
