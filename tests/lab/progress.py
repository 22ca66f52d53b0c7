"""One line at a time about a part that is being built, on standard error."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

EVERY_SECONDS = 30


def say(line: str) -> None:
    """Tell the person who waits."""
    # One write: two parts are built at once.
    sys.stderr.write(f"lab: {line}\n")


@contextmanager
def reporting(name: str, expected_seconds: int) -> Iterator[None]:
    """Report that `name` starts, every half a minute that it goes on, and that it is done."""
    started = time.monotonic()
    ended = threading.Event()

    def report() -> None:
        while not ended.wait(EVERY_SECONDS):
            say(f"{name}: building, {_clock(time.monotonic() - started)} of about {_clock(expected_seconds)}")

    say(f"{name}: building, about {_clock(expected_seconds)}")
    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield
        say(f"{name}: built in {_clock(time.monotonic() - started)}")
    finally:
        ended.set()
        reporter.join()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
