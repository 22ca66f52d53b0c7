"""docs/benchmarks/index.md, written from placement.jsonl and kernel.json and from nothing else; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from tests.bench import report
from tests.bench.placement import breakeven, change, figures, findings, method
from tests.bench.placement.arms import ARMS
from tests.bench.placement.figures import Match, arms_of, values
from tests.bench.placement.runs import Run
from tests.bench.placement.workloads import WORKLOADS
from tests.bench.rows import Row

_Of = Callable[[Match, str], float | None]
_COLUMNS: Final[Sequence[tuple[str, _Of, str]]] = (
    ("fast hits", lambda match, arm: match.scores[arm].fast_hits, ".3f"),
    ("capture", Match.capture, ".3f"),
    ("MiB", Match.fast_mib, ".1f"),
    ("choice", lambda match, arm: match.scores[arm].choice, ".3f"),
    ("at last", lambda match, arm: match.scores[arm].choice_at_last, ".3f"),
    ("moves", Match.moves, ".2f"),
    ("ping-pong", Match.ping_pong, ".3f"),
    ("promotions", Match.promotions, ".2f"),
    ("adapts in", lambda match, arm: match.adapted(arm), ".0f"),
    ("throughput", Match.throughput, ".3f"),
    ("neighbour", Match.neighbour, ".3f"),
    ("its pace", Match.neighbour_pace, ".3f"),
    ("its pages", lambda match, arm: match.scores[arm].bystander, ",.0f"),
    ("stale", Match.staleness, ".4f"),
    ("mover's CPU", lambda match, arm: 100 * match.cpu(arm) if ARMS[arm].moves_pages else None, ".2f %"),
)


def page(runs: Sequence[Run], rows: Sequence[Row], kernel: Sequence[Row], before: Sequence[Run] = ()) -> str:
    """The report. `rows` are those that figures.rows() made of these runs, `kernel` those of kernel.json, if any;
    `before` see change.py.
    """
    found = figures.matches(runs)
    return "\n".join(
        (
            method.HEAD,
            "## What was found\n",
            findings.findings(found, kernel),
            findings.reading(found),
            *filter(None, (change.text(runs, before),)),
            "## Placement\n",
            *(_workload(name, each) for name, each in found.items()),
            "## The call against the alternatives\n",
            breakeven.text(kernel) if kernel else "Not measured here: `python3 -m tests.bench kernel`.\n",
            "## How placement is measured\n",
            method.METHOD,
            _table(("arm", "settings"), [(arm.name, arm.settings) for arm in ARMS.values()])
            + method.SETTINGS,
            "## What is missing, and what this does not show\n",
            findings.missing(found, list(WORKLOADS)) + method.LIMITS,
            "## All figures\n",
            report.markdown(rows),
            report.versions(rows),
        )
    )


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---"] * len(head), *lines))


def _workload(name: str, found: Sequence[Match]) -> str:
    what = found[0].workload.what
    head = ("arm", *(column for column, _, _ in _COLUMNS))
    return f"""\
### {name}

{what[0].upper() + what[1:]}.

{_table(head, [_line(found, arm) for arm in arms_of(found)])}
{_shares(found) if found[0].workload.shares else ""}
![{name}: accesses that fast memory serves, by interval](placement-{name}.svg)
"""


def _line(found: Sequence[Match], arm: str) -> list[str]:
    return [arm, *(_cell(values(found, arm, of), form) for _, of, form in _COLUMNS)]


def _cell(told: Sequence[float], form: str) -> str:
    """The median, and what lies around it."""
    if not told:
        return ""
    digits, _, unit = form.partition(" ")
    middle = f"{median(told):{digits}}"
    around = f" ({min(told):{digits}} to {max(told):{digits}})" if max(told) > min(told) else ""
    return f"{middle}{around}{' ' + unit if unit else ''}"


def _shares(found: Sequence[Match]) -> str:
    """What each of several programs has."""
    lines = []
    for arm in arms_of(found):
        having = [match for match in found if arm in match.scores]
        parts = [
            [match.scores[arm].fast_pages[group] / match.workload.entitled for match in having]
            for group in found[0].workload.programs
        ]
        lines.append(
            [arm, *(_cell(part, ".3f") for part in parts), _cell(values(found, arm, Match.fairness), ".3f")]
        )
    told = "What each has of fast memory, as a part of what is its own, and Jain's index of that:\n\n"
    return told + _table(["arm", *found[0].workload.programs, "fairness"], lines)
