"""Cgroups, from folders that stand for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.kernel import trees
from thermocline_kernel import cgroup
from thermocline_kernel.errors import Garbled, Unavailable
from thermocline_kernel.host import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    trees.plant(
        tmp_path,
        {
            "fs/cgroup/cgroup.controllers": "memory\n",
            "fs/cgroup/system.slice/redis.service/cgroup.procs": "7\n0\n9\n",
            "fs/cgroup/kubepods/pod1/c/cgroup.procs": "",
        },
    )
    return Host(sys=tmp_path)


def test_every_folder_is_found_by_its_inode(host: Host) -> None:
    root = cgroup.root(host)
    tree = cgroup.walk(host)
    assert set(tree.values()) == {
        "", "system.slice", "system.slice/redis.service", "kubepods", "kubepods/pod1", "kubepods/pod1/c"
    }  # fmt: skip
    for inode, path in tree.items():
        assert (root / path).stat().st_ino == inode == cgroup.inode(host, path)


def test_links_are_not_followed(host: Host) -> None:
    (cgroup.root(host) / "loop").symlink_to(cgroup.root(host))
    assert "loop" not in cgroup.walk(host).values()


def test_a_folder_without_version_2_is_none(tmp_path: Path) -> None:
    (tmp_path / "fs/cgroup/memory").mkdir(parents=True)
    with pytest.raises(Unavailable, match="no cgroup v2"):
        cgroup.walk(Host(sys=tmp_path))


def test_a_tree_without_end_is_refused(host: Host) -> None:
    (cgroup.root(host) / "/".join(["deep"] * 80)).mkdir(parents=True)
    with pytest.raises(Garbled, match="more than 64"):
        cgroup.walk(host)


def test_a_removed_cgroup_has_no_inode(host: Host) -> None:
    with pytest.raises(Unavailable):
        cgroup.inode(host, "gone")


def test_processes_of_other_namespaces_have_no_number(host: Host) -> None:
    assert cgroup.processes(host, "system.slice/redis.service") == (7, 9)
    assert cgroup.processes(host, "kubepods/pod1/c") == ()
    with pytest.raises(Unavailable):
        cgroup.processes(host, "gone")


@pytest.mark.parametrize("text", ["7", "7\nx\n", "-1\n"])
def test_garbled_processes_are_refused(host: Host, text: str) -> None:
    trees.plant(host.sys, {"fs/cgroup/a/cgroup.procs": text})
    with pytest.raises(Garbled):
        cgroup.processes(host, "a")
