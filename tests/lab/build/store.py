"""The disk that a node's containerd keeps its images on, made by a containerd that runs here for a moment.

That containerd works in memory, for overlayfs cannot write to every file system that the cache may lie on:
not to the root of a container, which is an overlay itself. It and this module's main() run in namespaces of
their own, which end with main(), so whatever kills the lab, no process, socket or mount is left.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.lab import process
from tests.lab.build.filesystem import make_image
from tests.lab.build.part import CHECKOUT
from tests.lab.errors import BuildFailed, LabError

# A node's disk holds more than images: containers' writable layers.
ROOM_MIB = 2048
START_SECONDS = 60
# A short path, as a socket's must be, and hidden from everybody else by then.
HOME = Path("/run")
SOCKET = HOME / "containerd.sock"
# No plugins for pods, nor the one that makes /opt/containerd.
CONFIGURATION = f"""\
version = 3
root = '{HOME}/root'
state = '{HOME}/state'
disabled_plugins = [
  'io.containerd.cri.v1.runtime', 'io.containerd.cri.v1.images', 'io.containerd.grpc.v1.cri',
  'io.containerd.nri.v1.nri', 'io.containerd.internal.v1.opt',
]
[grpc]
  address = '{SOCKET}'
[ttrpc]
  address = '{SOCKET}.ttrpc'
"""


def make_store(binaries: Path, layouts: Path, image: Path, log: Path) -> None:
    """Make a file-system image of containerd's root folder with the images of all OCI layouts in a folder.

    They are unpacked for the overlayfs snapshotter. Raises BuildFailed.
    """
    try:
        process.run([sys.executable, "-m", __name__, binaries, layouts, image, log], log=log, cwd=CHECKOUT)
    except BuildFailed as err:
        raise BuildFailed("containerd could not import the images", log) from err


def main() -> int:
    """Do what make_store says, in a mount namespace that is nobody else's."""
    binaries, layouts, image, log = map(Path, sys.argv[1:])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "lab", HOME], check=True)
    configuration = HOME / "containerd.toml"
    configuration.write_text(CONFIGURATION)
    with subprocess.Popen([binaries / "containerd", "--config", configuration]) as server:
        try:
            _wait_for(server)
            for layout in sorted(layouts.iterdir()):
                _import(binaries / "ctr", layout)
        finally:
            server.terminate()
    make_image(HOME / "root", image, "images", log, room_mib=ROOM_MIB, written=True)
    return 0


def _wait_for(server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not SOCKET.exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise LabError("containerd did not start")
        time.sleep(0.05)


def _import(ctr: Path, layout: Path) -> None:
    client: list[str | Path] = [ctr, "--address", SOCKET, "--namespace", "k8s.io"]
    with subprocess.Popen(["tar", "-C", layout, "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(
            [*client, "images", "import", "--snapshotter", "overlayfs", "-"], stdin=tar.stdout, check=True
        )


if __name__ == "__main__":
    sys.exit(main())
