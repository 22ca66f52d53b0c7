"""Counters of the whole machine and of a node."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.kernel import trees
from thermocline_kernel import numa, vmstat
from thermocline_kernel.errors import Garbled, Unavailable
from thermocline_kernel.host import Host

NODE = "devices/system/node/node1/vmstat"


def test_counters_are_read_by_name(tmp_path: Path) -> None:
    host = trees.host(tmp_path)
    trees.plant(host.proc, {"vmstat": "nr_isolated_anon 0\npgmigrate_success 18446744073709551615\n"})
    trees.plant(host.sys, {NODE: "nr_free_pages 12\nnuma_hit 7\n"})
    assert vmstat.machine(host) == {"nr_isolated_anon": 0, "pgmigrate_success": (1 << 64) - 1}
    assert vmstat.node(host, 1) == {"nr_free_pages": 12, "numa_hit": 7}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("nr_free_pages 1\nnr_dirty\n", 2),
        ("nr_free_pages -1\n", 1),
        ("nr_free_pages 1 2\n", 1),
        ("nr_free_pages 1\nnr_free_pages 1\n", 2),
        ("nr_free_pages ٣\n", None),
        ("", 1),
        ("nr_free_pages 1", 1),
    ],
)
def test_what_is_no_counter_is_garbled(tmp_path: Path, text: str, line: int | None) -> None:
    host = trees.host(tmp_path)
    trees.plant(host.proc, {"vmstat": text})
    with pytest.raises(Garbled) as caught:
        vmstat.machine(host)
    assert (caught.value.path, caught.value.line) == (str(host.proc / "vmstat"), line)


def test_a_node_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="node1/vmstat"):
        vmstat.node(trees.host(tmp_path), 1)


def test_this_machines_counters_agree_with_its_memory() -> None:
    live = Host()
    assert vmstat.machine(live)["nr_free_pages"] > 0
    for node in numa.nodes(live):
        assert 0 < vmstat.node(live, node.number)["nr_free_pages"] * 4096 <= node.size_bytes
