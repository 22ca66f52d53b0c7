"""What the machine under the lab must be and have."""

from __future__ import annotations

import importlib.util
import os
import platform
import shlex
import shutil
from pathlib import Path

from tests.lab import process, progress
from tests.lab.cache import Cache
from tests.lab.errors import BuildFailed, LabError

# A command that the lab calls, and Debian's package that brings it (headers: a file instead of a command).
PACKAGES = {
    "gcc": "gcc", "make": "make", "flex": "flex", "bison": "bison", "bc": "bc", "patch": "patch", "xz": "xz-utils",
    "lz4": "lz4", "cpio": "cpio", "depmod": "kmod", "mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs",
    "buildah": "buildah", "ip": "iproute2", "setpriv": "util-linux", "openssl": "openssl",
    "ssh-keygen": "openssh-client", "mandoc": "mandoc", "git": "git",
    "/usr/include/gelf.h": "libelf-dev", "/usr/include/openssl/evp.h": "libssl-dev",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1": "libfaketime",
}  # fmt: skip
MAKE_TEST = "make test"


def in_container(asked: str) -> str:
    """The line that runs a command in Debian 13 with the Go that the modules ask for: Debian's own is too old."""
    script = f"apt-get update && apt-get install -y python3 make gcc && {asked}"
    return (
        'docker run --rm -it --privileged -v "$PWD":/thermocline -w /thermocline '
        "-v thermocline-cache:/cache -e XDG_CACHE_HOME=/cache "
        f"golang:1.26-trixie sh -c {shlex.quote(script)}"
    )


def require_lab_host(asked: str = MAKE_TEST, *, os_release: Path = Path("/etc/os-release")) -> None:
    """Raises LabError, with the line to run instead, when what is asked for cannot be had here.

    That is where it is not Debian 12 or later on x86-64, or whoever asks is not root.
    """
    try:
        fields = platform_fields(os_release.read_text())
    except FileNotFoundError:
        fields = {}
    version = fields.get("VERSION_ID", "0")
    if fields.get("ID") != "debian" or int(version) < 12 or platform.machine() != "x86_64":
        raise LabError(f"the lab needs Debian 12 or 13 on x86-64; in a container: {in_container(asked)}")
    if os.geteuid() != 0:
        raise LabError(
            "the lab needs root, for namespaces and root file systems: run it by sudo, which shall "
            f'keep the PATH that Python and Go are found on: sudo env "PATH=$PATH" {asked}'
        )


def platform_fields(os_release: str) -> dict[str, str]:
    """The assignments of an os-release(5) file, unquoted."""
    pairs = (line.partition("=") for line in os_release.splitlines() if "=" in line)
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def missing_packages() -> list[str]:
    """Debian packages that the lab needs and the machine has not."""
    missing = [
        package
        for need, package in PACKAGES.items()
        if not (Path(need).exists() if need.startswith("/") else shutil.which(need))
    ]
    # Asked of each node that is booted: pip itself would take half a second for its answer.
    if importlib.util.find_spec("pip") is None:
        missing.append("python3-pip")
    return missing


def install_packages(cache: Cache) -> None:
    """Install what is missing, by apt-get. Raises LabError when apt-get cannot."""
    missing = missing_packages()
    if not missing:
        return
    progress.say(f"installing {' '.join(missing)}")
    log = cache.log("apt-get")
    try:
        process.run(["apt-get", "update"], log=log)
        process.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], log=log)
    except BuildFailed as err:
        raise BuildFailed(
            f"apt-get could not install {' '.join(missing)}: check the network and apt's sources", log
        ) from err


def require_memory(what: str, mib: int, meminfo: Path = Path("/proc/meminfo")) -> None:
    """Raises LabError when `what`, of this size, is larger than the machine it would run on."""
    (line,) = [x for x in meminfo.read_text().splitlines() if x.startswith("MemTotal:")]
    total = int(line.split()[1]) >> 10
    if mib > total:
        raise LabError(f"{what} of {mib} MiB does not fit this machine, which has {total} MiB: ask for less")


def require_room(cache: Cache, mib: int) -> None:
    """Raises LabError when the cache's disk has too little room to build in."""
    free = shutil.disk_usage(cache.root).free >> 20
    if free < mib:
        raise LabError(
            f"building needs {mib / 1024:.1f} GiB and {cache.root} has {free / 1024:.1f} GiB: "
            "free some room, or set THERMOCLINE_CACHE to a folder on a larger disk"
        )
