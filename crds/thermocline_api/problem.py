"""What is wrong with a manifest, in the API server's words."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `field` is a path such as spec.rules[0].name; empty for the whole manifest.

    `message` is, word for word, that of a cause in the API server's answer. `keyword` is what of the schema
    found it: maximum, enum, …, or the text of a rule's expression.
    """

    field: str
    message: str
    keyword: str = dataclasses.field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidManifest(Exception):
    """A manifest that the API server would reject, or that was written past it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))
