"""Heat as a picture: a bar of each owner's pages in fast and in slow memory, by how hot they are. SVG. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from xml.sax.saxutils import escape

from thermocline_agent.lines import plain, size
from thermocline_agent.report import OwnerReport
from thermocline_agent.warmth import Warmth, warmth

_MOST: Final = 24
_LABEL, _WIDTH, _ROW, _TOP = 260, 420, 22, 52
# Readable for those who cannot tell red from green, and in print.
_COLOURS: Final = (("hot", "#b2182b"), ("warm", "#f4a582"), ("cold", "#92c5de"))


def drawing(owners: Sequence[OwnerReport], title: str) -> str:
    """The picture of those with most pages; fast memory to the left of the line, slow memory to the right."""
    shown = owners[:_MOST]
    height = _TOP + _ROW * max(1, len(shown)) + 34
    rows = [(each, warmth(each.fast_pages), warmth(each.slow_pages)) for each in shown]
    most = max((max(fast.pages, slow.pages) for _, fast, slow in rows), default=0) or 1
    scale = _WIDTH / 2 / most
    middle = _LABEL + _WIDTH // 2
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LABEL + _WIDTH + 20}" height="{height}">',
        '<g font-family="sans-serif" font-size="12">',
        f'<rect width="100%" height="100%" fill="#ffffff"/><text x="8" y="18">{escape(title)}</text>',
        f'<text x="{middle - 6}" y="40" text-anchor="end">fast memory</text>',
        f'<text x="{middle + 6}" y="40">slow memory</text>',
    ]
    for place, (each, fast, slow) in enumerate(rows):
        top = _TOP + place * _ROW
        name = f"{each.namespace}/{each.name}" if each.namespace else plain(each.path)
        lines.append(
            f'<text x="{_LABEL - 8}" y="{top + 14}" text-anchor="end">{escape(_shortened(name))}</text>'
        )
        lines += _bar(fast, middle, -scale, top)
        lines += _bar(slow, middle, scale, top)
    bottom = _TOP + _ROW * max(1, len(shown))
    lines.append(
        f'<line x1="{middle}" y1="{_TOP - 6}" x2="{middle}" y2="{bottom}" stroke="#333333" stroke-width="1"/>'
    )
    for place, (name, colour) in enumerate(_COLOURS):
        left = _LABEL + place * 70
        lines.append(f'<rect x="{left}" y="{bottom + 10}" width="12" height="12" fill="{colour}"/>')
        lines.append(f'<text x="{left + 18}" y="{bottom + 20}">{name}</text>')
    lines.append(
        f'<text x="{_LABEL + _WIDTH}" y="{bottom + 20}" text-anchor="end">half a width: {size(most)}</text>'
    )
    return "\n".join([*lines, "</g></svg>"]) + "\n"


def _bar(pages: Warmth, middle: int, scale: float, top: int) -> Iterator[str]:
    """What is hottest is next to the line."""
    at = float(middle)
    for (name, colour), count in zip(_COLOURS, (pages.hot, pages.warm, pages.cold), strict=True):
        width = count * scale
        left = at if scale > 0 else at + width
        if count:
            yield (
                f'<rect x="{left:.1f}" y="{top + 2}" width="{abs(width):.1f}" height="{_ROW - 6}" fill="{colour}">'
                f"<title>{name}: {size(count)}</title></rect>"
            )
        at += width


def _shortened(name: str) -> str:
    return name if len(name) <= 36 else f"…{name[-35:]}"
