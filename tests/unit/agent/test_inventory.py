"""Reading a machine: trees that stand for one, whole and broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.kernel import trees
from thermocline_agent import inventory
from thermocline_agent.topology import arrange
from thermocline_kernel.errors import Garbled, KernelInterfaceError, Unavailable
from thermocline_kernel.host import Host

NODE = "sys/devices/system/node"
FILES = {
    f"{NODE}/online": "0-1\n",
    **{
        path: text
        for number, cpus in ((0, "0-1"), (1, ""))
        for path, text in (
            (f"{NODE}/node{number}/meminfo",
             f"Node {number} MemTotal:       131072 kB\nNode {number} MemFree:        1024 kB\n"),
            (f"{NODE}/node{number}/cpulist", f"{cpus}\n"),
            (f"{NODE}/node{number}/distance", "10 20\n" if number == 0 else "20 10\n"),
        )
    },
    "sys/devices/virtual/memory_tiering/memory_tier4/nodelist": "0\n",
    "sys/devices/virtual/memory_tiering/memory_tier8/nodelist": "1\n",
    "proc/zoneinfo": "".join(
        f"Node {number}, zone {zone:>8}\n  pages free     9\n        spanned  32768\n        present  32768\n"
        f"        managed  32768\n  start_pfn:           {number * 32768}\n"
        for number, zone in ((0, "Normal"), (1, "Movable"))
    ),
}  # fmt: skip


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = trees.host(tmp_path)
    trees.plant(tmp_path, FILES)
    return made


def test_a_machine_is_read(host: Host) -> None:
    found = arrange(inventory.read(host))
    assert [(each.number, each.fast) for each in found.nodes] == [(0, True), (1, False)]
    assert found.basis == "the kernel's memory tiers"


def test_without_tiers_cxl_and_hotplug_it_goes_on(host: Host, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "sys/devices/virtual/memory_tiering")
    found = inventory.read(host)
    assert (found.tiers, found.blocks, found.regions) == (None, None, ())
    assert [(each.number, each.fast) for each in arrange(found).nodes] == [(0, True), (1, False)]


@pytest.mark.parametrize("path", FILES)
def test_garbage_anywhere_is_refused(host: Host, tmp_path: Path, path: str) -> None:
    trees.plant(tmp_path, {path: "garbage\x00\n"})
    with pytest.raises(Garbled):
        inventory.read(host)


@pytest.mark.parametrize("path", [path for path in FILES if "distance" not in path and "cpulist" not in path])
def test_a_file_that_is_cut_off_is_refused(host: Host, tmp_path: Path, path: str) -> None:
    trees.plant(tmp_path, {path: FILES[path][:-1]})
    with pytest.raises(KernelInterfaceError):
        inventory.read(host)


def test_a_node_that_goes_while_it_is_read(host: Host, tmp_path: Path) -> None:
    (tmp_path / NODE / "node1/meminfo").unlink()
    with pytest.raises(Unavailable):
        inventory.read(host)
