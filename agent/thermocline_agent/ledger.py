"""What was moved since the agent started, and what was not: by owner, for reports. It decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np

from thermocline_agent.engines.engine import Result, Results
from thermocline_agent.moves import FIRST_PROMOTION, Moves, Reason

# What was not tried, or was not there any more, has not failed.
_NO_FAILURE: Final = frozenset({Result.MOVED, Result.NOT_ATTEMPTED, Result.GONE, Result.CHANGED})


@dataclass(slots=True)
class Tally:
    """Of one owner. `last_reasons` are pages by moves.Reason's names, in the last round that moved any."""

    promoted_pages: int = 0
    demoted_pages: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    last_moved_at: datetime | None = None
    last_reasons: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Ledger:
    """Of all. `owners` by their numbers; who is gone stays in the sums."""

    since: datetime
    promoted_pages: int = 0
    demoted_pages: int = 0
    failed_pages: int = 0
    results: Counter[str] = field(default_factory=Counter)
    owners: dict[int, Tally] = field(default_factory=dict)

    def enter(self, moves: Moves, results: Results, at: datetime) -> tuple[int, int]:
        """A round's moves and what became of them; pages promoted and demoted."""
        promoted = demoted = 0
        touched: set[int] = set()
        for owner, reason, result, pages in _summed(moves, results):
            tally = self.owners.setdefault(owner, Tally())
            self.results[result.name] += pages
            if result is Result.MOVED:
                if owner not in touched:
                    touched.add(owner)
                    tally.last_moved_at, tally.last_reasons = at, Counter()
                tally.last_reasons[reason.name] += pages
                if reason >= FIRST_PROMOTION:
                    promoted += pages
                    tally.promoted_pages += pages
                else:
                    demoted += pages
                    tally.demoted_pages += pages
            elif result not in _NO_FAILURE:
                self.failed_pages += pages
                tally.failed[result.name] += pages
        self.promoted_pages += promoted
        self.demoted_pages += demoted
        return promoted, demoted

    def forget(self, owners: Iterable[int]) -> None:
        """These numbers are others' from now on."""
        for owner in owners:
            self.owners.pop(owner, None)


def _summed(moves: Moves, results: Results) -> list[tuple[int, Reason, Result, int]]:
    keys = (moves.owner * 16 + moves.reason) * 16 + results
    found, places = np.unique(keys, return_inverse=True)
    sums = np.bincount(places, moves.pages, len(found)).astype(np.int64)
    return [
        (key >> 8, Reason(key >> 4 & 15), Result(key & 15), pages)
        for key, pages in zip(found.tolist(), sums.tolist(), strict=True)
    ]
