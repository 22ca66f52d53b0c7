"""Debian's own 6.12 kernel, as it ships: the machine that nobody patched.

    kernel-stock    bzImage, config, initrd.img, modules.ext4

Debian builds its disk and file-system drivers as modules, so this kernel starts from an initial RAM disk
that loads them and hands over; all other modules are on a disk of their own, labelled `modules`.
"""

from __future__ import annotations

import lzma
from pathlib import Path

from tests.lab import process
from tests.lab.build import filesystem
from tests.lab.build.debian import SUITE, Apt, machine_mirror
from tests.lab.build.filesystem import make_image
from tests.lab.build.part import LAB, Part, Workshop

INITRD_INIT = LAB / "guest" / "initrd-init"
# What it takes to find the root file system and to talk to the lab.
BOOT_MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "crc32c_generic", "ext4")
# What no virtual machine has a use for, and three quarters of the disk (below kernel/).
LEFT_OUT = (
    "sound", "drivers/gpu", "drivers/media", "drivers/infiniband", "drivers/staging", "drivers/usb",
    "drivers/net/wireless", "drivers/net/ethernet", "drivers/scsi", "drivers/iio", "drivers/hid", "drivers/input",
)  # fmt: skip


def load_order(modules_dep: str, wanted: tuple[str, ...]) -> list[str]:
    """Paths of the wanted modules, each after those that it depends on.

    `modules_dep` is depmod's modules.dep(5): `path: path...`, the dependencies in reverse order of loading.
    A wanted name that is not there is built in.
    """
    depends = {}
    for line in modules_dep.splitlines():
        path, _, needed = line.partition(":")
        depends[path] = needed.split()
    by_name = {Path(path).name.partition(".")[0].replace("-", "_"): path for path in depends}
    order: list[str] = []
    for name in wanted:
        if name in by_name:
            path = by_name[name]
            order += [p for p in (*reversed(depends[path]), path) if p not in order]
    return order


def _build(workshop: Workshop, into: Path) -> None:
    log = workshop.log("kernel-stock")
    apt = Apt(workshop.cache, machine_mirror())
    apt.update(log)
    image = apt.dependency("linux-image-amd64", r"linux-image-6\.12\.\S+-amd64")
    version = image.removeprefix("linux-image-")
    tree = into / "tree"
    tree.mkdir()
    for package in apt.download([image, "busybox-static"], into, log):
        process.run(["dpkg-deb", "-x", package, tree], log=log)
        package.unlink()
    (tree / "boot" / f"vmlinuz-{version}").rename(into / "bzImage")
    (tree / "boot" / f"config-{version}").rename(into / "config")

    modules = tree / "usr/lib/modules"
    process.run(["rm", "-rf", *(modules / version / "kernel" / folder for folder in LEFT_OUT)], log=log)
    for packed in modules.rglob("*.ko.xz"):
        packed.with_suffix("").write_bytes(lzma.decompress(packed.read_bytes()))
        packed.unlink()
    process.run(["depmod", "-b", tree / "usr", version], log=log)
    _make_initrd(tree, modules / version, into / "initrd.img", log)
    make_image(modules, into / "modules.ext4", "modules", log)
    process.run(["rm", "-rf", tree], log=log)


def _make_initrd(tree: Path, modules: Path, image: Path, log: Path) -> None:
    root = tree / "initrd"
    for folder in ("bin", "dev", "proc", "root", "modules"):
        (root / folder).mkdir(parents=True)
    (tree / "usr/bin/busybox").rename(root / "bin/busybox")
    order = load_order((modules / "modules.dep").read_text(), BOOT_MODULES)
    for path in order:
        (root / "modules" / Path(path).name).write_bytes((modules / path).read_bytes())
    (root / "modules/order").write_text("".join(f"{Path(path).name}\n" for path in order))
    (root / "init").write_bytes(INITRD_INIT.read_bytes())
    (root / "init").chmod(0o755)
    process.run(
        ["sh", "-c", 'cd "$0" && find . | cpio --quiet -o -H newc | gzip -1 >"$1"', root, image], log=log
    )


PARTS = (
    Part(
        "kernel-stock",
        40,
        inputs=lambda: (SUITE, Path(__file__), Path(filesystem.__file__), INITRD_INIT),
        build=_build,
        asked=False,
        room_mib=2048,
    ),
)
