"""What a figure was measured with: it may be another with anything else."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Mapping

import numpy as np

from tests.bench import programs
from tests.lab import machine
from tests.lab.build import catalogue
from tests.lab.build.kernel import compiled, patches
from tests.lab.build.part import Workshop
from tests.lab.cache import Cache, default_root, digest
from tests.lab.errors import LabError


def measured_with() -> Mapping[str, str]:
    """The kernel's version and the patches that are compiled in, the emulator, the compiler. Parts must be built."""
    workshop = Workshop(Cache(default_root()), catalogue.PARTS)
    kernel, emulator = workshop.get("kernel", "emulator")
    told = subprocess.run(
        [*machine.tool(emulator, "qemu-system-x86_64"), "--version"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    applied = compiled(patches())
    return {
        "kernel": _first(r"Linux/x86 (\S+) Kernel Configuration", (kernel / "config").read_text()),
        "patches": digest(*applied) if applied else "none",
        "qemu": _first(r"version ([0-9.]+)", told),
        "gcc": programs.compiler().rpartition(" ")[2],
    }


def simulated_with() -> Mapping[str, str]:
    """Python's and numpy's versions: all that a simulation depends on."""
    return {"python": platform.python_version(), "numpy": np.__version__}


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise LabError(f"no version is told where {pattern!r} was expected")
    return match[1]
