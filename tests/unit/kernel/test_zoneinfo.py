"""Zones, from trees and from this machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kernel import trees
from thermocline_kernel import zoneinfo
from thermocline_kernel.errors import Garbled, Unavailable
from thermocline_kernel.host import Host
from thermocline_kernel.zoneinfo import Zone

# Linux 6.12, shortened inside the lists of counters.
TEXT = """\
Node 0, zone      DMA
  per-node stats
      nr_inactive_anon 21395
  pages free     3840
        boost    0
        min      41
        low      51
        high     61
        promo    71
        spanned  4095
        present  3998
        managed  3840
        cma      0
        protection: (0, 3019, 6091, 6091, 6091)
      nr_free_pages 3840
  pagesets
    cpu: 0
              count:    0
              high:     0
              batch:    1
  vm stats threshold: 4
  node_unreclaimable:  0
  start_pfn:           1
Node 0, zone  Movable
  pages free     0
        spanned  0
        present  0
        managed  0
        protection: (0, 0, 0, 0, 0)
Node 1, zone  Movable
  per-node stats
      nr_inactive_anon 0
  pages free     131000
        spanned  131072
        present  131072
        managed  131070
        protection: (0, 0, 0, 0, 0)
  start_pfn:           1310720
"""


def read(root: Path, text: str) -> tuple[Zone, ...]:
    host = Host(proc=root)
    trees.plant(root, {"zoneinfo": text})
    return zoneinfo.zones(host)


def test_zones_with_pages_are_read(tmp_path: Path) -> None:
    zones = read(tmp_path, TEXT)
    assert zones == (
        Zone(0, "DMA", 1, 4095, 3998, 3840, 3840),
        Zone(1, "Movable", 1310720, 131072, 131072, 131070, 131000),
    )
    assert [zone.movable for zone in zones] == [False, True]


def test_a_node_is_movable_when_all_of_it_is(tmp_path: Path) -> None:
    zones = read(tmp_path, TEXT)
    assert zoneinfo.movable_nodes(zones) == {1}
    assert zoneinfo.movable_nodes((*zones, Zone(1, "Normal", 9, 1, 1, 1, 1))) == frozenset()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("pages free 1\n", 1),
        (TEXT[:-1], TEXT.count("\n")),
        (TEXT.replace("  start_pfn:           1310720\n", ""), 30),
        (TEXT.replace("present  3998", "present  many"), 1),
        (TEXT.replace("  pages free     3840\n", "  pages free     3840\n  pages free     3840\n"), 5),
    ],
)
def test_garbage_is_refused(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(Garbled) as caught:
        read(tmp_path, text)
    assert (caught.value.path, caught.value.line) == (str(tmp_path / "zoneinfo"), line)


@given(st.data())
def test_a_file_cut_off_anywhere_never_invents_a_zone(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = read(tmp_path_factory.mktemp("zones"), TEXT)
    cut = data.draw(st.integers(0, len(TEXT)))
    try:
        zones = read(tmp_path_factory.mktemp("zones"), TEXT[:cut])
    except Garbled:
        return
    assert zones == whole[: len(zones)]


def test_no_file_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        zoneinfo.zones(Host(proc=tmp_path))


def test_this_machine_is_read() -> None:
    zones = zoneinfo.zones(Host())
    text = Path("/proc/zoneinfo").read_text()
    assert [zone.start_pfn for zone in zones] == [int(pfn) for pfn in re.findall(r"start_pfn: +(\d+)", text)]
    assert all(zone.managed_pages <= zone.present_pages <= zone.spanned_pages for zone in zones)
