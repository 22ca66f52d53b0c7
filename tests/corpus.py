"""The corpus of manifests, crds/corpus: what the API takes, and what it does not, with the sentences that it says.

Each document of invalid/ begins with comments: `# expect: FIELD: MESSAGE` for each problem, and `# judged: status`
where the status is meant, which only its own subresource takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.commands import CHECKOUT
from thermocline_agent import manifest

CORPUS = CHECKOUT / "crds/corpus"
EXAMPLES = sorted((CHECKOUT / "docs/examples").glob("*.yaml"))


@dataclass(frozen=True, slots=True)
class Case:
    """A document: its text, what it means, and what is expected of it."""

    path: Path
    text: str
    value: dict[str, Any]
    expected: frozenset[str]
    is_status: bool

    @property
    def kind(self) -> str:
        """Its kind."""
        kind: str = self.value["kind"]
        return kind

    def __str__(self) -> str:
        return f"{self.path.stem}-{self.value['metadata'].get('name', 'nameless')[:60]}"


def valid() -> list[Case]:
    """What is valid, the examples among it."""
    return [case for path in [*sorted((CORPUS / "valid").glob("*.yaml")), *EXAMPLES] for case in cases(path)]


def invalid() -> list[Case]:
    """What is not."""
    return [case for path in sorted((CORPUS / "invalid").glob("*.yaml")) for case in cases(path)]


def cases(path: Path) -> Iterator[Case]:
    """The documents of a file."""
    for text in re.split(r"^---\n", path.read_text(), flags=re.MULTILINE):
        (document,) = manifest.documents(text)
        expected = frozenset(re.findall(r"^# expect: (.*)$", text, re.MULTILINE))
        yield Case(path, text, document.value, expected, "\n# judged: status\n" in f"\n{text}")
