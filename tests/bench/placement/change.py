"""What a change of the planner did in nodes: runs of before it, kept in placement-before.jsonl, beside those of now;
pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from tests.bench.placement.figures import MAIN, Match, matches
from tests.bench.placement.runs import Run

_COLUMNS: Final[Sequence[tuple[str, Callable[[Match], float], str]]] = (
    ("capture", lambda match: match.capture(MAIN), ".3f"),
    ("choice", lambda match: match.scores[MAIN].choice, ".3f"),
    ("MiB", lambda match: match.fast_mib(MAIN), ".1f"),
    ("moves", lambda match: match.moves(MAIN), ".2f"),
    ("ping-pong", lambda match: match.ping_pong(MAIN), ".3f"),
    ("adapts in", lambda match: match.adapted(MAIN), ".0f"),
    ("mover's CPU", lambda match: 100 * match.cpu(MAIN), ".2f"),
)

_TEXT: Final = f"""\
{MAIN}, by the planner that was ahead of the kernel's arms under zipf alone, and by the one of now, with the same seed:

"""

_WHAT: Final = """
What was changed, and why:

* A new owner's heat is a mean over as many rounds as it has been seen, and no longer over sixteen from the start, in
  which two rounds say next to nothing.
* In an owner's first three rounds, of the pages that are as hot as the last one that fits, none moves: there are more
  of them than room, and the next round tells them apart. Before, fast memory was filled with any of them in the first
  round, and much of it had to be exchanged.
* A page that has just come to fast memory makes way for a hotter one only when it is colder than its threshold beyond
  doubt; all others move when that pays on average. Before, the exchanges that put the first fill right counted as
  ping-pong, and the guard stopped all of them for a minute.
* When a hot set has moved, exchanges begin in the round in which that is seen, and not in the next.
* Minimums that are too many together shrink alike, and an owner below its minimum exchanges its own cold pages for its
  hot ones.
* Where memory is small enough for it, IdlePage looks at access bits four times in an interval, within `cpuLimit`; that
  is most of what its CPU grew by. On a large machine it looks once, as before: rows `start_…` of
  [the simulation](planner.md) have what placement is then.
"""


def text(found: Sequence[Run], before: Sequence[Run]) -> str:
    """A section of the report; nothing where there are no runs of before, or none of now with the same seeds."""
    keys = {run.key for run in before}
    others = [run for run in found if run.arm != MAIN]
    then = matches([*others, *before])
    now = matches([*others, *(run for run in found if run.key in keys)])
    lines = [
        f"| {name} | {when} | {' | '.join(f'{of(match):{form}}' for _, of, form in _COLUMNS)} |\n"
        for name, each in then.items()
        for old, new in zip(each, now.get(name, ()), strict=False)
        if MAIN in old.scores and MAIN in new.scores
        for when, match in (("before", old), ("now", new))
    ]
    if not lines:
        return ""
    head = ["workload", "planner", *(column for column, _, _ in _COLUMNS)]
    table = f"| {' | '.join(head)} |\n|{' --- |' * len(head)}\n{''.join(lines)}"
    return f"## Before and after\n\n{_TEXT}{table}{_WHAT}"
