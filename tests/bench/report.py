"""Rows for people: a table on the terminal, the same in a page between two marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bench.rows import Row

BEGIN: Final = "<!-- figures: begin; python3 -m tests.bench writes what follows -->"
END: Final = "<!-- figures: end -->"
HEAD: Final = ("metric", "value", "spread", "target", "holds", "limit", "arms")


def table(rows: Sequence[Row]) -> str:
    """Aligned columns."""
    lines = [HEAD[:-1], *(_cells(row)[:-1] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in lines
    )


def markdown(rows: Sequence[Row]) -> str:
    """A table of markdown, with the arms."""
    lines = [HEAD, tuple("---" for _ in HEAD), *(_cells(row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def number(value: float) -> str:
    """Three digits of what is small, whole numbers of what is large."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 0.1 else f"{value:.4g}"


def _cells(row: Row) -> tuple[str, ...]:
    value = "void" if row.value is None else number(row.value)
    unit = "" if row.unit == "ratio" else f" {row.unit}"
    spread = "" if row.spread is None else f"{number(row.spread[0])} to {number(row.spread[1])}"
    holds = {True: "yes", False: "**no**", None: ""}[row.holds]
    limit = "" if row.limit is None else number(row.limit)
    arms = ", ".join(f"{arm} {number(each)}" for arm, each in row.arms.items())
    return (row.metric, f"{value}{unit}", spread, row.target or "", holds, limit, arms)


def written_into(page: str, rows: Sequence[Row]) -> str:
    """The page with the table of these rows between its marks. Raises ValueError when it has no marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(
            f"the page has no place for figures: write {BEGIN!r} and {END!r} where they shall be"
        )
    return f"{before}{BEGIN}\n\n{markdown(rows)}\n{versions(rows)}\n{END}{after}"


def versions(rows: Sequence[Row]) -> str:
    """A line for each set of versions that figures were measured with."""
    sets = dict.fromkeys(tuple(sorted(row.versions.items())) for row in rows)
    return "".join(
        "Measured with " + ", ".join(f"{name} {version}" for name, version in each) + ".\n" for each in sets
    )


def update(page: Path, rows: Sequence[Row]) -> None:
    """Write the table into a page that is there."""
    page.write_text(written_into(page.read_text(), rows))
