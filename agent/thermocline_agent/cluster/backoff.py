"""When to ask an API server again that refused, or did not answer. Pure.

Thousands of agents lose one API server in the same moment: none comes back at a time that others come back at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_FIRST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 60.0
# A server that names a longer pause is not obeyed for longer.
_LONGEST_PAUSE_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often in a row it failed."""

    failures: int = 0

    def failed(self) -> Backoff:
        """Once more."""
        return Backoff(min(self.failures + 1, 16))

    def pause_seconds(self, chance: float, asked_for: float | None = None) -> float:
        """How long to wait. `chance` lies between 0 and 1, and is another each time; `asked_for` is Retry-After.

        What the server asks for is waited for at least, and up to twice as long.
        """
        if self.failures == 0:
            return 0.0
        pause = min(MOST_SECONDS, _FIRST_SECONDS * 2.0 ** (self.failures - 1)) * (0.5 + chance / 2)
        if asked_for is None:
            return pause
        return max(pause, min(asked_for, _LONGEST_PAUSE_SECONDS) * (1 + chance))
