"""Quantities, durations, percentages and basis points."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermocline_api import duration, quantity, ratio

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("100Mi", 100 * MIB), ("1.5Gi", 1536 * MIB), ("2G", 2 * 10**9), ("1E3", 1000), ("1E", 10**18),
        ("1e-3", Fraction(1, 1000)), ("100m", Fraction(1, 10)), ("+1k", 1000), ("-1", -1), (".5", Fraction(1, 2)),
        ("5.", 5), ("1.Ki", 1024), ("007", 7), ("1n", Fraction(1, 10**9)), (7, 7), ("3Ei", 3 * 2**60),
    ],
)  # fmt: skip
def test_a_quantity_has_its_value(text: int | str, value: int | Fraction) -> None:
    assert quantity.is_quantity(text)
    assert quantity.parse(text) == value


@pytest.mark.parametrize(
    "text", ["", "Mi", "1K", "1 Mi", "1MiB", "1e", "1.2.3", "--1", "1mi", "10%", ".", "1e1.5", "1\n"]
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    assert not quantity.is_quantity(text)
    with pytest.raises(ValueError, match="write one such as 100Mi"):
        quantity.parse(text)


def test_an_exponent_beyond_all_measure_takes_no_time() -> None:
    assert quantity.parse("1e999999999999999999") > quantity.parse("100Ei")
    assert 0 < quantity.parse("1e-999999999999999999") < quantity.parse("1n")


def test_bytes_are_rounded_up() -> None:
    assert quantity.parse_bytes("1500m") == 2
    assert quantity.parse_bytes("1Ki") == 1024


@given(st.integers(min_value=0, max_value=2**62))
def test_bytes_are_written_as_they_are_read(size_bytes: int) -> None:
    assert quantity.parse_bytes(quantity.format_bytes(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(0, "0"), (1000, "1000"), (1024, "1Ki"), (1536 * MIB, "1536Mi"), (2**40, "1Ti")]
)
def test_bytes_are_written_short(size_bytes: int, text: str) -> None:
    assert quantity.format_bytes(size_bytes) == text


@pytest.mark.parametrize(("cores", "text"), [(0.1, "100m"), (2.0, "2"), (1.5, "1500m")])
def test_cores(cores: float, text: str) -> None:
    assert quantity.format_cores(cores) == text
    assert float(quantity.parse(text)) == cores


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10.0), ("1m30s", 90.0), ("1.5h", 5400.0), ("500ms", 0.5), ("0s", 0.0), ("1h1m1s1ms", 3661.001)],
)
def test_a_duration_has_its_length(text: str, seconds: float) -> None:
    assert duration.parse_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "s", "1d", "-1s", "+1s", "1 s", "1us", "100000s", "1s\n", "1.s", "٣s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    assert not duration.is_duration(text)
    with pytest.raises(ValueError, match="write one such as 10s"):
        duration.parse(text)


@given(st.integers(min_value=0, max_value=10**8))
def test_durations_are_written_as_they_are_read(thousandths: int) -> None:
    seconds = thousandths / 1000
    assert duration.parse_seconds(duration.format_seconds(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0s"), (600.0, "10m"), (90.0, "1m30s"), (3600.5, "1h500ms")]
)
def test_durations_are_written_short(seconds: float, text: str) -> None:
    assert duration.format_seconds(seconds) == text


@given(st.integers(min_value=0, max_value=100))
def test_percentages(percent: int) -> None:
    assert ratio.parse_percent(ratio.format_percent(percent)) == percent


@pytest.mark.parametrize("text", ["", "%", "101%", "08%", "8", "8.5%", "-1%", "8 %", "8%\n"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    assert not ratio.is_percent(text)
    with pytest.raises(ValueError, match="from 0% to 100%"):
        ratio.parse_percent(text)


@given(st.integers(min_value=1, max_value=10_000))
def test_basis_points(basis_points: int) -> None:
    assert ratio.parse_basis_points(ratio.format_basis_points(basis_points)) == basis_points


@pytest.mark.parametrize("text", ["", "bp", "0bp", "10001bp", "10", "1%", "010bp"])
def test_what_are_no_basis_points_is_refused(text: str) -> None:
    assert not ratio.is_basis_points(text)
    with pytest.raises(ValueError, match="from 1bp to 10000bp"):
        ratio.parse_basis_points(text)
