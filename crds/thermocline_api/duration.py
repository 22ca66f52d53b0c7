"""Durations as Kubernetes writes them: 10s, 1m30s, 1.5h."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_UNITS: Final = {"h": Fraction(3600), "m": Fraction(60), "s": Fraction(1), "ms": Fraction(1, 1000)}
_PART: Final = r"([0-9]{1,5}(?:\.[0-9]{1,3})?)(ms|s|m|h)"
_FORM: Final = re.compile(f"(?:{_PART})+")


def parse(text: str) -> Fraction:
    """The duration in seconds, exactly. Raises ValueError for what the API does not take."""
    if not is_duration(text):
        raise ValueError(f"{text!r} is no duration: write one such as 10s or 1m30s")
    return sum((Fraction(number) * _UNITS[unit] for number, unit in re.findall(_PART, text)), Fraction())


def is_duration(text: str) -> bool:
    """Whether the text has the form that the API takes: a subset of Go's, without signs and smaller units."""
    return _FORM.fullmatch(text) is not None


def parse_seconds(text: str) -> float:
    """The duration in seconds. Raises ValueError."""
    return float(parse(text))


def format_seconds(seconds: float) -> str:
    """As Go would write it, but without zeros: 10s, 1m30s, 1h, 500ms; rounded to thousandths."""
    left = round(seconds * 1000)
    parts = []
    for unit, thousandths in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, thousandths)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
