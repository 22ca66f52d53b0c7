"""pip, as this machine has it: it knows the way to the package index, and its configuration stays here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tests.lab import process
from tests.lab.errors import BuildFailed


def pip(words: Sequence[str | Path], log: Path) -> None:
    """Run `pip WORD…`. Raises BuildFailed."""
    try:
        process.run([sys.executable, "-m", "pip", words[0], "--quiet", *words[1:]], log=log)
    except BuildFailed as err:
        raise BuildFailed(
            "pip could not fetch what constraints.txt pins: "
            "check the network and `python3 -m pip config list`, then run it again",
            log,
        ) from err
