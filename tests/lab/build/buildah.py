"""Container images made by buildah, in a store of their own.

Works with buildah 1.28 (Debian 12) and 1.39 (Debian 13), as root, without a daemon and without a network.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

from tests.lab import process

# Whatever the machine thinks of signatures concerns images from elsewhere.
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'
# buildah 1.39 wants to know where netavark is, which Debian only recommends, and never calls it when a build
# is isolated by chroot: any program will do.
CONFIGURATION = '[engine]\nhelper_binaries_dir = ["{helpers}"]\n'


class Buildah:
    """A store below the new folder `home`, which goes with the folder. Several threads may build at once."""

    def __init__(self, home: Path, log: Path) -> None:
        self.log = log
        temporary, helpers = home / "tmp", home / "helpers"
        for folder in (temporary, helpers):
            folder.mkdir(parents=True)
        (helpers / "netavark").symlink_to("/bin/false")
        configuration, policy = home / "containers.conf", home / "policy.json"
        configuration.write_text(CONFIGURATION.format(helpers=helpers))
        policy.write_text(POLICY)
        self._store: list[str | Path] = [
            "--root", home / "store", "--runroot", home / "run", "--storage-driver", "vfs",
        ]  # fmt: skip
        # Of files and processes buildah wants a million for what it runs, which not every root may have.
        limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
        hard = {name: resource.getrlimit(which)[1] for name, which in limits.items()}
        ulimits = [f"--ulimit={name}={n}:{n}" for name, n in hard.items() if n != resource.RLIM_INFINITY]
        self._options: list[str | Path] = [
            "--isolation", "chroot", "--pull-never", "--format", "oci", "--disable-compression=false",
            "--signature-policy", policy, *ulimits,
        ]  # fmt: skip
        self._environment = {"TMPDIR": str(temporary), "CONTAINERS_CONF": str(configuration)}

    def build(self, context: Path, name: str, *options: str | Path, layout: Path | None = None) -> None:
        """Build the image `name` from a folder and its Dockerfile, or from the one that `options` name.

        The image is kept in the store, for others to be built from, or written to a new OCI image layout.
        """
        tag = f"oci:{layout}:{name}" if layout else name
        process.run(
            ["buildah", *self._store, "bud", *self._options, *options, "--tag", tag, context],
            log=self.log,
            env={**os.environ, **self._environment},
        )  # fmt: skip
