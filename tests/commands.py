"""What tests say to the lab: its command line, as a person types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
LAB = (sys.executable, "-m", "tests.lab")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it printed."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output of a command that succeeded; AssertionError with what it complained of otherwise."""
        assert self.status == 0, f"status {self.status}: {self.err[-4000:]}"
        return self.out.decode()

    @property
    def json(self) -> Any:
        """What the text says, as JSON."""
        return json.loads(self.text)


def lab(*words: str | Path, env: Mapping[str, str] | None = None, timeout_seconds: float = 900) -> Ended:
    """Run `python3 -m tests.lab WORD…` to its end."""
    done = subprocess.run(
        [*LAB, *map(str, words)],
        cwd=CHECKOUT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_seconds,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def node(
    *command: str | Path, options: str = "", share: Path | None = None, timeout_seconds: int = 300
) -> Ended:
    """Run a command in a new node: `node("uname", "-r", options="--kernel stock --no-slow")`."""
    shared: tuple[str | Path, ...] = ("--share", share) if share else ()
    return lab(
        "node", "run", *options.split(), *shared, "--timeout", str(timeout_seconds), "--", *command,
        timeout_seconds=timeout_seconds + 120,
    )  # fmt: skip


def node_python(
    program: Path, *arguments: str, options: str = "", share: Path | None = None, timeout_seconds: int = 300
) -> Ended:
    """Run a Python program of this checkout in a new node, where the project's packages are installed.

    It finds modules of its own in the folder that is shared.
    """
    return node(
        "env", "PYTHONPATH=/share", "python3", "-c", program.read_text(), *arguments,
        options=options, share=share, timeout_seconds=timeout_seconds,
    )  # fmt: skip


# Runs commands one after the other, whatever becomes of each.
_EACH = """
import base64, json, subprocess, sys
ended = {}
for name, words in json.loads(sys.argv[1]).items():
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True)
    ended[name] = done.returncode, *(base64.b64encode(each).decode() for each in (done.stdout, done.stderr))
print(json.dumps(ended))
"""


def node_commands(
    commands: Mapping[str, Sequence[str]],
    *,
    options: str = "",
    share: Path | None = None,
    timeout_seconds: int = 300,
) -> dict[str, Ended]:
    """Run some commands in one new node, one after the other; how each ended, by its name."""
    ended = node(
        "python3", "-c", _EACH, json.dumps(commands), options=options, share=share, timeout_seconds=timeout_seconds
    ).json  # fmt: skip
    return {
        name: Ended(status, b64decode(out), b64decode(err).decode(errors="replace"))
        for name, (status, out, err) in ended.items()
    }


def node_package(folder: Path, *arguments: str, options: str = "", timeout_seconds: int = 300) -> Ended:
    """Run a package of this checkout, by its __main__, in a new node, where the project's packages are installed."""
    name = folder.relative_to(CHECKOUT)
    with tempfile.TemporaryDirectory() as share:
        # A copy, for the node writes what it compiles beside it.
        shutil.copytree(folder, share / name, ignore=shutil.ignore_patterns("__pycache__"))
        return node(
            "env", "PYTHONPATH=/share", "python3", "-m", ".".join(name.parts), *arguments,
            options=options, share=Path(share), timeout_seconds=timeout_seconds,
        )  # fmt: skip
