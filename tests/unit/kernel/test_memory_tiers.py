"""Tiers in order, from trees and from this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.kernel import trees
from thermocline_kernel import memory_tiers, numa
from thermocline_kernel.errors import Garbled, Unavailable
from thermocline_kernel.host import Host
from thermocline_kernel.memory_tiers import Tier

ROOT = "devices/virtual/memory_tiering"


def planted(root: Path, tiers: dict[int, str]) -> Host:
    host = trees.host(root)
    trees.plant(host.sys, {f"{ROOT}/uevent": ""})
    trees.plant(host.sys, {f"{ROOT}/memory_tier{number}/nodelist": text for number, text in tiers.items()})
    return host


def test_a_lower_number_is_faster(tmp_path: Path) -> None:
    host = planted(tmp_path, {22: "1\n", 4: "0,2-3\n", 960: "4\n"})
    assert memory_tiers.tiers(host) == (
        Tier(4, frozenset({0, 2, 3})),
        Tier(22, frozenset({1})),
        Tier(960, frozenset({4})),
    )


@pytest.mark.parametrize(
    ("tiers", "named"),
    [
        ({}, ROOT),
        ({4: "\n"}, "memory_tier4/nodelist:1"),
        ({4: "0\n", 22: "0-1\n"}, "memory_tier22/nodelist:1"),
        ({4: "0\n", 22: "1"}, "memory_tier22/nodelist:1"),
        ({4: "zero\n"}, "memory_tier4/nodelist:1"),
    ],
)
def test_garbage_is_refused(tmp_path: Path, tiers: dict[int, str], named: str) -> None:
    with pytest.raises(Garbled, match=named):
        memory_tiers.tiers(planted(tmp_path, tiers))


def test_a_kernel_without_tiers_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        memory_tiers.tiers(trees.host(tmp_path))


def test_a_tier_that_vanishes_is_unavailable(tmp_path: Path) -> None:
    host = planted(tmp_path, {4: "0\n"})
    (host.sys / ROOT / "memory_tier4/nodelist").unlink()
    with pytest.raises(Unavailable):
        memory_tiers.tiers(host)


def test_this_machine_is_read() -> None:
    try:
        tiers = memory_tiers.tiers(Host())
    except Unavailable as err:
        assert not Path(err.path).exists()  # noqa: PT017 - which of the two it is depends on the kernel
    else:
        assert frozenset().union(*(tier.nodes for tier in tiers)) <= numa.online(Host())
