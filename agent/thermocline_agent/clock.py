"""Time, and the signals that a wait can end by. The one place where the agent waits."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from types import FrameType
from typing import Final, Protocol

_END: Final = (signal.SIGTERM, signal.SIGINT)
_RELOAD: Final = signal.SIGHUP


class Woken(Enum):
    """Why a wait is over."""

    ELAPSED = "elapsed"
    RELOAD = "reload"
    END = "end"


class Ended(Exception):
    """The agent was told to end in the middle of something that is of no use unless it is finished."""


class Clock(Protocol):
    """What the loop knows of time."""

    def monotonic(self) -> float:
        """Seconds; never goes back, and stands still while the machine sleeps."""

    def now(self) -> datetime:
        """The time of day, in UTC."""

    def wait(self, seconds: float) -> Woken:
        """Wait so long, or until something is asked of the agent."""

    def ending(self) -> bool:
        """Whether the agent was told to end: looked at between the batches of a round."""

    def interruptible(self) -> AbstractContextManager[None]:
        """For what may be left at any point: raises Ended there, as soon as the agent is told to end."""


@dataclass(slots=True)
class SystemClock:
    """The machine's. `wake` is a pipe's end that has a byte to read once a signal has come."""

    wake: int
    told_to_end: bool = False
    told_to_reload: bool = False
    _raising: bool = False

    def monotonic(self) -> float:
        """See Clock."""
        return time.monotonic()

    def now(self) -> datetime:
        """See Clock."""
        return datetime.now(UTC)

    def wait(self, seconds: float) -> Woken:
        """See Clock."""
        due = time.monotonic() + seconds
        while True:
            if self.told_to_end:
                return Woken.END
            if self.told_to_reload:
                self.told_to_reload = False
                return Woken.RELOAD
            left = due - time.monotonic()
            if left <= 0:
                return Woken.ELAPSED
            if select.select([self.wake], [], [], left)[0]:
                os.read(self.wake, 64)

    def ending(self) -> bool:
        """See Clock."""
        return self.told_to_end

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """See Clock. A scan of a large memory under load takes longer than whoever ended the agent should wait."""
        self._raising = True
        try:
            if self.told_to_end:
                raise Ended
            yield
        finally:
            self._raising = False

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Note a signal: what it asks for is done between two batches, or two rounds. Raises Ended where it may."""
        if number == _RELOAD:
            self.told_to_reload = True
            return
        self.told_to_end = True
        if self._raising:
            self._raising = False
            raise Ended


@contextmanager
def signals_taken() -> Iterator[SystemClock]:
    """A clock that takes SIGTERM, SIGINT and SIGHUP, so that none of them ends the process in the middle of a batch.

    Blocking them would not do: a library's thread, started before, could be handed one and end the process.
    """
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    clock = SystemClock(reader)
    before = {number: signal.signal(number, clock.handle) for number in (*_END, _RELOAD)}
    old_writer = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield clock
    finally:
        signal.set_wakeup_fd(old_writer)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
