"""Shares of a whole without floats: percentages (8%) and basis points (10bp, hundredths of a percent)."""

from __future__ import annotations

import re
from typing import Final

_PERCENT: Final = re.compile(r"(100|[1-9]?[0-9])%")
_BASIS_POINTS: Final = re.compile(r"([1-9][0-9]{0,3}|10000)bp")


def is_percent(value: int | str) -> bool:
    """Whether it is a whole percentage from 0% to 100%."""
    return _PERCENT.fullmatch(str(value)) is not None


def parse_percent(text: str) -> int:
    """0 to 100. Raises ValueError."""
    if (match := _PERCENT.fullmatch(text)) is None:
        raise ValueError(f"{text!r} is no percentage: write one from 0% to 100%")
    return int(match[1])


def format_percent(percent: int) -> str:
    """A percentage as the API writes it."""
    return f"{percent}%"


def is_basis_points(text: str) -> bool:
    """Whether they are basis points from 1bp to 10000bp."""
    return _BASIS_POINTS.fullmatch(text) is not None


def parse_basis_points(text: str) -> int:
    """1 to 10000. Raises ValueError."""
    if (match := _BASIS_POINTS.fullmatch(text)) is None:
        raise ValueError(f"{text!r} are no basis points: write some from 1bp to 10000bp")
    return int(match[1])


def format_basis_points(basis_points: int) -> str:
    """Basis points as the API writes them."""
    return f"{basis_points}bp"
