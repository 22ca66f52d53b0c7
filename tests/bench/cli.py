"""The command line, `python3 -m tests.bench`. See docs/benchmarks/kernel.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.bench import plots, report, rows
from tests.bench.catalogue import BENCHMARKS, chosen
from tests.bench.nodes import Effort
from tests.bench.rows import Row
from tests.bench.samples import NoSamples
from tests.lab.errors import STATUS_LAB_ERROR, LabError


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and write what was asked for. Returns 1 when a figure misses its target, 2 after a fault."""
    arguments = _parser().parse_args(argv)
    try:
        names = chosen(arguments.names)
        old = rows.load(arguments.json) if arguments.json else []
        if arguments.render:
            found: list[Row] = []
        else:
            found = [
                row
                for name in names
                for row in _measured(name, quick=arguments.quick, results=arguments.json)
            ]
        if arguments.json:
            _render(arguments.json, in_order(rows.merged(old, found)))
    except (LabError, NoSamples, ValueError) as err:
        print(f"bench: {err}", file=sys.stderr)
        return STATUS_LAB_ERROR
    sys.stdout.write(report.table(found or old))
    return 1 if any(row.holds is False or row.void for row in found) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.bench",
        description="Measures what Thermocline costs and is worth, as ratios, on nodes of the lab; needs root.",
        epilog="benchmarks: "
        + "; ".join(f"{name}: {each.question.splitlines()[0]}" for name, each in BENCHMARKS.items()),
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="benchmarks or their groups; all when none is named"
    )
    parser.add_argument("--quick", action="store_true", help="one boot, few rounds: to see that it works")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="put the rows into this file, and draw and write what is beside it",
    )
    parser.add_argument(
        "--render", action="store_true", help="measure nothing: only draw and write from what --json FILE has"
    )
    return parser


def _measured(name: str, *, quick: bool, results: Path | None) -> list[Row]:
    """The rows of one benchmark; they are in the result file before the next one starts."""
    found = BENCHMARKS[name].measure(Effort.quick() if quick else Effort())
    command = f"python3 -m tests.bench {name}{' --quick' if quick else ''}"
    measured_with = BENCHMARKS[name].measured_with()
    done = [replace(row, command=command, versions=measured_with) for row in found]
    if results is not None:
        results.write_text(rows.as_json(rows.merged(rows.load(results), done)))
    return done


def in_order(found: Sequence[Row]) -> list[Row]:
    """Rows in the order of the benchmarks, whichever of them ran last; those of none that there is, at the end."""
    names = list(BENCHMARKS)

    def place(row: Row) -> int:
        name = row.command.removesuffix(" --quick").rpartition(" ")[2]
        return names.index(name) if name in names else len(names)

    return sorted(found, key=place)


def _render(results: Path, found: Sequence[Row]) -> None:
    results.write_text(rows.as_json(found))
    plots.draw(found, results)
    page = results.with_suffix(".md")
    if page.exists():
        report.update(page, found)
