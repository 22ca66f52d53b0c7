"""The time that decisions are made by: the API server's, carried on by this machine's clock since boot.

So neither a wrong clock here nor one that jumps shortens a soak.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


def since_boot() -> float:
    """Seconds on a clock that nobody sets, and that goes on while a machine sleeps, as leases do."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class Clock:
    """Tells the time, once it was set."""

    monotonic: Callable[[], float] = since_boot
    _set_to: datetime = field(default_factory=lambda: datetime.now(UTC))
    _set_at: float = field(default_factory=since_boot)

    def set(self, now: datetime) -> None:
        """Learn what time it is."""
        self._set_to, self._set_at = now, self.monotonic()

    def now(self) -> datetime:
        """The time."""
        return self._set_to + timedelta(seconds=self.monotonic() - self._set_at)
