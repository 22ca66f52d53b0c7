"""Prometheus, as Debian packages it, to judge what this project tells of itself. Unpacked only, so there is no service.

prometheus  bin/prometheus, bin/promtool
"""

from __future__ import annotations

import inspect
from pathlib import Path

from tests.lab import process
from tests.lab.build.debian import SUITE, Apt, machine_mirror
from tests.lab.build.part import Part, Workshop

# Both need the C library alone, one of 2021 or later, which Debian 12 has.
_PACKAGES = ("prometheus", "promtool")


def _build(workshop: Workshop, into: Path) -> None:
    log = workshop.log("prometheus")
    apt = Apt(workshop.cache, machine_mirror())
    apt.update(log)
    tree = into / "tree"
    tree.mkdir()
    for package in apt.download(_PACKAGES, into, log):
        process.run(["dpkg-deb", "--extract", package, tree], log=log)
        package.unlink()
    (into / "bin").mkdir()
    for command in _PACKAGES:
        (tree / "usr/bin" / command).rename(into / "bin" / command)
    process.run(["rm", "-rf", tree], log=log)


PARTS = (
    Part(
        "prometheus",
        30,
        inputs=lambda: (SUITE, *_PACKAGES, inspect.getsource(_build)),
        build=_build,
        asked=False,
    ),
)
