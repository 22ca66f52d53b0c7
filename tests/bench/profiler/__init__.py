"""Which kernel functions a call spends its instructions in: exact, for the emulator counts each one.

The measured program, programs/profiled.c, makes its calls between two functions; plugin.c counts in between; System.map
tells whose the addresses are. Nothing in the guest knows of it, so nothing is added to what it does.
"""

from __future__ import annotations

import bisect
import io
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench import programs
from tests.lab import node
from tests.lab.build import catalogue
from tests.lab.build.part import Workshop
from tests.lab.cache import Cache, default_root, digest
from tests.lab.errors import LabError
from tests.lab.machine import Machine, Slow

SOURCE: Final = Path(__file__).with_name("plugin.c")
PROGRAM: Final = "profiled"
# The kernel copies a page by this (arch/x86/lib/memcpy_64.S), as long as the CPU has no fast string moves.
COPY: Final = "memcpy_orig"


@dataclass(frozen=True, slots=True)
class Profile:
    """Instructions by function, for each of `pages` base pages."""

    pages: int
    counts: Mapping[str, int]

    @property
    def total(self) -> float:
        """All of them, a page."""
        return sum(self.counts.values()) / self.pages

    @property
    def copy(self) -> float:
        """Those that copy, a page. Raises LabError when none did: another function must have."""
        if COPY not in self.counts:
            raise LabError(
                f"{COPY}() copied nothing, so this kernel copies pages by something else: name it here"
            )
        return self.counts[COPY] / self.pages

    def top(self, count: int) -> dict[str, float]:
        """The functions with the most, a page."""
        ranked = sorted(self.counts.items(), key=lambda pair: pair[1], reverse=True)
        return {name: round(total / self.pages, 1) for name, total in ranked[:count]}


def profile(call: str, what: str, entries: int, calls: int) -> Profile:
    """Profile a pass of `calls` calls with so many entries each, of which one is a base page, or a huge one.

    `call` is move_phy_pages or move_pages, `what` is move, query or huge. Raises LabError.
    """
    sys.stderr.write(f"bench: profile of {call} {what} {entries} {calls}\n")
    workshop = Workshop(Cache(default_root()), catalogue.PARTS)
    built = programs.folder()
    with tempfile.TemporaryDirectory() as folder:
        counts = Path(folder) / "counts"
        machine = Machine(
            slow=Slow.RAM, cpus=1, icount=True, share=built, plugins=(_plugin(built / PROGRAM, counts),)
        )
        words = f"cp /share/{PROGRAM} /tmp/ && exec /tmp/{PROGRAM} {call} {what} {entries} {calls}"
        complaint = io.BytesIO()
        status = node.run(
            workshop, machine, ["sh", "-c", words], out=io.BytesIO(), err=complaint, timeout_seconds=600
        )
        if status:
            raise LabError(
                f"`{words}` ended with status {status} in its node: {complaint.getvalue().decode()}"
            )
        symbols = (workshop.path("kernel") / "System.map").read_text()
        pages = entries * calls * (512 if what == "huge" else 1)
        return Profile(pages, by_function(counts.read_text(), symbols))


def by_function(counts: str, symbols: str) -> Mapping[str, int]:
    """Counts by address, ADDRESS COUNT a line, as counts by the functions of a System.map."""
    functions = sorted(
        (int(address, 16), name)
        for address, kind, name in (line.split() for line in symbols.splitlines())
        if kind in "tTwW"
    )
    starts = [address for address, _ in functions]
    found: Counter[str] = Counter()
    for line in counts.splitlines():
        where, count = line.split()
        if where in {"USER", "ELSEWHERE"}:
            name = f"({where.lower()})"
        else:
            name = functions[bisect.bisect_right(starts, int(where, 16)) - 1][1]
        if int(count):
            found[name] += int(count)
    return found


def _plugin(program: Path, out: Path) -> str:
    """The plugin's option for the emulator."""
    addresses = _addresses(_run(["nm", program]))
    built = Cache(default_root()).get("bench-profiler", digest(SOURCE, programs.compiler()), _build)
    return (
        f"{built / 'plugin.so'},start={addresses['profile_start']},stop={addresses['profile_stop']},out={out}"
    )


def _addresses(symbols: str) -> Mapping[str, str]:
    return {
        name: address
        for address, _, name in (line.split() for line in symbols.splitlines() if len(line.split()) == 3)
    }


def _build(into: Path) -> None:
    # What it calls, the emulator has.
    _run(
        ["gcc", "-std=gnu11", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror",
         "-o", into / "plugin.so", SOURCE]
    )  # fmt: skip


def _run(argv: Sequence[str | Path]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"`{' '.join(map(str, argv))}` failed: {done.stderr.strip()}")
    return done.stdout
