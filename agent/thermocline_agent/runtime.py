"""The agent's folder below /run: the lock that only one agent on a machine can have, and where its state stands."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

DEFAULT_FOLDER: Final = Path("/run/thermocline")


class AlreadyRunning(Exception):
    """Another agent has the machine; the message names its process."""


class Unwritable(Exception):
    """The folder cannot be used; the message says why."""


def feed_socket(folder: Path) -> Path:
    """Where devices' counters are pushed to."""
    return folder / "feed.sock"


def state_file(folder: Path) -> Path:
    """Where the last report stands."""
    return folder / "state.json"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Be the machine's agent. Raises AlreadyRunning, or Unwritable.

    The lock goes with the process, however that ends. Two agents would share DAMON and move each other's pages.
    """
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        file = os.open(_lock_file(folder), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as err:
        raise Unwritable(f"{folder} cannot be used: {err.strerror}; run the agent as root") from err
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            pid = os.read(file, 32).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunning(
                f"an agent runs on this machine already, as process {pid}: end it first, or ask it by `explain`, `heat`"
            ) from err
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(file)


def is_running(folder: Path) -> bool:
    """Whether an agent has the lock now."""
    try:
        file = os.open(_lock_file(folder), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _lock_file(folder: Path) -> Path:
    return folder / "agent.lock"
