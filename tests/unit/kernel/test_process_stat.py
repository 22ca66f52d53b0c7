"""CPU time of processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.unit.kernel import trees
from thermocline_kernel import process_stat
from thermocline_kernel.errors import Garbled, Unavailable
from thermocline_kernel.host import Host
from thermocline_kernel.process_stat import ProcessStat

TEXT = "71 (a) b (c) S 2 0 0 0 -1 2129984 0 0 0 0 300 118 0 0 20 0 1 0 2231 0 0\n"


def test_a_name_may_hold_anything(tmp_path: Path) -> None:
    trees.plant(tmp_path, {"71/stat": TEXT})
    ticks = os.sysconf("SC_CLK_TCK")
    assert process_stat.read(Host(proc=tmp_path), 71) == ProcessStat(418 / ticks, 2231)


@pytest.mark.parametrize("text", ["", "71 (a\n", "71 (a) S 1 2\n", TEXT.replace("300", "x"), TEXT[:-1]])
def test_garbage_is_refused(tmp_path: Path, text: str) -> None:
    trees.plant(tmp_path, {"71/stat": text})
    with pytest.raises(Garbled):
        process_stat.read(Host(proc=tmp_path), 71)


def test_a_process_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        process_stat.read(Host(proc=tmp_path), 71)


def test_this_process_is_read() -> None:
    told = process_stat.read(Host(), os.getpid())
    assert abs(told.cpu_seconds - time.process_time()) < 0.2
