"""What a node runs on: its root file system, this checkout's packages, and the emulator that runs it all.

rootfs      rootfs.ext4     Debian trixie, and the Python packages that the agent and the operator need
project     project.ext4    this checkout's packages, compiled, and commands, mounted on /opt/thermocline
emulator    usr/            QEMU and its libraries, trixie's, so that every machine runs the same one
"""

from __future__ import annotations

import inspect
import shutil
import tomllib
from pathlib import Path

from tests.lab import process
from tests.lab.build import filesystem
from tests.lab.build.debian import BOOTSTRAP, SUITE, Apt, machine_mirror
from tests.lab.build.filesystem import make_image
from tests.lab.build.part import CHECKOUT, LAB, Part, Workshop
from tests.lab.build.pip import pip

LAB_INIT = LAB / "guest" / "lab-init"
CONSTRAINTS = CHECKOUT / "constraints.txt"
PYPROJECT = CHECKOUT / "pyproject.toml"
ROOTS = ("crds", "kernel", "agent", "operator")
DEBIAN_PACKAGES = (
    "python3", "iproute2", "kmod", "procps", "util-linux",  # any node
    "cxl", "daxctl", "numactl",                             # memory
    "e2fsprogs",                                            # disks that tests make
    "runc", "nftables", "conntrack", "ca-certificates",     # kubelet, containerd and kube-proxy call these
    "dropbear-bin",                                         # `console NODE`
    "redis-server",                                         # a service whose pages tests and the demo move
)  # fmt: skip
GUEST_PYTHON = "3.13"
# Where the node finds what the project disk holds.
MOUNT = "/opt/thermocline"
# Of the image that has the same Python: what runs it.
INTERPRETER = (
    "./lib", "./lib64", f"./usr/bin/python{GUEST_PYTHON}", f"./usr/lib/python{GUEST_PYTHON}", "./usr/lib64",
    "./usr/lib/x86_64-linux-gnu",
)  # fmt: skip
FILESYSTEM = Path(filesystem.__file__)


def _build_rootfs(workshop: Workshop, into: Path) -> None:
    log = workshop.log("rootfs")
    tree = into / "tree"
    Apt(workshop.cache, machine_mirror()).bootstrap(DEBIAN_PACKAGES, tree, log)
    site = tree / "usr/local/lib" / f"python{GUEST_PYTHON}" / "dist-packages"
    pip(
        ["install", "--no-compile", "--target", site, "--python-version", GUEST_PYTHON,
         "--only-binary=:all:", "--constraint", CONSTRAINTS, *_extras()],
        log,
    )  # fmt: skip
    process.run(["chroot", tree, "python3", "-m", "compileall", "-q", "/usr/local/lib"], log=log)
    (site / "thermocline.pth").write_text(f"{MOUNT}/lib\n")
    shutil.copy(LAB_INIT, tree / "sbin/lab-init")
    (tree / MOUNT.lstrip("/")).mkdir(parents=True)
    (tree / "share").mkdir()
    # Free room for what a job or a kubelet writes; the image is sparse.
    make_image(tree, into / "rootfs.ext4", "rootfs", log, room_mib=4096, written=True)
    process.run(["rm", "-rf", tree], log=log)


def _build_project(workshop: Workshop, into: Path) -> None:
    log = workshop.log("project")
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    # By the nodes' Python, and where they find it: a node cannot write to this disk, and to compile what it starts
    # takes an emulated CPU seconds, each time.
    root = into / "root"
    tree = root / MOUNT.lstrip("/")
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
        script.write_text(
            f"#!/usr/bin/python3\nfrom {module} import {function}\n\nraise SystemExit({function}())\n"
        )
        script.chmod(0o755)
    process.run(["tar", "-C", root, "-xf", workshop.path("base-image") / "base.tar", *INTERPRETER], log=log)
    compiling = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", f"{MOUNT}/lib"]
    process.run(["chroot", root, f"/usr/bin/python{GUEST_PYTHON}", *compiling], log=log)
    make_image(tree, into / "project.ext4", "project", log)
    process.run(["rm", "-rf", root], log=log)


def packages() -> list[Path]:
    """The folders of this checkout's Python packages."""
    return sorted(path.parent for root in ROOTS for path in (CHECKOUT / root).glob("*/__init__.py"))


def _build_emulator(workshop: Workshop, into: Path) -> None:
    log = workshop.log("emulator")
    apt = Apt(workshop.cache, machine_mirror())
    apt.bootstrap(("qemu-system-x86", "qemu-utils"), into / "tree", log, variant="extract")
    (into / "tree/usr").rename(into / "usr")
    process.run(["rm", "-rf", into / "tree"], log=log)


def _extras() -> tuple[str, ...]:
    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    return (*extras["agent"], *extras["operator"])


def _rootfs_inputs() -> tuple[str | Path, ...]:
    made_by = (inspect.getsource(_build_rootfs), FILESYSTEM, BOOTSTRAP, GUEST_PYTHON, MOUNT)
    return (SUITE, *DEBIAN_PACKAGES, *made_by, LAB_INIT, CONSTRAINTS, *_extras())


def _project_inputs() -> tuple[str | Path, ...]:
    made_by = (inspect.getsource(_build_project), FILESYSTEM, GUEST_PYTHON, MOUNT, *INTERPRETER)
    return (*packages(), PYPROJECT, *made_by)


PARTS = (
    Part("rootfs", 60, inputs=_rootfs_inputs, build=_build_rootfs, room_mib=2048),
    Part(
        "project",
        5,
        inputs=_project_inputs,
        build=_build_project,
        needs=("base-image",),
        asked=False,
    ),
    Part(
        "emulator",
        20,
        inputs=lambda: (SUITE, BOOTSTRAP, inspect.getsource(_build_emulator)),
        build=_build_emulator,
        asked=False,
    ),
)
