"""Curves of a result file, as SVG: drawn from the rows alone, so that a plot never says what the file does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.rows import Row


def numbered(rows: Sequence[Row], prefix: str) -> list[tuple[int, Row]]:
    """The rows of metric PREFIX_NUMBER that have a value, by number."""
    found = [
        (int(match[1]), row)
        for row in rows
        if (match := re.fullmatch(rf"{prefix}_([0-9]+)", row.metric)) and row.value is not None
    ]
    return sorted(found, key=lambda pair: pair[0])


def _move_tax(axes: Axes, rows: Sequence[Row]) -> None:
    for prefix, label in (("move_tax", "move"), ("query_tax", "query")):
        found = numbered(rows, prefix)
        if found:
            axes.plot([n for n, _ in found], [row.value or 0 for _, row in found], marker="o", label=label)
    targets = [
        (n, float(row.target.split()[1])) for n, row in numbered(rows, "move_tax") if row.target is not None
    ]
    if targets:
        axes.plot(
            [n for n, _ in targets],
            [bound for _, bound in targets],
            "k_",
            markersize=12,
            label="target of move",
        )
    axes.axhline(1, color="grey", linewidth=0.8)
    _named_places(axes, [n for n, _ in numbered(rows, "move_tax")])
    axes.set_ylim(bottom=0)
    axes.set(title="Instructions a page, ours / move_pages(2)", xlabel="pages a call")


def _translation(axes: Axes, rows: Sequence[Row]) -> None:
    found = numbered(rows, "translation_saved")
    # Large where much is mapped: a logarithmic axis would hide that it grows with it.
    axes.plot(
        [row.arms["mapped MiB"] / 1024 for _, row in found], [row.value or 0 for _, row in found], "C0o-"
    )
    targets = [
        (row.arms["mapped MiB"] / 1024, float(row.target.split()[1]))
        for _, row in found
        if row.target is not None
    ]
    axes.plot([x for x, _ in targets], [bound for _, bound in targets], "k_", markersize=12, label="target")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set(title="512 pages: (reverse map + move_pages(2)) / ours", xlabel="mapped memory, GiB")


def _mappers(axes: Axes, rows: Sequence[Row]) -> None:
    found = numbered(rows, "mapped_pages")
    for arm in ("move_phy_pages", "move_pages"):
        if found:
            axes.plot([n for n, _ in found], [row.arms[arm] for _, row in found], marker="o", label=arm)
    _named_places(axes, [n for n, _ in found])
    axes.set_ylim(bottom=0)
    axes.set(title="Instructions a page", xlabel="processes that map it")


def _named_places(axes: Axes, places: Sequence[float]) -> None:
    """A logarithmic axis that names the places where something was measured."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(places, labels=[f"{place:.3g}" if place < 1000 else f"{place:.0f}" for place in places])


# By the end of the file's name, the prefix that must have rows, and what is drawn.
PLOTS: Final = MappingProxyType(
    {"move_tax": _move_tax, "translation_saved": _translation, "mapped_pages": _mappers}
)


def draw(rows: Sequence[Row], results: Path) -> list[Path]:
    """Write the plots that these rows give beside the result file, RESULTS-NAME.svg; returns their paths."""
    written = []
    for name, plot in PLOTS.items():
        if numbered(rows, name):
            path = results.with_name(f"{results.stem}-{name}.svg")
            _draw(plot, rows, path)
            written.append(path)
    return written


def _draw(plot: Callable[[Axes, Sequence[Row]], None], rows: Sequence[Row], path: Path) -> None:
    # Text stays text, and the same rows make the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "thermocline", "font.size": 9}):
        figure = Figure(figsize=(6, 3.4), layout="constrained")
        axes = figure.add_subplot()
        plot(axes, rows)
        axes.grid(visible=True, linewidth=0.3)
        axes.legend()
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
