"""The Python packages that the project's images are built from, so that building those needs no network.

wheels  *.whl: all that constraints.txt pins, as the Python of the images wants them
"""

from __future__ import annotations

from pathlib import Path

from tests.lab.build.part import Part, Workshop
from tests.lab.build.pip import pip
from tests.lab.build.rootfs import CONSTRAINTS, GUEST_PYTHON


def _build(workshop: Workshop, into: Path) -> None:
    # Without dependencies: all are pinned, and pip would look for those that this machine's Python needs.
    pip(
        ["download", "--no-deps", "--only-binary=:all:", "--python-version", GUEST_PYTHON, "--dest", into,
         "--requirement", CONSTRAINTS],
        workshop.log("wheels"),
    )  # fmt: skip


PARTS = (Part("wheels", 15, inputs=lambda: (CONSTRAINTS, GUEST_PYTHON), build=_build, asked=False),)
