"""Names, addresses and nodes of a cluster."""

from __future__ import annotations

import pytest

from tests.lab.cluster.plan import checked_name, members
from tests.lab.errors import LabError
from tests.lab.machine import Slow


def test_nodes_are_named_after_their_kind() -> None:
    found = members("patched,stock,dram,patched")
    assert [(m.name, m.kernel, m.slow) for m in found] == [
        ("patched", "patched", Slow.CXL),
        ("stock", "stock", Slow.CXL),
        ("dram", "patched", Slow.NONE),
        ("patched-2", "patched", Slow.CXL),
    ]


def test_no_two_nodes_share_an_address() -> None:
    found = members("patched,patched,patched,dram")
    for attribute in ("name", "ip", "pod_cidr", "tap", "mac"):
        assert len({getattr(member, attribute) for member in found}) == len(found)


@pytest.mark.parametrize("nodes", ["", "patched,", "cxl", "patched stock"])
def test_an_unknown_kind_of_node_lists_those_there_are(nodes: str) -> None:
    with pytest.raises(LabError, match="name some of patched, stock, dram"):
        members(nodes)


@pytest.mark.parametrize("name", ["", "Lab", "a b", "../x", "1lab", "x" * 40])
def test_a_name_that_is_no_name_says_what_to_write(name: str) -> None:
    with pytest.raises(LabError, match="small letters"):
        checked_name(name)
