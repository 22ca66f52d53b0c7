"""What rules across fields are made of: pairs of an expression of CEL and a function that says the same.

As an expression must not be an error for a value of the right type that breaks another rule, its function
must not raise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Final

from thermocline_api import duration, quantity, ratio

Twin = Callable[[Any], bool]
Pair = tuple[str, Twin]
Scalar = int | str

DURATION: Final = "'^([0-9]{1,5}([.][0-9]{1,3})?(ms|s|m|h))+$'"
PERCENT: Final = "'^(100|[1-9]?[0-9])%$'"
PORTION: Final = "'^(100|[1-9][0-9]?)%$'"
COUNT: Final = "'^[1-9][0-9]{0,4}$'"
BASIS_POINTS: Final = "'^([1-9][0-9]{0,3}|10000)bp$'"
LABEL_KEY: Final = "'^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$'"
LABEL_VALUE: Final = "'^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$'"
LONGEST_KEY: Final = 316


def form_of(literal: str) -> re.Pattern[str]:
    """The pattern of a CEL string that is anchored at both ends."""
    return re.compile(literal.removeprefix("'^").removesuffix("$'"), re.ASCII)


def matches_form(literal: str) -> Pair:
    """A text of a form."""
    form = form_of(literal)
    return f"self.matches({literal})", lambda text: form.fullmatch(text) is not None


def lasts(shortest: str | None, longest: str) -> Pair:
    """A duration within bounds, or from nothing."""
    least, most = duration.parse(shortest or "0s"), duration.parse(longest)
    above = f"duration(self) >= duration('{shortest}') && " if shortest else ""
    return (
        f"self.matches({DURATION}) && {above}duration(self) <= duration('{longest}')",
        lambda text: duration.is_duration(text) and least <= duration.parse(text) <= most,
    )


def ranges(least: str, most: str) -> str:
    """The expression that a quantity is within bounds."""
    return " && ".join(
        f"quantity(string(self)).compareTo(quantity('{bound}')) {sign} 0"
        for bound, sign in ((least, ">="), (most, "<="))
    )


def is_within(value: Scalar, least: str, most: str) -> bool:
    """Whether it is a quantity, and within bounds."""
    amount = quantity_of(value)
    return amount is not None and quantity.parse(least) <= amount <= quantity.parse(most)


def measures(least: str, most: str) -> Pair:
    """A quantity within bounds."""
    return (
        f"isQuantity(string(self)) && {ranges(least, most)}",
        lambda value: is_within(value, least, most),
    )


def measures_or_is_zero(least: str, most: str) -> Pair:
    """A quantity within bounds, or none of it."""
    return (
        (
            f"isQuantity(string(self)) && (quantity(string(self)).compareTo(quantity('0')) == 0"
            f" || ({ranges(least, most)}))"
        ),
        lambda value: is_within(value, least, most) or quantity_of(value) == 0,
    )


def shares(least: str, most: str) -> Pair:
    """A percentage, or a quantity within bounds."""
    return (
        f"string(self).matches({PERCENT}) || (isQuantity(string(self)) && {ranges(least, most)})",
        lambda value: ratio.is_percent(value) or is_within(value, least, most),
    )


def number_of(value: Scalar, form: re.Pattern[str]) -> int | None:
    """The number in a text of the form, without its unit; None for a text of another."""
    text = str(value)
    return int(text.removesuffix("%")) if form.fullmatch(text) else None


def quantity_of(value: Scalar) -> Fraction | None:
    """The value of a quantity; None for what is none."""
    return quantity.parse(value) if quantity.is_quantity(value) else None


def rises(small: str, large: str) -> Pair:
    """Two percentages, the first smaller."""
    form = form_of(PERCENT)

    def rises(value: Mapping[str, Any]) -> bool:
        one, other = number_of(value[small], form), number_of(value[large], form)
        return one is None or other is None or one < other

    return (
        (
            f"!self.{small}.matches({PERCENT}) || !self.{large}.matches({PERCENT})"
            f" || int(self.{small}.replace('%', '')) < int(self.{large}.replace('%', ''))"
        ),
        rises,
    )


def unless_absent(small: str, large: str, compare: Callable[[Scalar, Scalar], bool]) -> Twin:
    """Compares two fields where both are there."""
    return lambda value: small not in value or large not in value or compare(value[small], value[large])


def no_more(literal: str) -> Callable[[Scalar, Scalar], bool]:
    """Whether one number is at most the other, where both have the form."""
    form = form_of(literal)

    def no_more(one: Scalar, other: Scalar) -> bool:
        numbers = number_of(one, form), number_of(other, form)
        return numbers[0] is None or numbers[1] is None or numbers[0] <= numbers[1]

    return no_more


def no_larger(one: Scalar, other: Scalar) -> bool:
    """Whether one quantity is at most the other, where both are some."""
    amounts = quantity_of(one), quantity_of(other)
    return amounts[0] is None or amounts[1] is None or amounts[0] <= amounts[1]


def is_of_one_kind(one: Scalar, other: Scalar) -> bool:
    """Whether both are percentages, or neither."""
    return str(one).endswith("%") == str(other).endswith("%")


def is_unique(values: list[Any]) -> bool:
    """Whether no value is there twice."""
    return len(set(values)) == len(values)


def each_once(item: str, other: str) -> Pair:
    """A list of scalars without repetition; the names are those of the expression's variables."""
    return f"self.all({item}, self.exists_one({other}, {other} == {item}))", is_unique
