"""Whose page is it: from the inode numbers of /proc/kpagecgroup to cgroups, and from those to pods and services.

Pages of the kernel, of the root cgroup and of nobody have no owner, and so are never moved; nor are pages of a cgroup
that this module does not know: one made after the last walk, say. A page is charged to one cgroup, whoever maps it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np

from thermocline_kernel import cgroup, kpage
from thermocline_kernel.arrays import U64, Mask
from thermocline_kernel.errors import Denied, Unavailable
from thermocline_kernel.host import Host
from thermocline_kernel.kpage import PageFlag

# What can be moved at all: pages on an LRU list, neither poisoned nor kept from reclaim by their owner.
_WANTED: Final = np.uint64(PageFlag.LRU)
_LOOKED_AT: Final = np.uint64(
    PageFlag.LRU
    | PageFlag.UNEVICTABLE
    | PageFlag.HWPOISON
    | PageFlag.OFFLINE
    | PageFlag.NOPAGE
    | PageFlag.SLAB
    | PageFlag.BUDDY
    | PageFlag.PGTABLE
    | PageFlag.ZERO_PAGE
)

# Kubelet's names, by the cgroupfs driver (pod1b4e…-…, with dashes) and by systemd's
# (kubepods-burstable-pod1b4e…_….slice); the UID of a static pod is 32 digits without any.
_UID: Final = r"[0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32}"
_POD: Final = re.compile(rf"(?:^|/)(?:kubepods(?:-burstable|-besteffort)?-)?pod({_UID})(?:\.slice)?(?:/|$)")
_KUBEPODS: Final = re.compile(r"(?:^|/)kubepods(?:\.slice)?/")


class QosClass(Enum):
    """A pod's, as its cgroup tells it."""

    GUARANTEED = "Guaranteed"
    BURSTABLE = "Burstable"
    BEST_EFFORT = "BestEffort"


@dataclass(frozen=True, slots=True)
class Owner:
    """A cgroup that pages are charged to. `inode` with `path` is its identity; `pod_uid` is None for services."""

    inode: int
    path: str
    pod_uid: str | None = None
    qos: QosClass | None = None


@dataclass(frozen=True, slots=True)
class Directory:
    """All owners, in order of their inode numbers."""

    owners: tuple[Owner, ...]

    @classmethod
    def of(cls, tree: Mapping[int, str]) -> Directory:
        """From paths of cgroups by inode number. The root owns nothing."""
        return cls(tuple(owner_of(inode, path) for inode, path in sorted(tree.items()) if path))

    @classmethod
    def read(cls, host: Host) -> Directory:
        """All cgroups of now, in one pass. Raises Unavailable, Failed or Garbled."""
        return cls.of(cgroup.walk(host))


def lives(host: Host, owner: Owner) -> bool:
    """Whether the owner is the same cgroup as when it was read. Raises Denied or Failed."""
    try:
        return cgroup.inode(host, owner.path) == owner.inode
    except Denied:
        raise
    except Unavailable:
        return False


def owner_of(inode: int, path: str) -> Owner:
    """What a cgroup's path says of it. Pure."""
    match = _POD.search(path)
    if match is None or not _KUBEPODS.search(f"{path}/"):
        return Owner(inode, path)
    uid = match[1].replace("_", "-")
    before = path[: match.end(1)]
    if "besteffort" in before:
        qos = QosClass.BEST_EFFORT
    else:
        qos = QosClass.BURSTABLE if "burstable" in before else QosClass.GUARANTEED
    return Owner(inode, path, uid, qos)


def movable(flags: U64) -> Mask:
    """Which pages may be moved as far as their flags tell; tails of large folios are told as their head is. Pure."""
    found: Mask = (flags & _LOOKED_AT) == _WANTED
    return found


def unchanged(host: Host, pfns: U64, inodes: U64) -> Mask:
    """Which frames still hold a page of the cgroup with this inode number, shape (n,): another's may be there by now.

    To be asked right before a move. Raises Unavailable, Denied, Failed or Garbled.
    """
    same: Mask = (kpage.cgroups_at(host, pfns) == inodes) & (inodes != 0)
    return same
