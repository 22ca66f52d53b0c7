"""The kernels: Debian's 6.12 source with our patches and configuration, and Debian's own 6.12 image.

kernel          bzImage, config
kernel-debug    bzImage, config: the same source and more checks
kernel-stock    bzImage, config, initrd.img, modules.ext4: Debian's binary, as it ships
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.lab import process
from tests.lab.build.debian import SUITE, Apt, machine_mirror
from tests.lab.build.part import CHECKOUT, LAB, Part, Workshop
from tests.lab.errors import BuildFailed

PATCHES = CHECKOUT / "kernel" / "patches"
FRAGMENTS = LAB / "kernel"
# An edit of these must not cost the minutes that two kernels take.
NOT_COMPILED = ("Documentation/", "MAINTAINERS", "tools/testing/")
# Two kernels are built at once, of 3 GiB of sources and objects each, and compilers want some as well.
IN_MEMORY_GIB = 10


def patches(folder: Path = PATCHES) -> list[Path]:
    """The patches in the order in which they apply: by name, as git format-patch numbers them."""
    return sorted(folder.glob("*.patch"))


def compiled(series: Sequence[Path]) -> list[Path]:
    """Those of the patches that change a kernel, not only its documents and its user-space tests."""
    # Whatever stands for a/ and b/, as patch -p1 takes it; a file that is made or removed has a name on one side.
    names = re.compile(r"^(?:---|\+\+\+) [^/\s]+/(\S+)", re.MULTILINE)
    changed = {patch: names.findall(patch.read_text()) for patch in series}
    return [
        patch
        for patch, paths in changed.items()
        if not paths or not all(path.startswith(NOT_COMPILED) for path in paths)
    ]


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


def apply_patches(source: Path, series: Sequence[Path], log: Path) -> None:
    """Apply patches to a source tree in their order. Raises BuildFailed that names the one that does not fit."""
    for patch in series:
        try:
            process.run(["patch", "-p1", "--fuzz=0", "--batch", "-d", source, "-i", patch], log=log)
        except BuildFailed as err:
            raise BuildFailed(
                f"kernel/patches/{patch.name} does not apply to Debian's linux-source-6.12: rebase it", log
            ) from err


def _fetch_source(workshop: Workshop, into: Path) -> None:
    log = workshop.log("kernel-source")
    apt = Apt(workshop.cache, machine_mirror())
    apt.update(log)
    for package in apt.download(["linux-source-6.12"], into, log):
        process.run(["dpkg-deb", "-x", package, into], log=log)
        package.unlink()


def _build(name: str, fragments: tuple[str, ...], workshop: Workshop, into: Path) -> None:
    log = workshop.log(name)
    archive = workshop.path("kernel-source") / "usr/src/linux-source-6.12.tar.xz"
    work = into / "work"
    work.mkdir()
    try:
        process.run(
            [sys.executable, "-m", __name__, archive, work, into, log, *fragments], log=log, cwd=CHECKOUT
        )
    except BuildFailed as err:
        raise BuildFailed(process.tail(log, 1).strip(), log) from err
    process.run(["rm", "-rf", work], log=log)


def main() -> int:
    """Do what _build says, in a mount namespace that is nobody else's. The log's last line says what failed."""
    archive, work, into, log = map(Path, sys.argv[1:5])
    # A source tree is 90,000 files: in memory they are there and gone at once, on a disk it takes minutes.
    if _available_gib() >= IN_MEMORY_GIB:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=80%", "lab", work], check=True)
    source, output = work / "source", work / "output"
    source.mkdir()
    output.mkdir()
    try:
        process.run(["tar", "-C", source, "--strip-components=1", "-xf", archive], log=log)
        apply_patches(source, patches(), log)
        _compile(source, output, [FRAGMENTS / fragment for fragment in sys.argv[5:]], log)
    except BuildFailed as err:
        print(err)
        return 1
    for path, name in (
        ("arch/x86/boot/bzImage", "bzImage"),
        ("System.map", "System.map"),
        (".config", "config"),
    ):
        shutil.copyfile(output / path, into / name)
    return 0


def _available_gib() -> int:
    (line,) = [x for x in Path("/proc/meminfo").read_text().splitlines() if x.startswith("MemAvailable:")]
    return int(line.split()[1]) >> 20


def _compile(source: Path, output: Path, fragments: Sequence[Path], log: Path) -> None:
    make: list[str | Path] = ["make", "-C", source, f"O={output}", f"-j{os.cpu_count()}"]
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
        inputs=lambda: (
            *compiled(patches()),
            *(FRAGMENTS / f for f in fragments),
            inspect.getsource(_compile),
        ),
        build=lambda workshop, into: _build(name, fragments, workshop, into),
        needs=("kernel-source",),
        room_mib=3072,
    )


PARTS = (
    # The newest 6.12 that Debian has on the day it is fetched: its mirrors keep no older one to pin.
    Part("kernel-source", 15, inputs=lambda: (SUITE, "linux-source-6.12"), build=_fetch_source, asked=False),
    _built("kernel", 600, "node.config"),
    _built("kernel-debug", 900, "node.config", "debug.config"),
)

if __name__ == "__main__":
    sys.exit(main())
