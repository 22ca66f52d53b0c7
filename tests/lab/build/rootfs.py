"""What a node runs on: its root file system, this checkout's packages, and the emulator that runs it all.

    rootfs      rootfs.ext4     Debian trixie, and the Python packages that the agent and the operator need
    project     project.ext4    this checkout's packages and commands, mounted on /opt/thermocline
    emulator    usr/            QEMU and its libraries, trixie's, so that every machine runs the same one
"""

from __future__ import annotations

import inspect
import shutil
import sys
import tomllib
from pathlib import Path

from tests.lab import process
from tests.lab.build.debian import SUITE, Apt, machine_mirror
from tests.lab.build.filesystem import make_image
from tests.lab.build.part import CHECKOUT, LAB, Part, Workshop

LAB_INIT = LAB / "guest" / "lab-init"
CONSTRAINTS = CHECKOUT / "constraints.txt"
PYPROJECT = CHECKOUT / "pyproject.toml"
ROOTS = ("crds", "kernel", "agent", "operator")
DEBIAN_PACKAGES = (
    "python3", "iproute2", "kmod", "procps", "util-linux",  # any node
    "cxl", "daxctl", "numactl",                             # memory
    "runc", "nftables", "conntrack", "ca-certificates",     # kubelet, containerd and kube-proxy call these
    "dropbear-bin",                                         # `console NODE`
)  # fmt: skip
GUEST_PYTHON = "3.13"
# Where the node finds what the project disk holds.
MOUNT = "/opt/thermocline"


def _build_rootfs(workshop: Workshop, into: Path) -> None:
    log = workshop.log("rootfs")
    tree = into / "tree"
    Apt(workshop.cache, machine_mirror()).bootstrap(DEBIAN_PACKAGES, tree, log)
    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    site = tree / "usr/local/lib" / f"python{GUEST_PYTHON}" / "dist-packages"
    process.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--target", site,
         "--python-version", GUEST_PYTHON, "--only-binary=:all:", "--constraint", CONSTRAINTS,
         *extras["agent"], *extras["operator"]],
        log=log,
    )  # fmt: skip
    process.run(["chroot", tree, "python3", "-m", "compileall", "-q", "/usr/local/lib"], log=log)
    (site / "thermocline.pth").write_text(f"{MOUNT}/lib\n")
    shutil.copy(LAB_INIT, tree / "sbin/lab-init")
    (tree / MOUNT.lstrip("/")).mkdir(parents=True)
    (tree / "share").mkdir()
    # Free room for what a job or a kubelet writes; the image is sparse.
    make_image(tree, into / "rootfs.ext4", "rootfs", log, room_mib=4096)
    process.run(["rm", "-rf", tree], log=log)


def _build_project(workshop: Workshop, into: Path) -> None:
    log = workshop.log("project")
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    tree = into / "tree"
    lib, commands = tree / "lib", tree / "bin"
    commands.mkdir(parents=True)
    for package in packages():
        shutil.copytree(package, lib / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    info = lib / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    for command, target in project["scripts"].items():
        module, function = target.split(":")
        script = commands / command
        script.write_text(f"#!/usr/bin/python3\nfrom {module} import {function}\n\nraise SystemExit({function}())\n")
        script.chmod(0o755)
    make_image(tree, into / "project.ext4", "project", log)
    process.run(["rm", "-rf", tree], log=log)


def packages() -> list[Path]:
    """The folders of this checkout's Python packages."""
    return sorted(path.parent for root in ROOTS for path in (CHECKOUT / root).glob("*/__init__.py"))


def _build_emulator(workshop: Workshop, into: Path) -> None:
    log = workshop.log("emulator")
    process.run(
        ["mmdebstrap", "--variant=extract", "--mode=root", "--include=qemu-system-x86,qemu-utils",
         SUITE, into / "tree", *machine_mirror().sources()],
        log=log,
    )  # fmt: skip
    (into / "tree/usr").rename(into / "usr")
    process.run(["rm", "-rf", into / "tree"], log=log)


PARTS = (
    Part(
        "rootfs",
        60,
        inputs=lambda: (SUITE, *DEBIAN_PACKAGES, inspect.getsource(_build_rootfs), LAB_INIT, CONSTRAINTS, PYPROJECT),
        build=_build_rootfs,
    ),
    Part(
        "project",
        2,
        inputs=lambda: (*packages(), PYPROJECT, inspect.getsource(_build_project)),
        build=_build_project,
        asked=False,
    ),
    Part("emulator", 20, inputs=lambda: (SUITE, "qemu-system-x86"), build=_build_emulator, asked=False),
)
