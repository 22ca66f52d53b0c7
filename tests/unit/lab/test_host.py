"""What the lab says of a machine that it cannot run on."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import pytest

from tests.lab import host
from tests.lab.build.kernel import apply_patches
from tests.lab.cache import Cache
from tests.lab.cluster.member import memory_mib
from tests.lab.cluster.plan import members
from tests.lab.errors import BuildFailed, LabError

DEBIAN = 'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'


@pytest.mark.parametrize(
    "text", [DEBIAN.replace("debian", "fedora"), DEBIAN.replace("13", "11"), "ID=debian\n", ""]
)
def test_another_system_is_told_the_line_for_a_container(tmp_path: Path, text: str) -> None:
    (tmp_path / "os-release").write_text(text)
    line = r"^the lab needs Debian 12 or 13 on x86-64; in a container: docker run .* && make test'$"
    with pytest.raises(LabError, match=line):
        host.require_lab_host(os_release=tmp_path / "os-release")
    with pytest.raises(LabError, match="needs Debian"):
        host.require_lab_host(os_release=tmp_path / "missing")


def test_the_line_for_a_container_runs_what_was_asked_for() -> None:
    asked = "python3 -m tests.lab node run -- sh -c 'echo a b'"
    script = shlex.split(host.in_container(asked))[-1]
    assert script == f"apt-get update && apt-get install -y python3 make gcc && {asked}"


def test_who_is_not_root_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "os-release").write_text(DEBIAN)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match=r'needs root.*run it by sudo.*: sudo env "PATH=\$PATH" make lab$'):
        host.require_lab_host("make lab", os_release=tmp_path / "os-release")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    host.require_lab_host(os_release=tmp_path / "os-release")


def test_too_little_room_says_where_and_what_to_do(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    free_gib = shutil.disk_usage(tmp_path).free >> 30
    with pytest.raises(
        LabError, match=rf"needs {free_gib + 5}\.0 GiB and {tmp_path} has \S+ GiB: free some room"
    ):
        host.require_room(cache, (free_gib + 5) * 1024)
    host.require_room(cache, 0)


def test_what_is_not_installed_is_named_by_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        host, "PACKAGES", {"sh": "dash", "no-such-command": "its-package", "/no/such/file": "other"}
    )
    assert host.missing_packages() == ["its-package", "other"]


def test_what_apt_cannot_install_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt = tmp_path / "bin" / "apt-get"
    apt.parent.mkdir()
    apt.write_text("#!/bin/sh\necho E: no network\nexit 100\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apt.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(host, "PACKAGES", {"no-such-command": "its-package"})
    with pytest.raises(
        BuildFailed, match="apt-get could not install its-package: check the network"
    ) as caught:
        host.install_packages(Cache(tmp_path / "cache"))
    assert "E: no network" in caught.value.log.read_text()


PATCH = "--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-{old}\n+{new}\n"


def test_patches_apply_one_on_another_and_one_that_does_not_names_itself(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("one\n")
    series = []
    for number, (old, new) in enumerate([("one", "two"), ("two", "three"), ("one", "four")], 1):
        series.append(tmp_path / f"000{number}-x.patch")
        series[-1].write_text(PATCH.format(name="file", old=old, new=new))
    apply_patches(source, series[:2], tmp_path / "log")
    assert (source / "file").read_text() == "three\n"
    with pytest.raises(BuildFailed, match=r"^kernel/patches/0003-x\.patch does not apply to Debian's"):
        apply_patches(source, series[2:], tmp_path / "log")


def test_a_cluster_larger_than_the_machine_is_told_before_it_is_built(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:        2097152 kB\nMemFree:         1 kB\n")
    needed = memory_mib(members("patched,stock,dram"))
    assert memory_mib(members("dram")) < memory_mib(members("patched")) < needed
    with pytest.raises(
        LabError, match=rf"a cluster of {needed} MiB does not fit this machine, which has 2048"
    ):
        host.require_memory("a cluster", needed, meminfo)
    host.require_memory("a cluster", 2048, meminfo)
