"""A node's hardware: what the person asked for, turned into the emulator's command line. Pure.

Measured facts behind the choices (QEMU 10, TCG): with the hypervisor bit set the kernel refuses to commit a
CXL region ("Failed to synchronize CPU cache state"), and without it the kernel gives up when a busy machine
delays the timer interrupts by which it tests its wiring, unless told not to test; with fast string moves an
emulated `rep movsb` is counted once an iteration, which would drown every other instruction in a page copy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from tests.lab.errors import LabError

MIB = 1 << 20
# A virtio device without its form of before the standard, on the root bus.
MODERN_PCI = "pci-non-transitional,bus=pcie.0"
# The kernels by the name that `--kernel` takes, and the part that each is built as.
KERNELS = {"patched": "kernel", "stock": "kernel-stock", "debug": "kernel-debug"}
# What Debian's kernel has as modules and a node needs, beyond what finds the root file system.
STOCK_MODULES = {
    "cxl": "cxl_acpi cxl_pci cxl_mem cxl_port dax_cxl kmem",
    "share": "9pnet_virtio 9p",
    "cluster": "virtio_net overlay br_netfilter nf_tables veth bridge",
}


class Slow(Enum):
    """What the node's slow memory is made of."""

    NONE = "none"
    CXL = "a CXL type-3 device"
    RAM = "a CPU-less NUMA node with HMAT figures, as fast as RAM"


@dataclass(frozen=True, slots=True)
class Disk:
    """A virtio disk. A snapshot's writes go to a temporary file and are forgotten with the machine."""

    image: Path
    mode: str = "read-only"  # read-only | snapshot | writable
    format: str = "raw"


@dataclass(frozen=True, slots=True)
class Machine:
    """Sizes are in bytes. `disks` come in the order in which the guest names them, /dev/vda first."""

    kernel: str = "patched"
    memory_bytes: int = 1024 * MIB
    slow: Slow = Slow.CXL
    slow_bytes: int = 512 * MIB
    cpus: int = 2
    icount: bool = False
    share: Path | None = None
    disks: tuple[Disk, ...] = ()
    # Extra words for the kernel's command line, and a tap that is the node's network card.
    append: tuple[str, ...] = ()
    tap: str | None = None
    mac: str = "52:54:00:12:34:56"
    # What the emulator is to load into itself, as its option -plugin says it.
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.icount and self.cpus != 1:
            raise LabError("--icount counts the instructions of one CPU: say --cpus 1 with it")


@dataclass(frozen=True, slots=True)
class Files:
    """Where the emulator, the kernel and the machine's sockets are. Ports are inherited descriptors."""

    emulator: Path
    kernel: Path
    console: Path
    ports: dict[str, int] = field(default_factory=dict)


def parse_size(text: str, option: str) -> int:
    """Bytes of 512M or 2G, as an option says it. Raises LabError that says what to write."""
    match = re.fullmatch(r"([1-9][0-9]*)([MG])", text)
    if match is None:
        raise LabError(f"{option} {text!r} is no size: write a whole number with M or G, such as 512M")
    size = int(match[1]) * (MIB if match[2] == "M" else 1024 * MIB)
    if size % (128 * MIB):
        raise LabError(
            f"{option} {text} is no multiple of 128M, the unit in which Linux adds memory: round it up"
        )
    return size


def modules(machine: Machine) -> str:
    """The modules that the guest loads; nothing for a kernel that has everything built in."""
    if machine.kernel != "stock":
        return ""
    wanted = {"cxl": machine.slow is Slow.CXL, "share": machine.share, "cluster": machine.tap}
    return " ".join(STOCK_MODULES[name] for name, want in wanted.items() if want)


def tool(emulator: Path, name: str) -> list[str]:
    """A command of the emulator part, its dynamic linker first: it runs on its own libraries."""
    libraries = emulator / "usr/lib/x86_64-linux-gnu"
    return [
        str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries), str(emulator / "usr/bin" / name)
    ]  # fmt: skip


def command_line(machine: Machine, files: Files) -> list[str]:
    """The command that runs the machine."""
    return [
        *tool(files.emulator, "qemu-system-x86_64"),
        "-L", str(files.emulator / "usr/share/seabios"), "-L", str(files.emulator / "usr/share/qemu"),
        "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        *_processor(machine), *_memory(machine), *_kernel(machine, files),
        *_disks(machine), *_ports(files), *_share(machine), *_network(machine),
        "-device", f"virtio-rng-{MODERN_PCI}",
        *(word for plugin in machine.plugins for word in ("-plugin", plugin)),
    ]  # fmt: skip


def environment(files: Files) -> dict[str, str]:
    """What the emulator needs to find its own modules (TCG is one of them)."""
    return {"QEMU_MODULE_DIR": str(files.emulator / "usr/lib/x86_64-linux-gnu/qemu")}


def _escaped(path: Path) -> str:
    """A path inside an option: QEMU reads two commas as one."""
    return str(path).replace(",", ",,")


def _processor(machine: Machine) -> list[str]:
    features = ["max"]
    if machine.slow is Slow.CXL:
        features.append("-hypervisor")
    if machine.icount:
        features += ["-erms", "-fsrm"]
        return ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-smp", "1",
                "-cpu", ",".join(features)]  # fmt: skip
    return ["-accel", "tcg,thread=multi", "-smp", str(machine.cpus), "-cpu", ",".join(features)]


def _memory(machine: Machine) -> list[str]:
    prealloc = ",prealloc=on" if machine.icount else ""
    fast = f"memory-backend-ram,id=fast,size={machine.memory_bytes}{prealloc}"
    slow = f"memory-backend-ram,id=slow,size={machine.slow_bytes}{prealloc}"
    fast_node = ["-object", fast, "-numa", f"node,nodeid=0,memdev=fast,cpus=0-{machine.cpus - 1}"]
    if machine.slow is Slow.NONE:
        return ["-M", "q35", "-m", f"{machine.memory_bytes}B", *fast_node]
    if machine.slow is Slow.RAM:
        total = machine.memory_bytes + machine.slow_bytes
        return ["-M", "q35,hmat=on", "-m", f"{total}B", *fast_node,
                "-object", slow, "-numa", "node,nodeid=1,memdev=slow,initiator=0", *_hmat()]  # fmt: skip
    room = machine.memory_bytes + 4 * machine.slow_bytes
    return [
        "-M", "q35,cxl=on", "-m", f"{machine.memory_bytes}B,slots=4,maxmem={room}B", *fast_node,
        "-device", "pxb-cxl,bus_nr=12,bus=pcie.0,id=cxl.1",
        "-device", "cxl-rp,port=0,bus=cxl.1,id=rp0,chassis=0,slot=2",
        "-object", slow, "-device", "cxl-type3,bus=rp0,volatile-memdev=slow,id=vmem0",
        # A window is a multiple of 256 MiB (CXL 3.1, 9.18.1.3).
        "-M", f"cxl-fmw.0.targets.0=cxl.1,cxl-fmw.0.size={-(-machine.slow_bytes // (256 * MIB)) * 256}M",
        # The emulator has no pointer into CXL memory: what a device reads into it (page cache, say) goes through a
        # bounce buffer, and a device whose request does not fit into its 4 KiB stops for ever. Only virtio devices
        # that resolve addresses as other PCI devices do have a buffer of their own, whose size can be told.
        "-global", "virtio-device.iommu_platform=on", "-global", "pci-device.x-max-bounce-buffer-size=64M",
    ]  # fmt: skip


def _hmat() -> list[str]:
    """Figures of a DRAM node and of a CXL node, in ns and MB/s, as seen from the CPUs (ACPI 6.5, 5.2.27)."""
    words: list[str] = []
    for target, latency_ns, bandwidth in ((0, 100, "80000M"), (1, 250, "20000M")):
        common = f"hmat-lb,initiator=0,target={target},hierarchy=memory"
        words += ["-numa", f"{common},data-type=access-latency,latency={latency_ns}"]
        words += ["-numa", f"{common},data-type=access-bandwidth,bandwidth={bandwidth}"]
    return words


def _kernel(machine: Machine, files: Files) -> list[str]:
    words = ["console=ttyS0", "root=/dev/vda", "rw", "init=/sbin/lab-init", "panic=-1", "loglevel=5",
             "memhp_default_state=online_movable", "no_timer_check", *machine.append]  # fmt: skip
    if machine.icount:
        words.append("nokaslr")
    initrd = files.kernel / "initrd.img"
    return ["-kernel", str(files.kernel / "bzImage"), "-append", " ".join(words),
            *(["-initrd", str(initrd)] if machine.kernel == "stock" else []),
            "-chardev", f"file,id=console,path={_escaped(files.console)}", "-serial", "chardev:console"]  # fmt: skip


def _disks(machine: Machine) -> list[str]:
    words: list[str] = []
    for number, disk in enumerate(machine.disks):
        options = {"read-only": "read-only=on", "snapshot": "snapshot=on", "writable": "cache=unsafe"}[
            disk.mode
        ]
        file = _escaped(disk.image)
        words += ["-drive", f"if=none,id=disk{number},format={disk.format},file={file},{options}",
                  "-device", f"virtio-blk-{MODERN_PCI},drive=disk{number}"]  # fmt: skip
    return words


def _ports(files: Files) -> list[str]:
    words = ["-device", f"virtio-serial-{MODERN_PCI}"] if files.ports else []
    for number, (name, descriptor) in enumerate(files.ports.items(), start=1):
        words += ["-chardev", f"socket,id={name},fd={descriptor}",
                  "-device", f"virtserialport,chardev={name},name={name},nr={number}"]  # fmt: skip
    return words


def _share(machine: Machine) -> list[str]:
    if machine.share is None:
        return []
    return ["-fsdev", f"local,id=share,path={_escaped(machine.share)},security_model=none",
            "-device", f"virtio-9p-{MODERN_PCI},fsdev=share,mount_tag=share"]  # fmt: skip


def _network(machine: Machine) -> list[str]:
    if machine.tap is None:
        return []
    return ["-netdev", f"tap,id=net0,ifname={machine.tap},script=no,downscript=no",
            "-device", f"virtio-net-{MODERN_PCI},netdev=net0,mac={machine.mac},romfile="]  # fmt: skip
