"""What the demo saw, as a table and as an SVG: drawn from the moments alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.demo.stage import Reading

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Moment:
    """What a node showed, so many seconds after the policy moved to Enforce; before that, the time is negative."""

    seconds: float
    node: str
    reading: Reading
    request_us: float | None


_COLUMNS: Final = (("NODE", -8), ("HOT VALUES IN DRAM", 18), ("REDIS DRAM + CXL", 20), ("BATCH DRAM + CXL", 20),
                   ("A REQUEST", 10))  # fmt: skip
HEAD: Final = f"{'TIME':>7}  " + " ".join(
    f"{name:<{-width}}" if width < 0 else f"{name:>{width}}" for name, width in _COLUMNS
)


def line(moment: Moment) -> str:
    """A moment, below HEAD."""
    reading = moment.reading
    request = "-" if moment.request_us is None else f"{moment.request_us:.0f} us"
    return (
        f"{moment.seconds:>6.0f}s  {moment.node:8} {reading.hot:>18.1%} {_amounts(reading.redis):>20} "
        f"{_amounts(reading.batch):>20} {request:>10}"
    )


def table(moments: Sequence[Moment]) -> list[str]:
    """Each node before its pages moved and at the end."""
    lines = [
        f"{'':8} {'':7} {'HOT VALUES IN DRAM':>18} {'BATCH IN DRAM':>14} {'A REQUEST':>10} {'PAGES MOVED':>12}"
    ]
    for node in dict.fromkeys(moment.node for moment in moments):
        own = [moment for moment in moments if moment.node == node]
        before = [moment for moment in own if moment.seconds <= 0]
        first, last = before[0], own[-1]
        for name, part in (("before", before), ("after", own[-3:])):
            end = part[-1]
            asked = sorted(each.request_us for each in part if each.request_us is not None)
            request = f"{asked[len(asked) // 2]:.0f} us" if asked else "-"
            moved = (
                end.reading.counters["pgmigrate_success"] - first.reading.counters["pgmigrate_success"]
                if part is not before
                else 0
            )
            lines.append(
                f"{node:8} {name:7} {end.reading.hot:>18.1%} {end.reading.batch_share:>14.1%} {request:>10} {moved:>12}"
            )
        lines.append(f"{node:8} {_milestones(own)}")
        call = last.reading.counters.get("move_phy_pages_success")
        if call is not None:
            lines.append(
                f"{node:8} {call - first.reading.counters['move_phy_pages_success']} of them by move_phy_pages(2)"
            )
    return lines


def _milestones(own: Sequence[Moment]) -> str:
    """When the first page had moved, and when nine of ten hot values were in DRAM."""
    moved = own[0].reading.counters["pgmigrate_success"]
    after = [moment for moment in own if moment.seconds > 0]
    began = [m.seconds for m in after if m.reading.counters["pgmigrate_success"] > moved]
    arrived = [m.seconds for m in after if m.reading.hot >= 0.9]
    return f"first page moved: {_within(began)}, 90 % of hot values in DRAM: {_within(arrived)}"


def _within(seconds: Sequence[float]) -> str:
    return f"within {seconds[0]:.0f} s" if seconds else "never"


def draw(moments: Sequence[Moment], path: Path) -> None:
    """Write the SVG."""
    with mpl.rc_context({"svg.hashsalt": "demo", "font.size": 9}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        shares, requests = figure.subplots(2, 1, sharex=True)
        for number, node in enumerate(dict.fromkeys(moment.node for moment in moments)):
            own = [moment for moment in moments if moment.node == node]
            shares.plot([m.seconds for m in own], [100 * m.reading.hot for m in own], f"C{number}",
                        label=f"{node}: redis' hot values")  # fmt: skip
            shares.plot([m.seconds for m in own], [100 * m.reading.batch_share for m in own], f"C{number}--",
                        label=f"{node}: batch job")  # fmt: skip
            asked = [(m.seconds, m.request_us) for m in own if m.request_us is not None]
            requests.plot([at for at, _ in asked], [us for _, us in asked], f"C{number}", label=node)
        for axes in (shares, requests):
            axes.axvline(0, color="grey", linewidth=0.8)
            axes.legend(loc="best", fontsize=8)
        shares.set(ylabel="% in DRAM", ylim=(-2, 102), title="Emulated nodes; Enforce begins at 0 s")
        requests.set(ylabel="a request, us", yscale="log", xlabel="seconds")
        figure.savefig(path, format="svg", metadata={"Date": None})


def _amounts(amounts: tuple[int, int]) -> str:
    return " + ".join(f"{amount / _MIB:.1f}" for amount in amounts) + " MiB"
