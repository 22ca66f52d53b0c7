"""The measuring programs: C, so that a call is measured and not the interpreter around it, and static, so that they
run in a node of any distribution.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from tests.lab.cache import Cache, default_root, digest
from tests.lab.errors import LabError

SOURCES: Final = Path(__file__).with_name("programs")
_COMPILE: Final = ("gcc", "-std=gnu11", "-O2", "-static", "-no-pie", "-Wall", "-Wextra", "-Werror")


def names() -> list[str]:
    """The programs that there are."""
    return sorted(path.stem for path in SOURCES.glob("*.c"))


def folder() -> Path:
    """A folder with every program in it, built when it is missing. Raises LabError."""
    return Cache(default_root()).get("bench-programs", digest(SOURCES, *_COMPILE, compiler()), _build)


def compiler() -> str:
    """The compiler's name and version."""
    return _output("gcc", "--version").splitlines()[0]


def _build(into: Path) -> None:
    for name in names():
        _output(*_COMPILE, "-o", str(into / name), str(SOURCES / f"{name}.c"))


def _output(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError as err:
        raise LabError("gcc is not installed: install it with apt-get") from err
    if done.returncode:
        raise LabError(f"`{' '.join(argv)}` failed: {done.stderr.strip()}")
    return done.stdout
