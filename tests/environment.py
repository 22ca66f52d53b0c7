"""The virtual environment that tests and checks run in.

    python3 -m tests.environment                     make it when it is missing, and print its path
    python3 -m tests.environment run COMMAND ARG…    run a command in it, on this checkout

It holds the dependencies that constraints.txt and those of docs/ and tests/ pin and not the project: the folders
with this checkout's packages come first on the module path instead, so that checkouts can share an environment. It
lies in the lab's cache, keyed by what goes into it and by the Python that makes it.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tests.lab import checkouts, process, progress
from tests.lab.cache import Cache, default_root, digest
from tests.lab.errors import STATUS_INTERRUPTED, STATUS_LAB_ERROR, BuildFailed, LabError

CHECKOUT = Path(__file__).resolve().parents[1]
# Nodes and images have nothing of the last two.
CONSTRAINTS = tuple(CHECKOUT / folder / "constraints.txt" for folder in (".", "docs", "tests"))
# The folders that hold this checkout's packages.
ROOTS = ("crds", "kernel", "agent", "operator")


def requirements() -> list[str]:
    """Everything that any extra of pyproject.toml asks for."""
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return sorted({requirement for extra in extras.values() for requirement in extra})


def environment(cache: Cache) -> Path:
    """The environment's folder, made when it is missing. Raises LabError."""
    found = cache.get("environment", _key(), lambda into: _make(cache, path(cache), into))
    checkouts.note(cache, CHECKOUT, [found])
    return found


def path(cache: Cache) -> Path:
    """Where the environment is, or will be."""
    return cache.path("environment", _key())


def _key() -> str:
    # Not sys.executable: asked for from inside the environment, that is the environment's own.
    return digest(*CONSTRAINTS, *requirements(), platform.python_version(), sys.base_prefix)


def variables(found: Path) -> dict[str, str]:
    """What a process needs to run in the environment, on this checkout."""
    roots = [str(CHECKOUT / root) for root in ROOTS]
    return {
        **os.environ,
        "PATH": f"{found / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": ":".join([str(CHECKOUT), *roots]),
        "VIRTUAL_ENV": str(found),
    }


def _make(cache: Cache, final: Path, into: Path) -> None:
    log = cache.log("environment")
    _require_ensurepip(log)
    with progress.reporting("environment", 40):
        _run([sys.executable, "-m", "venv", into], log)
        pip: list[str | Path] = [into / "bin" / "python", "-m", "pip", "install", "--quiet"]
        pinned: list[str | Path] = ["--only-binary=:all:"]
        for path in CONSTRAINTS:
            pinned += ["--constraint", path]
        try:
            _run([*pip, *pinned, *requirements()], log)
        except BuildFailed as err:
            sentence = "pip could not install what is pinned: check the network and try again"
            raise BuildFailed(sentence, log) from err
        _move(into / "bin", into, final)


def _require_ensurepip(log: Path) -> None:
    """Debian keeps what venv needs in a package of its own. Raises LabError."""
    if importlib.util.find_spec("ensurepip") is not None:
        return
    if os.geteuid() != 0:
        raise LabError(
            "this Python cannot make virtual environments: run `sudo apt-get install python3-venv`"
        )
    progress.say("installing python3-venv, without which this Python makes no environments")
    _run(["apt-get", "update"], log)
    _run(["apt-get", "install", "-y", "--no-install-recommends", "python3-venv"], log)
    importlib.invalidate_caches()


def _run(argv: Sequence[str | Path], log: Path) -> None:
    """As process.run, but not confined, so that unit tests and checks need no root. Raises BuildFailed."""
    with log.open("ab") as output:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode != 0:
        raise BuildFailed(f"`{argv[0]}` failed with status {done.returncode}", log)


def _move(scripts: Path, old: Path, new: Path) -> None:
    """Scripts name the folder that they were installed in, which is about to be renamed."""
    for script in scripts.iterdir():
        if script.is_file() and not script.is_symlink():
            script.write_bytes(script.read_bytes().replace(bytes(old), bytes(new)))


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    if argv and (argv[0] != "run" or len(argv) < 2):
        print("usage: python3 -m tests.environment [run COMMAND ARG…]", file=sys.stderr)
        return STATUS_LAB_ERROR
    try:
        found = environment(Cache(default_root()))
        if argv:
            _become(argv[1:], variables(found))
    except (LabError, OSError, KeyboardInterrupt) as err:
        text, status = _told(err)
        print(text, file=sys.stderr)
        return status
    print(found)
    return 0


def _become(argv: Sequence[str], environ: dict[str, str]) -> NoReturn:
    if shutil.which(argv[0], path=environ["PATH"]) is None:
        raise LabError(f"there is no command {argv[0]!r}, neither in the environment nor on the PATH")
    os.execvpe(argv[0], list(argv), environ)


def _told(err: BaseException) -> tuple[str, int]:
    """What to print of what ended it, and the status to exit with."""
    match err:
        case BuildFailed():
            return f"{process.tail(err.log)}environment: {err}\nthe whole log is {err.log}", STATUS_LAB_ERROR
        case OSError():
            where = err.filename or "the machine"
            return f"environment: {where}: {err.strerror or err}", STATUS_LAB_ERROR
        case KeyboardInterrupt():
            return "environment: interrupted", STATUS_INTERRUPTED
        case _:
            return f"environment: {err}", STATUS_LAB_ERROR


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
