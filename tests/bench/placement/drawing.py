"""The fast hits of every arm by interval, a plot for each workload, drawn from runs alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.bench.placement.arms import ARMS
from tests.bench.placement.figures import Match, matches
from tests.bench.placement.runs import Run
from tests.bench.placement.workloads import WARM_UP

_REFERENCES: Final = MappingProxyType({"none": "k:", "oracle": "k--"})


def draw(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Write placement-WORKLOAD.svg, of the first seed of each; returns their paths."""
    written = []
    for name, found in matches(runs).items():
        path = folder / f"placement-{name}.svg"
        _draw(found[0], path)
        written.append(path)
    return written


def _draw(match: Match, path: Path) -> None:
    # Text stays text, and the same runs make the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "thermocline", "font.size": 9}):
        figure = Figure(figsize=(6, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for arm, score in match.scores.items():
            if arm not in _REFERENCES and (ARMS[arm].repeats or not ARMS[arm].moves_pages):
                continue
            style = _REFERENCES.get(arm, "o-")
            axes.plot(range(1, len(score.hits) + 1), score.hits, style, markersize=3, label=arm)
        axes.axvline(WARM_UP + 0.5, color="grey", linewidth=0.8)
        axes.set_ylim(bottom=0, top=1)
        axes.set(title=f"{match.workload.name}: accesses that fast memory serves", xlabel="interval of 10 s")
        axes.grid(visible=True, linewidth=0.3)
        axes.legend(fontsize=7)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
