"""What takes hours runs only when it is asked for, and of the rest the longest starts before what it would wait for."""

from __future__ import annotations

import os
import signal

import pytest

# Each of these takes minutes. Started last, one would run while the other process has nothing left to do.
LONGEST = (
    "tests/cluster/test_lab_cluster.py",
    "tests/vm/test_agent.py",
    "tests/cluster/test_lab_faults.py",
    "tests/vm/test_node.py",
    "tests/cluster/test_operator.py",
    "tests/vm/test_machine.py",
    "tests/cluster/test_agent_cluster.py",
)


def pytest_configure() -> None:
    """Let programs under test find a terminal's size and Ctrl-C as they do without us."""
    # The readline library tells children the size of our terminal, or a made-up one, by these.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    # A shell that starts this in the background has it ignore Ctrl-C, and so all its children.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave tests marked `long` out, unless -m has something to say about them; put the others into their order."""
    items.sort(key=lambda item: _rank(item.nodeid.partition("::")[0]))
    if "long" in config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def _rank(file: str) -> int:
    """The quick ones first, then the longest; within a rank files stay in the order of their names."""
    if file.startswith("tests/unit/"):
        return -1
    return LONGEST.index(file) if file in LONGEST else len(LONGEST)
