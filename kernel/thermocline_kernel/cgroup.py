"""The tree of cgroups v2, /sys/fs/cgroup: which directory has which inode number, and who is in it.

Source: Documentation/admin-guide/cgroup-v2.rst, fs/kernfs/inode.c, include/linux/kernfs.h, Linux 6.12. On a 64-bit
kernel the inode number of a directory is its kernfs ID, whose upper half counts how often the lower one was used
(kernfs_id_ino()), so a number is not used again for another cgroup while the machine runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from thermocline_kernel.errors import Garbled, Unavailable, failure
from thermocline_kernel.host import Host

# No tree of cgroups is deeper; a loop in what is not one must end.
_MAX_DEPTH = 64


def root(host: Host) -> Path:
    """Where the tree is mounted."""
    return host.sys / "fs" / "cgroup"


def walk(host: Host) -> Mapping[int, str]:
    """The path of each cgroup, below the root and without a slash in front, by its inode number.

    The root itself is the empty path. Directories that go away meanwhile are left out. Raises Unavailable when no
    cgroup v2 is mounted there, Failed, or Garbled when two cgroups have one number.
    """
    top = root(host)
    # The file is of version 2 alone, and is in the root, too.
    if not (top / "cgroup.controllers").exists():
        raise Unavailable(top, "no cgroup v2 is mounted there")
    try:
        found = {top.stat().st_ino: ""}
        for inode, path in _below(os.fspath(top), "", 0):
            if inode in found:
                raise Garbled(top, f"{path!r} and {found[inode]!r} have one inode number, {inode}")
            found[inode] = path
    except OSError as err:
        raise failure(top, err) from err
    return MappingProxyType(found)


def inode(host: Host, path: str) -> int:
    """The inode number of one cgroup. Raises Unavailable when it is gone."""
    folder = root(host) / path
    try:
        return folder.stat().st_ino
    except OSError as err:
        raise failure(folder, err) from err


def processes(host: Host, path: str) -> tuple[int, ...]:
    """The processes in one cgroup, not those in cgroups below it. Raises Unavailable, Failed or Garbled."""
    file = root(host) / path / "cgroup.procs"
    try:
        text = file.read_bytes()
    except OSError as err:
        raise failure(file, err) from err
    words = text.split()
    # 0 stands for a process of another PID namespace, whose number here nobody can tell.
    if (text and not text.endswith(b"\n")) or not all(word.isdigit() for word in words):
        raise Garbled(file, "numbers of processes expected, one a line")
    return tuple(pid for pid in map(int, words) if pid)


def _below(folder: str, path: str, depth: int) -> Iterator[tuple[int, str]]:
    if depth > _MAX_DEPTH:
        raise Garbled(folder, f"more than {_MAX_DEPTH} cgroups inside each other")
    try:
        with os.scandir(folder) as entries:
            # What readdir tells is enough: no entry is looked at one by one.
            inside = [(entry.inode(), entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    for number, name in inside:
        below = f"{path}/{name}" if path else name
        yield number, below
        yield from _below(f"{folder}/{name}", below, depth + 1)
