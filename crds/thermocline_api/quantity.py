"""Kubernetes quantities: 100Mi, 1.5G, 100m, 2.

Source: apimachinery/pkg/api/resource, Kubernetes 1.36. Values are exact fractions here, not rounded up to 1n.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_SUFFIXES: Final = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 10**3), "": Fraction(1),
    "k": Fraction(10**3), "M": Fraction(10**6), "G": Fraction(10**9),
    "T": Fraction(10**12), "P": Fraction(10**15), "E": Fraction(10**18),
    "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30),
    "Ti": Fraction(2**40), "Pi": Fraction(2**50), "Ei": Fraction(2**60),
}  # fmt: skip
_BINARY: Final = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")
_FORM: Final = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))"
    r"(?:[eE](?P<exponent>[+-]?[0-9]+)|(?P<suffix>[numkMGTPE]|[KMGTPE]i|))"
)
# A larger exponent says no more than this one, and would take the whole memory.
_LARGEST_EXPONENT: Final = 100


def parse(value: int | str) -> Fraction:
    """The value of a quantity. Raises ValueError when it is none."""
    match = _FORM.fullmatch(str(value))
    if match is None:
        raise ValueError(f"{value!r} is no quantity: write one such as 100Mi, 2G or 100m")
    # Fraction knows no `1.`
    number = Fraction(match["number"].rstrip("."))
    if match["exponent"] is None:
        return number * _SUFFIXES[match["suffix"]]
    exponent = max(-_LARGEST_EXPONENT, min(_LARGEST_EXPONENT, int(match["exponent"])))
    return number * Fraction(10) ** exponent


def is_quantity(value: int | str) -> bool:
    """Whether the API server takes it for a quantity."""
    return _FORM.fullmatch(str(value)) is not None


def parse_bytes(value: int | str) -> int:
    """A quantity of bytes, a fraction of one rounded up. Raises ValueError."""
    return -(-parse(value) // 1)


def format_bytes(size_bytes: int) -> str:
    """The shortest whole quantity: 1Gi, 1536Mi, 1000."""
    for suffix in _BINARY:
        whole, rest = divmod(size_bytes, int(_SUFFIXES[suffix]))
        if whole and not rest:
            return f"{whole}{suffix}"
    return str(size_bytes)


def format_cores(cores: float) -> str:
    """CPU in whole cores where it is, else in thousandths: 2, 1500m."""
    thousandths = round(cores * 1000)
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)
