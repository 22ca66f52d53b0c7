"""What else moves pages, from files that stand for its switches."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.kernel import trees
from thermocline_kernel import tiering
from thermocline_kernel.errors import Garbled
from thermocline_kernel.host import Host
from thermocline_kernel.tiering import Mechanism

OFF = {
    "proc/sys/kernel/numa_balancing": "0\n",
    "sys/kernel/mm/numa/demotion_enabled": "false\n",
    "sys/module/damon_reclaim/parameters/enabled": "N\n",
    "sys/module/damon_lru_sort/parameters/enabled": "N\n",
    "sys/module/damon_stat/parameters/enabled": "N\n",
    "sys/kernel/mm/kidled/scan_period_in_seconds": "0\n",
}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = trees.host(tmp_path)
    trees.plant(tmp_path, OFF)
    return made


def test_nothing_is_on(host: Host, tmp_path: Path) -> None:
    assert tiering.active(host) == ()
    (tmp_path / "bare").mkdir()
    assert tiering.active(trees.host(tmp_path / "bare")) == ()


@pytest.mark.parametrize(
    ("path", "text", "mechanism"),
    [
        ("proc/sys/kernel/numa_balancing", "1\n", Mechanism.NUMA_LOCALITY),
        ("proc/sys/kernel/numa_balancing", "2\n", Mechanism.NUMA_BALANCING),
        ("proc/sys/kernel/numa_balancing", "3\n", Mechanism.NUMA_BALANCING),
        ("sys/kernel/mm/numa/demotion_enabled", "true\n", Mechanism.DEMOTION),
        ("sys/module/damon_reclaim/parameters/enabled", "Y\n", Mechanism.DAMON_RECLAIM),
        ("sys/module/damon_lru_sort/parameters/enabled", "Y\n", Mechanism.DAMON_LRU_SORT),
        ("sys/module/damon_stat/parameters/enabled", "Y\n", Mechanism.DAMON_STAT),
        ("sys/kernel/mm/kidled/scan_period_in_seconds", "5\n", Mechanism.KIDLED),
    ],
)
def test_what_is_on_says_how_to_end_it(
    host: Host, tmp_path: Path, path: str, text: str, mechanism: Mechanism
) -> None:
    trees.plant(tmp_path, {path: text})
    (found,) = tiering.active(host)
    assert (found.mechanism, found.switch) == (mechanism, tmp_path / path)
    assert found.sentence.endswith(f"to switch it off, write {found.off} to {tmp_path / path}")
    found.switch.write_text(f"{found.off}\n")
    assert tiering.active(host) == ()


@pytest.mark.parametrize("path", OFF)
@pytest.mark.parametrize("text", ["", "maybe\n", "1"])
def test_what_is_not_known_is_not_off(host: Host, tmp_path: Path, path: str, text: str) -> None:
    trees.plant(tmp_path, {path: text})
    with pytest.raises(Garbled):
        tiering.active(host)


def test_who_moves_and_who_holds_damon() -> None:
    assert {each for each in Mechanism if each.moves_pages} == {Mechanism.NUMA_BALANCING, Mechanism.DEMOTION}
    assert {each.name for each in Mechanism if each.holds_damon} == {
        "DAMON_RECLAIM", "DAMON_LRU_SORT", "DAMON_STAT"
    }  # fmt: skip


def test_the_promotion_limit(host: Host, tmp_path: Path) -> None:
    assert tiering.promote_rate_limit_mbps(host) is None
    trees.plant(tmp_path, {"proc/sys/kernel/numa_balancing_promote_rate_limit_MBps": "65536\n"})
    assert tiering.promote_rate_limit_mbps(host) == 65536
