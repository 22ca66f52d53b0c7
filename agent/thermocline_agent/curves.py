"""Backtests as a picture: of each trace the fast hits of every policy over time, and below what it moved. SVG. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from xml.sax.saxutils import escape

from thermocline_agent.comparison import Comparison
from thermocline_agent.lines import percent, size

_LEFT, _WIDTH, _TOP, _HITS, _MOVES, _GAP = 64, 620, 44, 180, 70, 24
_PANEL: Final = _TOP + _HITS + _GAP + _MOVES + 40
# Readable for those who cannot tell red from green, and in print.
COLOURS: Final = ("#2166ac", "#b2182b", "#e08214", "#5e3c99")
_RECORDED: Final = "#777777"


def curves(found: Sequence[Comparison]) -> str:
    """The picture, a panel for each trace; as many policies as there are COLOURS at most."""
    height = sum(_PANEL + 18 * (len(each.rows) + 1) for each in found)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 20}" height="{height}">',
        '<g font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    top = 0
    for each in found:
        lines += [f'<g transform="translate(0 {top})">', *_panel(each), "</g>"]
        top += _PANEL + 18 * (len(each.rows) + 1)
    return "\n".join([*lines, "</g></svg>"]) + "\n"


def _panel(found: Comparison) -> Iterator[str]:
    at = [moment.seconds for moment in found.trace.moments]
    first, scale = at[0], _WIDTH / max(at[-1] - at[0], found.trace.interval_seconds)
    places = [_LEFT + (each - first) * scale for each in at]
    outcomes = [row.trial.outcome for row in found.rows]
    yield f'<text x="8" y="18" font-weight="bold">{escape(found.name)}</text>'
    yield '<text x="8" y="36">accesses that fast memory serves</text>'
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _hit(share)
        yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + _WIDTH}" y2="{y:.1f}" stroke="#dddddd"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * share:.0f} %</text>'
    # What is drawn later is thinner, so that it hides nothing.
    for number, (outcome, colour) in enumerate(zip(outcomes, COLOURS, strict=False)):
        yield from _curve(places, outcome.fast_hits, colour, 2 * (len(outcomes) - number))
    yield from _curve(places, outcomes[0].recorded_fast_hits, _RECORDED, 1.5, "5 3")
    yield from _moves(found, places)
    base = _TOP + _HITS + _GAP + _MOVES
    yield f'<text x="{_LEFT}" y="{base + 16}">0 s</text>'
    yield f'<text x="{_LEFT + _WIDTH}" y="{base + 16}" text-anchor="end">{at[-1] - first:g} s</text>'
    yield from _legend(found, base + 34)


def _hit(share: float) -> float:
    return _TOP + _HITS * (1 - share)


def _curve(
    places: Sequence[float], shares: Sequence[float | None], colour: str, width: float, dash: str = ""
) -> Iterator[str]:
    """A line that has a gap where nothing was accessed."""
    parts: list[list[str]] = [[]]
    for x, share in zip(places, shares, strict=True):
        if share is None:
            parts.append([])
        else:
            parts[-1].append(f"{x:.1f},{_hit(share):.1f}")
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    for part in filter(None, parts):
        # A single round is a point.
        points = " ".join(part if len(part) > 1 else part * 2)
        yield (
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linecap="round"'
            f"{dashed}/>"
        )


def _moves(found: Comparison, places: Sequence[float]) -> Iterator[str]:
    """Bars of what was moved in both directions, the policies of a round beside each other."""
    top = _TOP + _HITS + _GAP
    outcomes = [row.trial.outcome for row in found.rows]
    moved = [[up + down for up, down in zip(each.promoted, each.demoted, strict=True)] for each in outcomes]
    most = max(map(max, moved)) or 1
    yield f'<text x="8" y="{top - 6}">moved in a round, up to {size(most)}</text>'
    bottom = top + _MOVES
    yield f'<line x1="{_LEFT}" y1="{bottom}" x2="{_LEFT + _WIDTH}" y2="{bottom}" stroke="#333333"/>'
    width = max(1.0, min(12.0, _WIDTH / len(places) * 0.8 / len(moved)))
    inside = _WIDTH - width * len(moved)
    for number, (pages, colour) in enumerate(zip(moved, COLOURS, strict=False)):
        for x, count in zip(places, pages, strict=True):
            if count:
                height = count / most * _MOVES
                left = _LEFT + (x - _LEFT) * inside / _WIDTH + number * width
                yield (
                    f'<rect x="{left:.1f}" y="{bottom - height:.1f}" width="{width:.1f}" height="{height:.1f}" '
                    f'fill="{colour}"><title>{size(count)}</title></rect>'
                )


def _legend(found: Comparison, top: int) -> Iterator[str]:
    was = found.rows[0].trial.outcome.recorded_fast_hit
    told = [("as recorded", was, _RECORDED)]
    told += [
        (row.policy, row.trial.outcome.fast_hit, colour)
        for row, colour in zip(found.rows, COLOURS, strict=False)
    ]
    for number, (name, hit, colour) in enumerate(told):
        y = top + 18 * number
        yield f'<rect x="{_LEFT}" y="{y - 10}" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{_LEFT + 18}" y="{y}">{escape(name)}: {percent(hit)} of all accesses</text>'
