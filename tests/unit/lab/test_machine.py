"""The emulator's command line, from what a person asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab import machine
from tests.lab.errors import LabError
from tests.lab.machine import MIB, Disk, Files, Machine, Slow

FILES = Files(Path("/emulator"), Path("/kernel"), Path("/run/a,b/console"), {"out": 5, "err": 6})


def words(wanted: Machine) -> list[str]:
    return machine.command_line(wanted, FILES)


def option(wanted: Machine, name: str) -> list[str]:
    line = words(wanted)
    return [line[i + 1] for i, word in enumerate(line) if word == name]


@pytest.mark.parametrize(
    ("text", "size"), [("512M", 512 * MIB), ("1G", 1024 * MIB), ("2G", 2048 * MIB), ("128M", 128 * MIB)]
)
def test_sizes(text: str, size: int) -> None:
    assert machine.parse_size(text, "--cxl") == size


@pytest.mark.parametrize("text", ["", "512", "0M", "-1G", "1.5G", "512MB", "1T", "100M", "G"])
def test_a_size_that_is_none_says_what_to_write(text: str) -> None:
    with pytest.raises(LabError, match=r"write|round it up"):
        machine.parse_size(text, "--cxl")


def test_cxl_is_a_type_3_device_behind_a_root_port_and_hides_the_hypervisor() -> None:
    line = " ".join(words(Machine(slow=Slow.CXL, slow_bytes=256 * MIB)))
    assert "cxl-type3,bus=rp0,volatile-memdev=slow" in line
    assert f"memory-backend-ram,id=slow,size={256 * MIB}" in line
    assert "-hypervisor" in line


def test_slow_ram_is_a_node_without_cpus_and_with_hmat_figures() -> None:
    wanted = Machine(slow=Slow.RAM, memory_bytes=1024 * MIB, slow_bytes=512 * MIB)
    assert option(wanted, "-m") == [f"{1536 * MIB}B"]
    assert "node,nodeid=1,memdev=slow,initiator=0" in option(wanted, "-numa")
    assert sum("hmat-lb" in word for word in option(wanted, "-numa")) == 4
    assert "q35,hmat=on" in option(wanted, "-M")


def test_no_slow_memory_is_one_node() -> None:
    line = " ".join(words(Machine(slow=Slow.NONE)))
    assert "id=slow" not in line
    assert "nodeid=1" not in line


def test_icount_runs_one_cpu_without_address_randomization() -> None:
    wanted = Machine(icount=True, cpus=1, slow=Slow.RAM)
    assert option(wanted, "-icount") == ["shift=0,sleep=off"]
    assert option(wanted, "-smp") == ["1"]
    assert "-erms,-fsrm" in option(wanted, "-cpu")[0]
    assert "nokaslr" in option(wanted, "-append")[0]


def test_icount_on_two_cpus_is_refused() -> None:
    with pytest.raises(LabError, match="--cpus 1"):
        Machine(icount=True, cpus=2)


def test_only_the_stock_kernel_starts_from_an_initial_ram_disk_and_loads_modules() -> None:
    assert option(Machine(kernel="stock"), "-initrd") == ["/kernel/initrd.img"]
    assert option(Machine(kernel="patched"), "-initrd") == []
    assert "cxl_mem" in machine.modules(Machine(kernel="stock", slow=Slow.CXL))
    assert "9p" in machine.modules(Machine(kernel="stock", slow=Slow.NONE, share=Path("/x")))
    assert machine.modules(Machine(kernel="patched")) == ""


def test_disks_keep_their_order_and_commas_in_paths_are_doubled() -> None:
    disks = (
        Disk(Path("/a,b/root.img"), "snapshot"),
        Disk(Path("/job")),
        Disk(Path("/w"), "writable", "qcow2"),
    )
    drives = option(Machine(disks=disks), "-drive")
    assert [drive.split(",")[1] for drive in drives] == ["id=disk0", "id=disk1", "id=disk2"]
    assert "file=/a,,b/root.img,snapshot=on" in drives[0]
    assert "read-only=on" in drives[1]
    assert "format=qcow2" in drives[2]
    assert "file,id=console,path=/run/a,,b/console" in option(Machine(), "-chardev")


def test_ports_are_numbered_in_order_and_take_their_descriptors() -> None:
    chardevs = option(Machine(), "-chardev")
    assert "socket,id=out,fd=5" in chardevs
    assert "socket,id=err,fd=6" in chardevs
    assert words(replace(Machine(), tap="tap1")).count("-netdev") == 1


@pytest.mark.parametrize(("size_mib", "window"), [(128, 256), (512, 512), (640, 768), (8192, 8192)])
def test_the_window_holds_all_of_the_device(size_mib: int, window: int) -> None:
    wanted = Machine(slow=Slow.CXL, slow_bytes=size_mib * MIB)
    assert f"cxl-fmw.0.targets.0=cxl.1,cxl-fmw.0.size={window}M" in option(wanted, "-M")
