"""CXL devices and regions, from trees that stand for /sys/bus/cxl, and addresses of one in the other."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kernel import trees
from thermocline_kernel import cxl
from thermocline_kernel.cxl import Memdev, Region, Target
from thermocline_kernel.errors import Garbled, Unavailable
from thermocline_kernel.host import Host

MIB = 1 << 20
PORTS = "devices/platform/ACPI0017:00/root0"


def plant(
    root: Path, ways: int = 2, root_ways: int = 1, changed: Mapping[str, str] = MappingProxyType({})
) -> Host:
    """A region of `ways` devices, as the kernel's folders and links are."""
    devices = root / "bus/cxl/devices"
    devices.mkdir(parents=True)
    files = {
        f"{PORTS}/decoder0.0/interleave_ways": f"{root_ways}\n",
        f"{PORTS}/decoder0.0/region0/commit": "1\n",
        f"{PORTS}/decoder0.0/region0/resource": "0x290000000\n",
        f"{PORTS}/decoder0.0/region0/size": f"{256 * MIB * ways:#x}\n",
        f"{PORTS}/decoder0.0/region0/interleave_ways": f"{ways}\n",
        f"{PORTS}/decoder0.0/region0/interleave_granularity": "512\n",
    }
    for place in range(ways):
        port = f"{PORTS}/port1/endpoint{place + 2}"
        files |= {
            f"{PORTS}/decoder0.0/region0/target{place}": f"decoder{place + 2}.0\n",
            f"{port}/decoder{place + 2}.0/dpa_resource": f"{16 * MIB * place:#x}\n",
            f"{port}/decoder{place + 2}.0/dpa_size": f"{256 * MIB:#018x}\n",
            f"devices/pci/mem{place}/serial": "0x1\n",
            f"devices/pci/mem{place}/ram/size": f"{512 * MIB:#x}\n",
        }
    for name, text in changed.items():
        files[f"{PORTS}/decoder0.0/region0/{name}"] = text
    trees.plant(root, files)
    (devices / "region0").symlink_to(root / PORTS / "decoder0.0/region0")
    for place in range(ways):
        endpoint = root / PORTS / f"port1/endpoint{place + 2}"
        (endpoint / "uport").symlink_to(root / f"devices/pci/mem{place}")
        (devices / f"mem{place}").symlink_to(root / f"devices/pci/mem{place}")
        (devices / f"decoder{place + 2}.0").symlink_to(endpoint / f"decoder{place + 2}.0")
    return Host(sys=root)


def test_a_region_and_its_devices(tmp_path: Path) -> None:
    host = plant(tmp_path)
    assert cxl.memdevs(host) == (Memdev("mem0", "0x1", 512 * MIB), Memdev("mem1", "0x1", 512 * MIB))
    assert cxl.regions(host) == (
        Region(
            "region0", 0x290000000, 512 * MIB, 2, 512,
            (Target("mem0", 0, 0, 256 * MIB), Target("mem1", 1, 16 * MIB, 256 * MIB)),
        ),
    )  # fmt: skip


def test_a_region_that_is_not_in_use_is_left_out(tmp_path: Path) -> None:
    assert cxl.regions(plant(tmp_path, changed={"commit": "0\n"})) == ()


def test_a_machine_without_cxl(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        cxl.regions(Host(sys=tmp_path))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("interleave_ways", "5\n"),
        ("interleave_granularity", "100\n"),
        ("interleave_granularity", "32768\n"),
        ("size", "0x0\n"),
        ("size", "0x100\n"),
        ("size", "512\n"),
        ("resource", "0xffffffffffffffff\n"),
        ("resource", "nowhere\n"),
        ("commit", "\n"),
    ],
)
def test_garbage_is_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(Garbled):
        cxl.regions(plant(tmp_path, changed={name: text}))


def test_a_decoder_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        cxl.regions(plant(tmp_path, changed={"target1": "decoder9.0\n"}))


def cedt(*windows: tuple[int, int, int]) -> bytes:
    """ACPI's table with a host bridge and these windows: base, size, arithmetic."""
    structures = struct.pack("<BBHI", 0, 0, 32, 7).ljust(32, b"\0")
    for base, size, arithmetic in windows:
        structures += struct.pack("<BBHIQQBB", 1, 0, 40, 0, base, size, 1, arithmetic).ljust(40, b"\0")
    return b"CEDT".ljust(36, b"\0") + structures


def test_interleaved_bridges_are_trusted_where_acpi_says_modulo(tmp_path: Path) -> None:
    host = plant(tmp_path, root_ways=2)
    table = tmp_path / "firmware/acpi/tables/CEDT"
    (region,) = cxl.regions(host)
    assert region.not_modulo is not None
    assert "which arithmetic is not known" in region.not_modulo
    table.parent.mkdir(parents=True)
    table.write_bytes(cedt((0x100000000, MIB, 1), (0x290000000, 1024 * MIB, 0)))
    (region,) = cxl.regions(host)
    assert region.not_modulo is None
    table.write_bytes(cedt((0x290000000, 1024 * MIB, 1)))
    (region,) = cxl.regions(host)
    with pytest.raises(Unavailable, match="XOR"):
        region.to_hpa(region.targets[0], np.zeros(1, dtype=np.uint64))
    with pytest.raises(Unavailable, match="XOR"):
        region.to_dpa(np.array([region.start], dtype=np.uint64))


@given(cut=st.integers(0, 107))
def test_a_table_cut_off_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    root = tmp_path_factory.mktemp("acpi")
    path = root / "firmware/acpi/tables/CEDT"
    path.parent.mkdir(parents=True)
    path.write_bytes(cedt((0x100000000, MIB, 1))[:cut])
    with pytest.raises((Garbled, Unavailable)):
        cxl.interleave_arithmetic(Host(sys=root), 0x100000000)


def region_of(ways: int, granularity: int, stripes: int, start: int = 0x100000000) -> Region:
    size = stripes * granularity
    targets = tuple(Target(f"mem{place}", place, 4096 * place, size) for place in range(ways))
    return Region("region0", start, size * ways, ways, granularity, targets)


@given(
    ways=st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16]),
    shift=st.integers(0, 6),
    data=st.data(),
)
def test_translation_is_its_own_inverse(ways: int, shift: int, data: st.DataObject) -> None:
    region = region_of(ways, 256 << shift, 1000)
    offsets = data.draw(st.lists(st.integers(0, region.size_bytes - 1), min_size=1, max_size=50))
    hpas = np.array(offsets, dtype=np.uint64) + np.uint64(region.start)
    places, dpas = region.to_dpa(hpas)
    for target in region.targets:
        mine = places == target.position
        back, inside = region.to_hpa(target, dpas[mine])
        assert inside.all()
        assert (back == hpas[mine]).all()


def test_blocks_go_round() -> None:
    region = region_of(3, 256, 4, start=0)
    hpas = np.arange(0, 3 * 256 * 2, 256, dtype=np.uint64)
    places, dpas = region.to_dpa(hpas)
    assert places.tolist() == [0, 1, 2, 0, 1, 2]
    assert dpas.tolist() == [0, 4096, 8192, 256, 4352, 8448]


def test_the_kernels_own_arithmetic_for_a_power_of_two() -> None:
    # cxl_dpa_to_hpa(), drivers/cxl/core/region.c: (offset & upper) << eiw | pos << (eig + 8) | lower.
    region = region_of(4, 1024, 100)
    offsets = np.arange(0, 100 * 1024, 777, dtype=np.uint64)
    target = region.targets[3]
    upper = (offsets & ~np.uint64(1023)) << np.uint64(2)
    wanted = (upper | np.uint64(3 << 10) | (offsets & np.uint64(1023))) + np.uint64(region.start)
    found, inside = region.to_hpa(target, offsets + np.uint64(target.dpa_start))
    assert inside.all()
    assert (found == wanted).all()


def test_device_addresses_outside_of_the_region_are_not_translated() -> None:
    region = region_of(2, 256, 4)
    target = region.targets[1]
    dpas = np.array([0, 4095, 4096, 4096 + 1023, 4096 + 1024, 2**64 - 1], dtype=np.uint64)
    found, inside = region.to_hpa(target, dpas)
    assert inside.tolist() == [False, False, True, True, False, False]
    assert found[~inside].tolist() == [0] * 4
    with pytest.raises(ValueError, match="outside of region0"):
        region.to_dpa(np.array([region.start - 1], dtype=np.uint64))
