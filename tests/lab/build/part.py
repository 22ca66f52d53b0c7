"""A part of the lab: what it is built from, and how.

A part's key is a digest of its inputs and of the keys of the parts that it needs, so a part is rebuilt
exactly when something that goes into it changes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import checkouts, process, progress
from tests.lab.cache import Cache, digest, locked_folder
from tests.lab.errors import LabError

CHECKOUT = Path(__file__).resolve().parents[3]
LAB = CHECKOUT / "tests" / "lab"


@dataclass(frozen=True)
class Part:
    """One part. `inputs` are words and paths whose content the part depends on; `needs` are parts' names.

    `build(workshop, into)` fills the new folder `into`; it runs its tools by process.run with the log
    `workshop.log(name)`. `expected_seconds` is what it took on 2 cores, for the person who waits, and
    `room_mib` what it took of the disk at its largest, compilers' caches included.
    A part that is not `asked` is built for others only and has no name on the command line.
    """

    name: str
    expected_seconds: int
    inputs: Callable[[], Iterable[str | Path]]
    build: Callable[[Workshop, Path], None]
    needs: tuple[str, ...] = ()
    asked: bool = True
    room_mib: int = 512


class Workshop:
    """Builds parts into a cache, two at a time: one downloads or links while the other compiles."""

    def __init__(self, cache: Cache, parts: Mapping[str, Part]) -> None:
        self.cache = cache
        self.parts = parts
        self._keys: dict[str, str] = {}

    def key(self, name: str) -> str:
        """The key of the part as this checkout would build it."""
        if name not in self._keys:
            self._keys[name] = self._digest(self._part(name))
        return self._keys[name]

    def _digest(self, part: Part) -> str:
        needed = [f"{need}={self.key(need)}" for need in part.needs]
        return digest(part.name, *part.inputs(), *needed)

    def path(self, name: str) -> Path:
        """Where the finished part is, or will be."""
        return self.cache.path(name, self.key(name))

    def log(self, name: str) -> Path:
        """Where the part's tools print to."""
        return self.cache.log(name)

    def missing(self, names: Iterable[str]) -> list[str]:
        """Of these parts and all that they need, those that are not built, in an order to build them in."""
        order: list[str] = []

        def visit(name: str) -> None:
            if name in order or self.path(name).exists():
                return
            for need in self._part(name).needs:
                visit(need)
            order.append(name)

        for name in names:
            visit(name)
        return order

    def room_mib(self, names: Iterable[str]) -> int:
        """What building what is missing of these parts takes of the disk."""
        return sum(self._part(name).room_mib for name in self.missing(names))

    def get(self, *names: str) -> list[Path]:
        """Build what is missing of these parts, and note that this checkout uses them; returns the folder of each.

        Raises LabError.
        """
        if todo := self.missing(names):
            # What tools leave in their temporary folder goes with ours, whatever becomes of them.
            with locked_folder(self.cache, "build") as scratch, _environment(TMPDIR=str(scratch)):
                self._build_all(todo)
        checkouts.note(self.cache, CHECKOUT, (self.path(name) for name in self._with_needs(names)))
        return [self.path(name) for name in names]

    def _with_needs(self, names: Iterable[str]) -> set[str]:
        """Those of these parts, and of all that they need, that are there."""
        found = set(names)
        for name in names:
            found |= self._with_needs(self._part(name).needs)
        return {name for name in found if self.path(name).exists()}

    def _build_all(self, todo: list[str]) -> None:
        running: dict[Future[Path], str] = {}
        with ThreadPoolExecutor(max_workers=2) as pool:
            try:
                while todo or running:
                    for name in [n for n in todo if self._ready(n, todo, running)]:
                        if len(running) < 2:
                            todo.remove(name)
                            running[pool.submit(self._build, name)] = name
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        running.pop(future)
                        future.result()
            except BaseException:
                # Nobody wants the other one any more, and it may take a quarter of an hour.
                process.stop_all()
                raise

    def _ready(self, name: str, todo: list[str], running: Mapping[Future[Path], str]) -> bool:
        waits_for = set(self._part(name).needs)
        return not waits_for & (set(todo) | set(running.values()))

    def _build(self, name: str) -> Path:
        part = self._part(name)

        def build(into: Path) -> None:
            with progress.reporting(name, part.expected_seconds):
                part.build(self, into)
            # Its inputs were read again while it was built: what came of another state has no name.
            if self._digest(part) != self.key(name):
                raise LabError(f"what {name} is built from has changed meanwhile: run it again")

        def waiting() -> None:
            progress.say(f"{name}: another lab is building it; waiting")

        return self.cache.get(name, self.key(name), build, waiting=waiting)

    def _part(self, name: str) -> Part:
        try:
            return self.parts[name]
        except KeyError:
            names = ", ".join(p.name for p in self.parts.values() if p.asked)
            raise LabError(f"there is no part {name!r}: name some of {names}") from None


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """This process' environment, and so its children's, with these variables for as long as the block runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
