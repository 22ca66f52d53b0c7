"""The container images that a node has before it starts.

    base-image  base.tar: what stands in for the public Python image, which is out of reach
    images      containerd.ext4: a node's /var/lib/containerd with the images imported and unpacked

The project's images are built from its Dockerfile, as a person would build them, from wheels that are there
already: nothing of this machine's configuration can end up in them.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab import process
from tests.lab.build import buildah, filesystem, store, wheels
from tests.lab.build.buildah import Buildah
from tests.lab.build.debian import BOOTSTRAP, SUITE, Apt, machine_mirror
from tests.lab.build.part import CHECKOUT, LAB, Part, Workshop
from tests.lab.build.rootfs import CONSTRAINTS, PYPROJECT, packages
from tests.lab.build.store import make_store
from tests.lab.errors import LabError

PAUSE = LAB / "pause"
DOCKERFILE = CHECKOUT / "Dockerfile"
LOCKS = CHECKOUT / "images"
CONTEXT = (DOCKERFILE, CHECKOUT / ".dockerignore", CHECKOUT / "README.md", CHECKOUT / "LICENSE", LOCKS)
TARGETS = ("agent", "operator")
BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates")
# Run by mmdebstrap with the new root as $1: Python is where the public image has it, no mirror is named.
BASE_HOOKS = (
    'ln -s ../../bin/python3 "$1/usr/local/bin/python3" && ln -s python3 "$1/usr/local/bin/python"',
)


def image_name(target: str) -> str:
    """The name of a target of the Dockerfile, as pods in the lab say it."""
    return f"thermocline.dev/{target}:dev"


def base_name(dockerfile: str) -> str:
    """The public image that the Dockerfile starts from."""
    match = re.search(r"^ARG BASE=(\S+)$", dockerfile, re.MULTILINE)
    if match is None:
        raise LabError(f"{DOCKERFILE} names no base image: it needs a line ARG BASE=NAME")
    return match[1]


def sandbox_name(containerd_config: str) -> str:
    """The image that containerd wants for a pod's sandbox, from its default configuration."""
    match = re.search(r"^\s*sandbox(?:_image)? = ['\"](\S+)['\"]$", containerd_config, re.MULTILINE)
    if match is None:
        raise LabError("containerd's default configuration names no sandbox image: its format has changed")
    return match[1]


def _build_base(workshop: Workshop, into: Path) -> None:
    apt = Apt(workshop.cache, machine_mirror())
    apt.bootstrap(BASE_PACKAGES, into / "base.tar", workshop.log("base-image"), hooks=BASE_HOOKS)


def _build_images(workshop: Workshop, into: Path) -> None:
    log = workshop.log("images")
    work = into / "work"
    layouts = work / "layouts"
    layouts.mkdir(parents=True)
    binaries = workshop.path("containerd") / "bin"
    images = Buildah(work / "buildah", log)
    sandbox = sandbox_name(process.output_of([binaries / "containerd", "config", "default"]))
    _build_pause(images, sandbox, work / "pause", layouts / "pause")
    _build_project(images, workshop, work, layouts)
    make_store(binaries, layouts, into / "containerd.ext4", log)
    process.run(["rm", "-rf", work], log=log)


def _build_pause(images: Buildah, name: str, context: Path, layout: Path) -> None:
    context.mkdir()
    gcc = ["gcc", "-Os", "-static", "-Wall", "-Werror", "-o"]
    process.run([*gcc, context / "pause", PAUSE / "pause.c"], log=images.log)
    # It runs as nobody, whatever umask we have.
    (context / "pause").chmod(0o755)
    images.build(context, name, "--file", PAUSE / "Dockerfile", layout=layout)


def _build_project(images: Buildah, workshop: Workshop, work: Path, layouts: Path) -> None:
    base = work / "Base"
    base.write_text("FROM scratch\nADD base.tar /\n")
    images.build(workshop.path("base-image"), base_name(DOCKERFILE.read_text()), "--file", base)
    configuration = work / "pip.conf"
    configuration.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    mounts = [f"--volume={configuration}:/etc/pip.conf:ro", f"--volume={workshop.path('wheels')}:/wheels:ro"]

    def build(target: str) -> None:
        images.build(CHECKOUT, image_name(target), *mounts, "--target", target, layout=layouts / target)

    # pip keeps but one core busy.
    with ThreadPoolExecutor() as pool:
        list(pool.map(build, TARGETS))


def _inputs() -> tuple[str | Path, ...]:
    built_by = (Path(module) for module in (__file__, buildah.__file__, store.__file__, filesystem.__file__))
    return (*CONTEXT, PYPROJECT, CONSTRAINTS, *packages(), PAUSE, *built_by)


PARTS = (
    *wheels.PARTS,
    Part(
        "base-image",
        20,
        inputs=lambda: (SUITE, *BASE_PACKAGES, *BASE_HOOKS, BOOTSTRAP),
        build=_build_base,
        asked=False,
    ),
    Part(
        "images",
        45,
        inputs=_inputs,
        build=_build_images,
        needs=("containerd", "base-image", "wheels"),
        room_mib=3072,
    ),
)
