"""Pressure, from files that stand for it and from this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.kernel import trees
from thermocline_kernel import psi
from thermocline_kernel.errors import Garbled, Unavailable
from thermocline_kernel.host import Host
from thermocline_kernel.psi import Pressure, Stall

TEXT = """\
some avg10=12.05 avg60=0.99 avg300=100.00 total=12345
full avg10=0.00 avg60=0.10 avg300=0.00 total=678
"""


def test_averages_are_basis_points(tmp_path: Path) -> None:
    trees.plant(tmp_path, {"pressure/memory": TEXT, "group/memory.pressure": TEXT})
    wanted = Pressure(Stall(1205, 99, 10000, 12345), Stall(0, 10, 0, 678))
    assert psi.memory(Host(proc=tmp_path)) == wanted
    assert psi.cgroup_memory(tmp_path / "group") == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT[:-1],
        TEXT.splitlines(keepends=True)[0],
        TEXT.splitlines(keepends=True)[0] * 2,
        TEXT.replace("avg60=0.99", "avg60=0.9"),
        TEXT.replace("avg60=0.99", "avg60=-0.99"),
        TEXT.replace("some", "none"),
    ],
)
def test_garbage_is_refused(tmp_path: Path, text: str) -> None:
    trees.plant(tmp_path, {"pressure/memory": text})
    with pytest.raises(Garbled, match="pressure/memory"):
        psi.memory(Host(proc=tmp_path))


def test_no_file_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        psi.memory(Host(proc=tmp_path))
