"""The disk with what makes a machine a Kubernetes node, mounted on /opt/kubernetes.

node-binaries   kubernetes.ext4: bin/ (kubelet, kube-proxy, containerd, …), cni/
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.lab import process
from tests.lab.build import filesystem
from tests.lab.build.filesystem import make_image
from tests.lab.build.part import Part, Workshop


def _build(workshop: Workshop, into: Path) -> None:
    log = workshop.log("node-binaries")
    tree = into / "tree"
    for part in ("kubernetes", "containerd"):
        shutil.copytree(workshop.path(part) / "bin", tree / "bin", symlinks=True, dirs_exist_ok=True)
    shutil.copytree(workshop.path("cni") / "bin", tree / "cni")
    make_image(tree, into / "kubernetes.ext4", "kubernetes", log)
    process.run(["rm", "-rf", tree], log=log)


PARTS = (
    Part(
        "node-binaries",
        5,
        inputs=lambda: (Path(__file__), Path(filesystem.__file__)),
        build=_build,
        needs=("kubernetes", "containerd", "cni"),
        asked=False,
    ),
)
