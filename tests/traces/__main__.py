"""`python3 -m tests.traces`: make the traces and the figures that backtests of them give, beside this file."""

from __future__ import annotations

import json

from tests.traces import FIGURES, FOLDER, TRACES
from tests.traces.figures import figures
from thermocline_agent import trace_file


def main() -> None:
    """Write them; what they were says git."""
    for name, make in TRACES.items():
        with (FOLDER / f"{name}.npz").open("wb") as file:
            trace_file.write(make(), file)
            print(f"{file.name}: {file.tell() / 1024:.0f} KiB")
    FIGURES.write_text(json.dumps(figures(), indent=1) + "\n")


main()
