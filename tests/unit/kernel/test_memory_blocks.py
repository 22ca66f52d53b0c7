"""Blocks of memory, from files that stand for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.kernel import trees
from thermocline_kernel import memory_blocks
from thermocline_kernel.errors import Garbled, Unavailable
from thermocline_kernel.host import PAGE_BYTES, Host
from thermocline_kernel.memory_blocks import Block

FOLDER = "devices/system/memory"


def test_blocks_with_their_nodes(tmp_path: Path) -> None:
    trees.plant(
        tmp_path,
        {
            f"{FOLDER}/block_size_bytes": "8000000\n",
            f"{FOLDER}/memory0/state": "online\n",
            f"{FOLDER}/memory0/node0/x": "",
            f"{FOLDER}/memory10/state": "offline\n",
            f"{FOLDER}/memory10/node0/x": "",
            f"{FOLDER}/memory10/node1/x": "",
            f"{FOLDER}/memory11/state": "going-offline\n",
            f"{FOLDER}/power/x": "",
        },
    )
    (tmp_path / FOLDER / "memory12").mkdir()  # it is going away
    pages = 0x8000000 // PAGE_BYTES
    assert memory_blocks.blocks(Host(sys=tmp_path)) == (
        Block(0, 0, pages, online=True, nodes=frozenset({0})),
        Block(10, 10 * pages, pages, online=False, nodes=frozenset({0, 1})),
        Block(11, 11 * pages, pages, online=False, nodes=frozenset()),
    )


@pytest.mark.parametrize(
    ("size", "state"), [("800\n", "online\n"), ("0x8000\n", "online\n"), ("8000000\n", "perhaps\n")]
)
def test_garbage_is_refused(tmp_path: Path, size: str, state: str) -> None:
    trees.plant(tmp_path, {f"{FOLDER}/block_size_bytes": size, f"{FOLDER}/memory0/state": state})
    with pytest.raises(Garbled):
        memory_blocks.blocks(Host(sys=tmp_path))


def test_a_kernel_without_hotplug_has_none(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        memory_blocks.blocks(Host(sys=tmp_path))
