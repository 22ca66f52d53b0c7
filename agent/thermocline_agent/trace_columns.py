"""The runs of a trace as columns: arrays, each of which has all rounds one behind the other. See trace_file.py. Pure.

A run begins `skip` frames after the one before it in its round ended. Numbers are unsigned, and as narrow as they can
be.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from thermocline_agent.extent import I64, U8
from thermocline_agent.trace import Runs, Trace

COLUMNS: Final = {
    "changed": ("skip", "pages", "owner", "order"),
    "covered": ("skip", "pages"),
    "counts": ("skip", "pages", "count"),
}
# What no trace of a real machine needs; a file that says so would only fill the reader's memory: 4 TiB.
MOST_FRAMES: Final = 1 << 30


def tables(trace: Trace) -> dict[str, Sequence[I64]]:
    """All rounds' runs, by table, in the order of COLUMNS."""
    moments = trace.moments
    return {
        "changed": (
            *_placed([each.changed for each in moments]),
            _all([each.changed.value for each in moments]),
            _all([each.order.astype(np.int64) for each in moments]),
        ),
        "covered": _placed([each.covered for each in moments]),
        "counts": (
            *_placed([each.counts for each in moments]),
            _all([each.counts.value for each in moments]),
        ),
    }


def _placed(rounds: Sequence[Runs]) -> tuple[I64, I64]:
    """Skips and lengths."""
    skips = [each.first - np.concatenate(([0], (each.first + each.pages)[:-1])) for each in rounds]
    return _all([skip[: len(each.first)] for skip, each in zip(skips, rounds, strict=True)]), _all(
        [each.pages for each in rounds]
    )


def _all(columns: Sequence[I64]) -> I64:
    return np.concatenate([np.zeros(0, dtype=np.int64), *columns])


def written(column: I64) -> bytes:
    """A column as numpy writes it."""
    content = io.BytesIO()
    narrow = column.astype(np.min_scalar_type(int(column.max(initial=0))))
    np.lib.format.write_array(content, narrow, version=(1, 0), allow_pickle=False)
    return content.getvalue()


class Columns:
    """The arrays, read a round at a time from the front."""

    def __init__(self, member: Callable[[str], bytes]) -> None:
        """`member`: the content of one of the file's members, by its name."""
        self._member = member
        self._left: dict[str, Iterator[I64]] = {}

    def begin(self, table: str, runs: Sequence[Any]) -> None:
        """Each round has so many runs."""
        if any(not isinstance(each, int) or each < 0 for each in runs):
            raise ValueError("a round's number of runs is none")
        for name in COLUMNS[table]:
            column = self._column(f"{table}_{name}.npy", sum(runs))
            self._left[f"{table}_{name}"] = iter(np.split(column, np.cumsum(runs)[:-1]))

    def next(self, table: str, name: str) -> I64:
        """The next round's."""
        return next(self._left[f"{table}_{name}"])

    def orders(self) -> U8:
        """The next round's orders; what is more than a byte holds is 255, which no folio has."""
        found: U8 = np.minimum(self.next("changed", "order"), 255).astype(np.uint8)
        return found

    def runs(self, table: str, value: str | None) -> Runs:
        """The next round's runs."""
        skip, pages = self.next(table, "skip"), self.next(table, "pages")
        first = np.cumsum(skip) + np.cumsum(pages) - pages
        return Runs(
            first, pages, np.ones(len(pages), dtype=np.int64) if value is None else self.next(table, value)
        )

    def _column(self, name: str, runs: int) -> I64:
        content = io.BytesIO(self._member(name))
        if np.lib.format.read_magic(content) != (1, 0):
            raise ValueError(f"{name} is an array of another version")
        shape, _, dtype = np.lib.format.read_array_header_1_0(content)
        if dtype.kind != "u" or shape != (runs,):
            raise ValueError(f"{name} does not have {runs} unsigned numbers")
        column = np.frombuffer(content.read(), dtype=dtype)
        if len(column) != runs:
            raise ValueError(f"{name} does not have {runs} unsigned numbers")
        if int(column.max(initial=0)) > MOST_FRAMES:
            raise ValueError(f"{name} has numbers above 2^30")
        return column.astype(np.int64)
