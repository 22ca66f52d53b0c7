"""Whose page: cgroups' paths, inode numbers in bulk, and what is asked again right before a move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.kernel import trees
from thermocline_agent import owners
from thermocline_agent.owners import Directory, QosClass, owner_of
from thermocline_kernel import cgroup
from thermocline_kernel.host import Host
from thermocline_kernel.kpage import PageFlag

UID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
FLAT = UID.replace("-", "_")
STATIC = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("path", "uid", "qos"),
    [
        (f"kubepods/besteffort/pod{UID}/5f", UID, QosClass.BEST_EFFORT),
        (f"kubepods/burstable/pod{UID}", UID, QosClass.BURSTABLE),
        (f"kubepods/pod{UID}/5f/inner", UID, QosClass.GUARANTEED),
        (f"kubepods/burstable/pod{STATIC}/5f", STATIC, QosClass.BURSTABLE),
        (
            f"kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{FLAT}.slice/cri-containerd-5f.scope",
            UID,
            QosClass.BEST_EFFORT,
        ),
        (f"kubepods.slice/kubepods-pod{FLAT}.slice/cri-containerd-5f.scope", UID, QosClass.GUARANTEED),
        (f"kubelet.slice/kubepods.slice/kubepods-pod{FLAT}.slice", UID, QosClass.GUARANTEED),
        # None of these is a pod.
        ("kubepods/besteffort", None, None),
        ("system.slice/redis.service", None, None),
        (f"system.slice/pod{UID}", None, None),
        (f"kubepods/besteffort/podx{UID}", None, None),
        (f"kubepods/besteffort/pod{UID}x", None, None),
        ("kubepods/pod", None, None),
    ],
)
def test_a_path_tells_the_pod(path: str, uid: str | None, qos: QosClass | None) -> None:
    found = owner_of(7, path)
    assert (found.inode, found.path, found.pod_uid, found.qos) == (7, path, uid, qos)


def test_the_root_owns_nothing() -> None:
    assert [owner.path for owner in Directory.of({1: "", 300: "b", 20: "a"}).owners] == ["a", "b"]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = trees.host(tmp_path)
    trees.plant(tmp_path, {"sys/fs/cgroup/cgroup.controllers": "\n", "sys/fs/cgroup/pod/x": ""})
    return made


def test_a_cgroup_made_anew_is_another_one(host: Host) -> None:
    directory = Directory.read(host)
    (owner,) = directory.owners
    assert owner.path == "pod"
    assert owners.lives(host, owner)
    folder = cgroup.root(host) / "pod"
    (folder / "x").unlink()
    # A file keeps the inode number from being used again.
    folder.rename(folder.with_name("before"))
    assert not owners.lives(host, owner)
    folder.mkdir()
    assert not owners.lives(host, owner)


MOVABLE = PageFlag.LRU | PageFlag.ANON


@pytest.mark.parametrize(
    ("flags", "movable"),
    [
        (MOVABLE, True),
        (MOVABLE | PageFlag.COMPOUND_TAIL | PageFlag.THP, True),
        (PageFlag.LRU | PageFlag.DIRTY | PageFlag.ACTIVE, True),
        (PageFlag.ANON, False),
        (PageFlag.HUGE | PageFlag.COMPOUND_HEAD, False),
        (PageFlag(0), False),
        *((MOVABLE | flag, False) for flag in (
            PageFlag.HWPOISON, PageFlag.UNEVICTABLE, PageFlag.OFFLINE, PageFlag.SLAB, PageFlag.NOPAGE,
            PageFlag.BUDDY, PageFlag.PGTABLE, PageFlag.ZERO_PAGE,
        )),
    ],
)  # fmt: skip
def test_what_flags_say_can_be_moved(flags: PageFlag, movable: bool) -> None:
    assert owners.movable(np.array([flags], dtype=np.uint64)).tolist() == [movable]


def test_owners_are_asked_again(host: Host, tmp_path: Path) -> None:
    (tmp_path / "proc/kpagecgroup").write_bytes(trees.words([20, 21, 0, 20, 20]))
    pfns = np.array([4, 0, 1, 2], dtype=np.uint64)
    inodes = np.array([20, 20, 20, 0], dtype=np.uint64)
    # The third is another's now, and nobody owns the fourth.
    assert owners.unchanged(host, pfns, inodes).tolist() == [True, True, False, False]
