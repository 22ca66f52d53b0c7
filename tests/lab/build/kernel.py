"""The kernels: Debian's 6.12 source with our patches and configuration, and Debian's own 6.12 image.

    kernel          bzImage, config
    kernel-debug    bzImage, config: the same source and more checks
    kernel-stock    vmlinuz, config, initrd.img, modules.ext4: Debian's binary, as it ships
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Sequence
from pathlib import Path

from tests.lab import process
from tests.lab.build.debian import SUITE, Apt, machine_mirror
from tests.lab.build.part import CHECKOUT, LAB, Part, Workshop
from tests.lab.errors import BuildFailed

PATCHES = CHECKOUT / "kernel" / "patches"
FRAGMENTS = LAB / "kernel"


def patches(folder: Path = PATCHES) -> list[Path]:
    """The patches in the order in which they apply: by name, as git format-patch numbers them."""
    return sorted(folder.glob("*.patch"))


def lost_options(fragment: str, config: str) -> list[str]:
    """The fragment's lines that a .config does not honour.

    An option that is not visible has no line in .config at all, which is as good as `is not set`.
    """
    present = set(config.splitlines())
    lost = []
    for line in fragment.splitlines():
        if match := re.fullmatch(r"# (CONFIG_\w+) is not set", line):
            if any(other.startswith(f"{match[1]}=") for other in present):
                lost.append(line)
        elif line.startswith("CONFIG_") and line not in present:
            lost.append(line)
    return lost


def _fetch_source(workshop: Workshop, into: Path) -> None:
    log = workshop.log("kernel-source")
    apt = Apt(workshop.cache, machine_mirror())
    apt.update(log)
    for package in apt.download(["linux-source-6.12"], into, log):
        process.run(["dpkg-deb", "-x", package, into], log=log)
        package.unlink()


def _build(name: str, fragments: tuple[str, ...], workshop: Workshop, into: Path) -> None:
    log = workshop.log(name)
    source, output = into / "source", into / "output"
    source.mkdir()
    output.mkdir()
    archive = workshop.path("kernel-source") / "usr/src/linux-source-6.12.tar.xz"
    process.run(["tar", "-C", source, "--strip-components=1", "-xf", archive], log=log)
    for patch in patches():
        try:
            process.run(["patch", "-p1", "--fuzz=0", "--batch", "-d", source, "-i", patch], log=log)
        except BuildFailed as err:
            raise BuildFailed(
                f"kernel/patches/{patch.name} does not apply to Debian's linux-source-6.12: rebase it", log
            ) from err

    _compile(source, output, [FRAGMENTS / fragment for fragment in fragments], log)
    (output / "arch/x86/boot/bzImage").rename(into / "bzImage")
    (output / "System.map").rename(into / "System.map")
    (output / ".config").rename(into / "config")
    process.run(["rm", "-rf", source, output], log=log)


def _compile(source: Path, output: Path, fragments: Sequence[Path], log: Path) -> None:
    make = ["make", "-C", source, f"O={output}", f"-j{os.cpu_count()}"]
    process.run([*make, "tinyconfig"], log=log)
    merge = source / "scripts/kconfig/merge_config.sh"
    process.run([merge, "-m", "-O", output, output / ".config", *fragments], log=log, cwd=source)
    process.run([*make, "olddefconfig"], log=log)
    config = (output / ".config").read_text()
    if lost := [line for path in fragments for line in lost_options(path.read_text(), config)]:
        raise BuildFailed(f"the kernel's configuration does not keep {', '.join(lost)}", log)
    process.run([*make, "bzImage"], log=log)


def _built(name: str, expected_seconds: int, *fragments: str) -> Part:
    return Part(
        name,
        expected_seconds,
        # Of this module only the function that compiles: an edit elsewhere must not cost ten minutes.
        inputs=lambda: (*patches(), *(FRAGMENTS / f for f in fragments), inspect.getsource(_compile)),
        build=lambda workshop, into: _build(name, fragments, workshop, into),
        needs=("kernel-source",),
    )


PARTS = (
    # The newest 6.12 that Debian has on the day it is fetched; `cache prune --sources` fetches it anew.
    Part("kernel-source", 15, inputs=lambda: (SUITE, "linux-source-6.12"), build=_fetch_source, asked=False),
    _built("kernel", 600, "node.config"),
    _built("kernel-debug", 900, "node.config", "debug.config"),
)
