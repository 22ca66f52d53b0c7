"""Where built parts are kept: outside the checkout, keyed by the content of what they were built from.

    $THERMOCLINE_CACHE, else $XDG_CACHE_HOME/thermocline, else ~/.cache/thermocline
    ├── parts/NAME-KEY/     a finished part; it never changes
    ├── tmp/NAME-KEY/       a part being built; renamed into parts/ when it is whole
    ├── locks/NAME          held (flock) by whoever builds or sweeps that part
    ├── logs/NAME.log       what the tools printed, last build only
    ├── run/                 folders of running nodes, each locked by its lab
    ├── clusters/NAME/      a cluster's certificates, disks, logs and plan
    ├── users/               which checkout uses which parts (tests/lab/checkouts.py)
    └── go/, apt/            compilers' and apt's own caches, shared by parts

A build that is killed leaves something in tmp/ only; the next one sweeps it. The kernel drops the lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def default_root() -> Path:
    """The cache's folder, by the XDG base directory specification."""
    if named := os.environ.get("THERMOCLINE_CACHE"):
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "thermocline"


class Cache:
    """The parts below one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("parts", "tmp", "locks", "logs", "run"):
            (root / name).mkdir(parents=True, exist_ok=True)

    def path(self, name: str, key: str) -> Path:
        """Where the part is, once it is built."""
        return self.root / "parts" / f"{name}-{key}"

    def log(self, name: str) -> Path:
        """The log of the part's last build."""
        return self.root / "logs" / f"{name}.log"

    @contextmanager
    def locked(self, name: str, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the part's lock; `waiting` is called first when somebody else holds it."""
        with (self.root / "locks" / name).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def get(
        self,
        name: str,
        key: str,
        build: Callable[[Path], None],
        *,
        waiting: Callable[[], None] = lambda: None,
    ) -> Path:
        """The part's folder; when there is none, `build` fills a new one, which appears only when whole."""
        path = self.path(name, key)
        if not path.exists():
            with self.locked(name, waiting=waiting):
                if not path.exists():
                    self._sweep(name)
                    unfinished = self.root / "tmp" / path.name
                    unfinished.mkdir()
                    self.log(name).unlink(missing_ok=True)
                    try:
                        build(unfinished)
                    except BaseException:
                        self._sweep(name)
                        raise
                    unfinished.rename(path)
        os.utime(path)
        return path

    def entries(self) -> list[Path]:
        """The folders of all finished parts, by name."""
        return sorted((self.root / "parts").iterdir())

    def prune(self, keep: frozenset[Path]) -> list[Path]:
        """Remove every part that is not in `keep` and every left-over; returns what was removed."""
        gone = [path for path in self.entries() if path not in keep]
        for path in gone:
            with self.locked(part_name(path)):
                self._sweep(part_name(path))
                # It is gone at once, or whoever looks meanwhile would take half of it for the whole.
                path.rename(self.root / "tmp" / path.name)
        for name in {part_name(path) for path in (self.root / "tmp").iterdir()}:
            with self.locked(name):
                self._sweep(name)
        return gone

    def _sweep(self, name: str) -> None:
        for leftover in (self.root / "tmp").iterdir():
            if part_name(leftover) == name:
                remove_tree(leftover)


@contextmanager
def locked_folder(cache: Cache, name: str) -> Iterator[Path]:
    """A folder below run/ for as long as the block runs. Folders that a killed lab left are swept first."""
    run = cache.root / "run"
    with cache.locked("run"):
        for other in run.iterdir():
            _remove_unless_held(other)
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=run))
        lock = (folder / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    with lock:
        try:
            yield folder
        finally:
            with cache.locked("run"):
                remove_tree(folder)


def _remove_unless_held(folder: Path) -> None:
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        remove_tree(folder)


def part_name(path: Path) -> str:
    """kernel-debug of …/kernel-debug-0123456789abcdef."""
    return path.name.rpartition("-")[0]


def remove_tree(path: Path) -> None:
    """Remove a folder, read-only folders inside (the Go module cache) included."""
    for folder, _, _ in os.walk(path):
        Path(folder).chmod(0o700)
    shutil.rmtree(path)


def digest(*inputs: str | Path) -> str:
    """A key for what a part is built from: words, and files or whole folders by name, mode and content."""
    total = hashlib.sha256()
    for one in inputs:
        if isinstance(one, Path):
            for file in _files(one):
                total.update(
                    f"{file.relative_to(one.parent)}\0{bool(file.stat().st_mode & 0o111)}\0".encode()
                )
                total.update(hashlib.sha256(file.read_bytes()).digest())
        else:
            total.update(f"{one}\0".encode())
    return total.hexdigest()[:16]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
