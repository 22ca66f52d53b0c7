"""A process whose clock somebody sets while it runs: the time of day alone, as by date(1).

The clocks that nobody sets, CLOCK_MONOTONIC and CLOCK_BOOTTIME, go on as they do on such a machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


@dataclass(frozen=True, slots=True)
class SettableClock:
    """The clock of processes that have these `variables`; read afresh by each of them whenever it asks."""

    file: Path

    @property
    def variables(self) -> Mapping[str, str]:
        return {
            "LD_PRELOAD": _LIBRARY,
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, days: int) -> None:
        """So many days from what it is."""
        beside = self.file.with_suffix(".new")
        beside.write_text(f"{days:+d}d\n")
        beside.replace(self.file)
