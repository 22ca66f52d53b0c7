"""The census of pages: owners' numbers that last as long as their cgroups, and arrays brought up to date in pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kernel import trees
from thermocline_agent import census
from thermocline_agent.census import NOBODY, Census, Register
from thermocline_agent.frames import Frames
from thermocline_agent.owners import Directory
from thermocline_kernel import cgroup
from thermocline_kernel.errors import KernelInterfaceError
from thermocline_kernel.host import Host
from thermocline_kernel.kpage import PageFlag

LRU = PageFlag.LRU
TAIL = PageFlag.LRU | PageFlag.COMPOUND_TAIL


def directory(**paths: int) -> Directory:
    return Directory.of({inode: path for path, inode in paths.items()})


def words(*values: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(values, dtype=np.uint64)


def test_an_owner_keeps_its_number_while_it_lives() -> None:
    register = Register()
    assert register.renew(directory(a=20, b=2**40)) == frozenset()
    assert register.numbers(words(0, 20, 20, 2**40, 21, 1)).tolist() == [0, 1, 1, 2, 0, 0]
    assert register.renew(directory(b=2**40, c=10)) == {1}
    assert register.numbers(words(20, 2**40, 10)).tolist() == [0, 2, 3]
    # One that is gone for a whole round has lost its number.
    assert register.renew(directory(b=2**40, c=10, d=11)) == frozenset()
    assert register.numbers(words(11)).tolist() == [1]
    assert {number: owner.path for number, owner in register.owners.items()} == {1: "d", 2: "b", 3: "c"}


def test_the_containers_of_a_pod_are_one_owner_while_one_of_them_lives() -> None:
    pod = "kubepods/burstable/pod2f1c7a90-1111-4222-8333-444455556666"
    register = Register()
    register.renew(Directory.of({7: f"{pod}/web", 8: pod, 9: f"{pod}/log", 10: "system.slice"}))
    assert register.numbers(words(7, 8, 9, 10)).tolist() == [1, 1, 1, 2]
    assert register.owners[1].path == pod
    assert register.renew(Directory.of({8: pod, 10: "system.slice"})) == frozenset()
    assert register.numbers(words(7, 8)).tolist() == [NOBODY, 1]
    assert register.renew(Directory.of({10: "system.slice"})) == {1}


def test_an_inode_number_used_again_is_another_owner() -> None:
    register = Register()
    register.renew(directory(a=20))
    assert register.renew(directory(z=20)) == {1}
    assert register.numbers(words(20)).tolist() == [2]
    assert register.owners[2].path == "z"


def test_more_owners_than_numbers_are_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census, "MAX_OWNERS", 2)
    register = Register()
    register.renew(directory(a=1, b=2, c=3))
    assert register.numbers(words(1, 2, 3)).tolist() == [1, 2, NOBODY]


@given(st.lists(st.integers(0, 6), max_size=40))
def test_runs_are_looked_up_as_single_pages_are(inodes: list[int]) -> None:
    register = Register()
    register.renew(directory(two=2, four=4, five=5))
    numbers = {2: 1, 4: 2, 5: 3}
    assert register.numbers(words(*inodes)).tolist() == [numbers.get(inode, NOBODY) for inode in inodes]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Frames 0 to 9, of two cgroups; frame 4 is nobody's, and 5 cannot move."""
    made = trees.host(tmp_path)
    trees.plant(
        tmp_path,
        {f"sys/fs/cgroup/{path}": "" for path in ("cgroup.controllers", "a/cgroup.procs", "b/cgroup.procs")},
    )
    a, b = cgroup.inode(made, "a"), cgroup.inode(made, "b")
    (made.proc / "kpagecgroup").write_bytes(trees.words([a, a, b, b, 0, a, a, a, b, b]))
    flags = [LRU, LRU, LRU, TAIL, LRU, LRU | PageFlag.UNEVICTABLE, LRU, TAIL, 0, LRU]
    (made.proc / "kpageflags").write_bytes(trees.words(flags))
    return made


def test_chunks_are_brought_up_to_date(host: Host) -> None:
    found = Census([Frames(1, 4), Frames(5, 10)])
    found.renew(host)
    numbers = {owner.path: number for number, owner in found.register.owners.items()}
    a, b = numbers["a"], numbers["b"]
    assert found.owner[:].tolist() == [NOBODY] * 8
    found.look(host, Frames(2, 4))
    assert found.owner[:].tolist() == [0, b, b, 0, 0, 0, 0, 0]
    found.look(host, Frames(5, 10), flags=words(LRU | PageFlag.UNEVICTABLE, LRU, TAIL, 0, LRU))
    assert found.owner[:].tolist() == [0, b, b, 0, a, a, 0, b]
    assert found.tails[:].tolist() == [False, False, True, False, False, True, False, False]
    for chunk in (Frames(3, 5), Frames(0, 2), Frames(9, 11)):
        with pytest.raises(ValueError, match="no range of the census"):
            found.look(host, chunk)


def test_what_cannot_be_read_is_nobodys(host: Host) -> None:
    found = Census([Frames(0, 10)])
    found.renew(host)
    found.look(host, Frames(0, 10))
    assert found.owner[:].any()
    (host.proc / "kpagecgroup").write_bytes(b"\1" * 9)
    with pytest.raises(KernelInterfaceError):
        found.look(host, Frames(0, 10))
    assert not found.owner[:].any()


def test_pages_of_a_cgroup_that_is_gone_are_nobodys_at_once(host: Host) -> None:
    found = Census([Frames(0, 10)])
    found.renew(host)
    found.look(host, Frames(0, 10))
    (cgroup.root(host) / "a/cgroup.procs").unlink()
    (cgroup.root(host) / "a").rmdir()
    found.renew(host)
    (b,) = found.register.owners
    assert set(found.owner[:].tolist()) == {NOBODY, b}
