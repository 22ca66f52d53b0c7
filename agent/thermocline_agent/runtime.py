"""The agent's folder below /run: the lock that only one agent on a machine can have, and where its state stands."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
def locked(folder: Path, *, kept: bool = True) -> Iterator[None]:
    """Be the machine's agent. Raises AlreadyRunning, or Unwritable.

    The lock goes with the process, however that ends. Two agents would share DAMON and move each other's pages. What
    stands in the folder is kept for `explain`, or else removed in the end, as by an agent that goes with its pod.
    """
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        file = _taken(_lock_file(folder))
    except OSError as err:
        raise Unwritable(f"{folder} cannot be used: {err.strerror}; run the agent as root") from err
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        if not kept:
            # The lock's file last, and while it is held: who opened it before finds that it is no longer the one.
            for path in (state_file(folder), _lock_file(folder)):
                with suppress(OSError):
                    path.unlink(missing_ok=True)
        os.close(file)


def _taken(path: Path) -> int:
    """The lock's file, locked. Raises AlreadyRunning, OSError."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(file, path):
                return file
        except BlockingIOError as err:
            pid = os.read(file, 32).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise AlreadyRunning(
                f"an agent runs on this machine already, as process {pid}: end it first, or ask it by `explain`, `heat`"
            ) from err
        os.close(file)


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is still the one that stands there."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


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
