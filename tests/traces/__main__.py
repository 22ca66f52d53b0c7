"""`python3 -m tests.traces`: make the traces and the figures that backtests of them give, beside this file.

With `--node` the one of a node too, which is recorded in the lab, and no two are alike.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from tests.traces import FIGURES, FOLDER, TRACES
from tests.traces.figures import figures
from thermocline_agent import trace_file


def main() -> None:
    """Write them; what they were says git."""
    for name, make in TRACES.items():
        with (FOLDER / f"{name}.npz").open("wb") as file:
            trace_file.write(make(), file)
            print(f"{file.name}: {file.tell() / 1024:.0f} KiB")
    if "--node" in sys.argv[1:]:
        _record_node()
    FIGURES.write_text(json.dumps(figures(), indent=1) + "\n")


def _record_node() -> None:
    from tests.vm import test_agent, test_traces  # noqa: PLC0415 - what needs no lab imports nothing of it

    with tempfile.TemporaryDirectory() as name:
        test_agent.compile_programs(Path(name))
        ended = test_traces.recorded(Path(name), "-o", "/share/node.npz", rounds=12)
        print(ended["log"])
        shutil.copyfile(Path(name) / "node.npz", FOLDER / "node.npz")


main()
