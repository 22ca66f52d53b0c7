"""Engines: what they make of the kernel's answers, how runs are cut, and owners that changed. No page is moved here."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kernel import trees
from thermocline_agent.engines import damon, engine, physical_call, reverse_map
from thermocline_agent.engines.engine import Outcome, Request, Result, from_statuses
from thermocline_agent.engines.move_pages import MovePages, candidates
from thermocline_agent.engines.physical_call import PhysicalCall
from thermocline_agent.engines.reverse_map import Halted, Places, ReverseMap
from thermocline_kernel import cgroup
from thermocline_kernel.arrays import I32, U64
from thermocline_kernel.damon import Action, CgroupFilter, Range, Stats
from thermocline_kernel.errors import Unavailable
from thermocline_kernel.host import PAGE_BYTES, Host
from thermocline_kernel.kpage import PageFlag


def words(*values: int) -> U64:
    return np.array(values, dtype=np.uint64)


def nodes(*values: int) -> I32:
    return np.array(values, dtype=np.int32)


def test_statuses_become_results() -> None:
    statuses = [1, 0, -errno.EBUSY, -errno.ENOMEM, -errno.EACCES, -errno.EPERM, -errno.ENOENT, -133,
                -errno.ENODEV, -errno.EINPROGRESS, -errno.EINTR, -errno.EFAULT, -errno.EIO, -(2**31)]  # fmt: skip
    found = from_statuses(nodes(*statuses), nodes(*[1] * len(statuses)))
    assert [Result(result).name for result in found.tolist()] == [
        "MOVED", "UNKNOWN", "BUSY", "NO_MEMORY", "SHARED", "FORBIDDEN", "GONE", "POISONED",
        "BAD_TARGET", "NOT_ATTEMPTED", "NOT_ATTEMPTED", "GONE", "UNKNOWN", "UNKNOWN",
    ]  # fmt: skip


def test_results_become_statuses() -> None:
    outcome = Outcome(np.arange(len(Result), dtype=np.uint8))
    told = outcome.statuses(np.full(len(Result), 1, dtype=np.int32)).tolist()
    assert told[0] == 1
    assert all(status < 0 for status in told[1:])
    # Each result has a number of its own.
    assert len(set(told)) == len(Result)
    assert outcome.moved == 1
    assert outcome.counts == dict.fromkeys(Result, 1)


def test_a_request_is_whole() -> None:
    with pytest.raises(ValueError, match="give as many of each"):
        Request(words(1, 2), nodes(1), words(7, 7))


@dataclass
class Recorder:
    """An engine that moves everything, and notes what it was asked."""

    name: str = "Recorder"
    asked: list[int] = field(default_factory=list)

    def migrate(self, moves: Request) -> Outcome:
        self.asked += moves.pfns.tolist()
        return Outcome(np.full(moves.pfns.shape, Result.MOVED, dtype=np.uint8), 0.5, "in the middle")

    def stop(self) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = trees.host(tmp_path)
    unevictable, poisoned = PageFlag.LRU | PageFlag.UNEVICTABLE, PageFlag.LRU | PageFlag.HWPOISON
    (made.proc / "kpageflags").write_bytes(trees.words([PageFlag.LRU] * 4 + [0, unevictable, poisoned]))
    (made.proc / "kpagecgroup").write_bytes(trees.words([20, 21, 20, 0, 20, 20, 20]))
    (made.proc / "kpagecount").write_bytes(trees.words([1] * 7))
    trees.plant(tmp_path, {"sys/fs/cgroup/cgroup.controllers": "\n"})
    return made


def test_only_pages_of_the_same_owner_are_handed_to_the_engine(host: Host) -> None:
    recorder = Recorder()
    outcome = engine.migrate(
        recorder,
        host,
        Request(words(0, 1, 2, 3, 4, 5, 6), nodes(*[1] * 7), words(20, 20, 20, 0, 20, 20, 20)),
    )
    assert recorder.asked == [0, 2]
    assert [Result(each).name for each in outcome.results.tolist()] == [
        "MOVED", "CHANGED", "MOVED", "CHANGED", "BUSY", "FORBIDDEN", "POISONED"
    ]  # fmt: skip
    assert (outcome.cpu_seconds, outcome.error) == (0.5, "in the middle")


def test_without_an_answer_about_owners_nothing_is_tried(host: Host) -> None:
    recorder = Recorder()
    (host.proc / "kpagecgroup").write_bytes(b"\1" * 9)
    outcome = engine.migrate(recorder, host, Request(words(0, 2), nodes(1, 1), words(20, 20)))
    assert recorder.asked == []
    assert outcome.counts == {Result.NOT_ATTEMPTED: 2}
    assert outcome.error is not None
    assert "owners could not be checked" in outcome.error


def test_nothing_to_do_is_done(host: Host) -> None:
    recorder = Recorder()
    assert engine.migrate(recorder, host, Request(words(), nodes(), words())).results.size == 0
    assert recorder.asked == []


def test_a_call_that_this_kernel_lacks_is_an_outcome(host: Host) -> None:
    outcome = PhysicalCall(host).migrate(Request(words(0, 2), nodes(1, 1), words(20, 20)))
    assert outcome.counts == {Result.NOT_ATTEMPTED: 2}
    assert outcome.error is not None
    assert "move_phy_pages" in outcome.error


def test_move_pages_without_cgroups_is_an_outcome(tmp_path: Path) -> None:
    outcome = MovePages(Host(tmp_path / "proc", tmp_path / "sys")).migrate(
        Request(words(1), nodes(1), words(20))
    )
    assert outcome.counts == {Result.NOT_ATTEMPTED: 1}
    assert outcome.error is not None


def test_owners_are_asked_for_again_before_each_call(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[int]] = []

    def move(paddrs: U64, targets: I32, **_: object) -> I32:
        called.append((paddrs // PAGE_BYTES).tolist())
        # While the first pages move, another takes frame 2.
        (host.proc / "kpagecgroup").write_bytes(trees.words([20, 21, 21, 0, 20, 20, 20]))
        return targets

    monkeypatch.setattr(physical_call, "CALL_PAGES", 2)
    monkeypatch.setattr("thermocline_kernel.move_phy_pages.move", move)
    outcome = PhysicalCall(host).migrate(
        Request(words(0, 5, 2, 6, 2), nodes(*[1] * 5), words(*[20] * 5)),
    )
    assert called == [[0, 5], [6]]
    assert [Result(each).name for each in outcome.results.tolist()] == [
        "MOVED", "MOVED", "CHANGED", "MOVED", "CHANGED"
    ]  # fmt: skip


def test_a_page_that_changes_hands_during_the_search_stays(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    process(host.proc, 5, [PRESENT | 0, PRESENT | 2])
    called: list[list[int]] = []

    def move(pid: int, addresses: U64, targets: I32, *, shared: bool) -> I32:
        called.append([pid, shared, *addresses.tolist()])
        return targets

    class Slow(ReverseMap):
        def find(self, pfns: U64, processes: Iterable[int]) -> Places:
            found = super().find(pfns, processes)
            (host.proc / "kpagecgroup").write_bytes(trees.words([21, 21, 20, 0, 20, 20, 20]))
            return found

    monkeypatch.setattr("thermocline_kernel.move_pages.move", move)
    made = MovePages(host)
    made.reverse = Slow(host)
    outcome = made.migrate(Request(words(0, 2), nodes(1, 1), words(20, 20)))
    assert called == [[5, True, 0x11000]]
    assert [Result(each).name for each in outcome.results.tolist()] == ["CHANGED", "MOVED"]


def test_a_page_that_nobody_maps_is_unreachable(host: Host) -> None:
    outcome = MovePages(host).migrate(Request(words(1), nodes(1), words(20)))
    assert outcome.counts == {Result.UNREACHABLE: 1}
    assert outcome.error is None


def test_a_page_that_nobody_maps_costs_no_search(host: Host) -> None:
    process(host.proc, 5, [PRESENT | 2])
    (host.proc / "kpagecount").write_bytes(trees.words([0, 1, 1, 1, 1, 1, 1]))
    searched: list[list[int]] = []

    class Noting(ReverseMap):
        def find(self, pfns: U64, processes: Iterable[int]) -> Places:
            searched.append(pfns.tolist())
            return super().find(pfns, processes)

    made = MovePages(host)
    made.reverse = Noting(host)
    outcome = made.migrate(Request(words(0, 3), nodes(1, 1), words(20, 20)))
    assert searched == [[3]]
    assert outcome.counts == {Result.UNREACHABLE: 2}
    made.migrate(Request(words(0), nodes(1), words(20)))
    assert searched == [[3]]
    (host.proc / "kpagecount").unlink()
    outcome = made.migrate(Request(words(0), nodes(1), words(20)))
    assert outcome.counts == {Result.NOT_ATTEMPTED: 1}
    assert outcome.error is not None
    assert "kpagecount" in outcome.error


def process(root: Path, pid: int, entries: list[int], start: int = 0x10000, began: int = 5) -> None:
    """A process that has mapped these pagemap entries from `start` on."""
    end = start + len(entries) * PAGE_BYTES
    stat = f"{pid} (p) S {' '.join(['0'] * 10)} 0 0 {' '.join(['0'] * 6)} {began} 0\n"
    trees.plant(root, {f"{pid}/maps": f"{start:x}-{end:x} rw-p 0 00:00 0 \n", f"{pid}/stat": stat})
    words_before = [0] * (start // PAGE_BYTES)
    (root / str(pid) / "pagemap").write_bytes(trees.words(words_before + entries))


PRESENT = 1 << 63


def test_frames_are_found_in_processes(tmp_path: Path) -> None:
    process(tmp_path, 5, [PRESENT | 100, 0, PRESENT | 90])
    process(tmp_path, 6, [PRESENT | 90, PRESENT | 70], start=0x40000)
    reverse = ReverseMap(Host(proc=tmp_path))
    # A process that is gone is passed over; the first that maps a frame stands for all.
    places = reverse.find(words(70, 90, 100, 50), [4, 5, 6])
    assert places.pids.tolist() == [6, 5, 5, 0]
    assert places.addresses.tolist() == [0x41000, 0x12000, 0x10000, 0]
    assert reverse.find(words(), []).pids.size == 0


def test_the_cache_is_a_hint(tmp_path: Path) -> None:
    process(tmp_path, 5, [PRESENT | 100, PRESENT | 90])
    reverse = ReverseMap(Host(proc=tmp_path))
    assert reverse.find(words(90, 100), [5]).pids.tolist() == [5, 5]
    # From the cache: nobody is named to look at.
    assert reverse.find(words(90), []).pids.tolist() == [5]
    # The page moved to another frame: what the cache says is wrong, and is found out.
    process(tmp_path, 5, [PRESENT | 100, PRESENT | 91])
    assert reverse.find(words(90), []).pids.tolist() == [0]
    assert reverse.find(words(91), [5]).addresses.tolist() == [0x11000]
    # Another process has the number now.
    process(tmp_path, 5, [PRESENT | 91], began=6)
    assert reverse.find(words(91), []).pids.tolist() == [0]


def test_the_cache_is_bounded(tmp_path: Path) -> None:
    for pid in range(5, 9):
        process(tmp_path, pid, [PRESENT | 10 * pid, PRESENT | 10 * pid + 1])
    reverse = ReverseMap(Host(proc=tmp_path), cache_pages=4)
    reverse.find(words(50, 60, 70, 80), range(5, 9))
    assert sorted(reverse._cache) == [7, 8]
    assert reverse._cached_pages == 4
    reverse.cache_pages = 1
    reverse.find(words(50), [5])
    assert reverse._cached_pages <= 4
    assert 5 not in reverse._cache


def test_processes_beyond_the_cache_are_searched_to_the_last_frame(tmp_path: Path) -> None:
    process(tmp_path, 5, [PRESENT | 100, PRESENT | 90, PRESENT | 80])
    process(tmp_path, 6, [PRESENT | 80, PRESENT | 70])
    reverse = ReverseMap(Host(proc=tmp_path), cache_pages=2)
    places = reverse.find(words(70, 80, 90, 100), [5, 6])
    assert places.pids.tolist() == [6, 5, 5, 5]
    assert places.addresses.tolist() == [0x11000, 0x12000, 0x11000, 0x10000]
    assert list(reverse._cache) == [6]


@dataclass
class Patience:
    """Says that it must end once it was asked so often."""

    left: int
    asked: int = 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.asked > self.left


def test_a_search_ends_between_two_stretches_of_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reverse_map, "_READ_PAGES", 2)
    process(tmp_path, 5, [PRESENT | 100 + page for page in range(40)])
    whole = Patience(1000)
    assert ReverseMap(Host(proc=tmp_path), whole).find(words(139), [5]).pids.tolist() == [5]
    assert whole.asked >= 20
    for left in range(whole.asked):
        patience = Patience(left)
        reverse = ReverseMap(Host(proc=tmp_path), patience)
        with pytest.raises(Halted):
            reverse.find(words(139), [5])
        assert patience.asked == left + 1
        # What was read in part is no cache of the process.
        assert reverse._cache == {}


def test_what_a_search_did_not_come_to_was_not_attempted(host: Host) -> None:
    process(host.proc, 5, [PRESENT | 1])
    outcome = MovePages(host, lambda: True).migrate(Request(words(1, 3), nodes(1, 1), words(20, 20)))
    assert outcome.counts == {Result.NOT_ATTEMPTED: 2}
    # The agent ends, or pauses: nothing has failed.
    assert outcome.error is None


def test_processes_of_the_owners_are_looked_at_first(host: Host) -> None:
    for pid in (3, 5, 9):
        trees.plant(host.proc, {f"{pid}/maps": ""})
    trees.plant(host.sys, {"fs/cgroup/a/cgroup.procs": "9\n", "fs/cgroup/b/cgroup.procs": "5\n"})
    inode = cgroup.inode(host, "a")
    assert list(candidates(host, words(inode, inode, 0))) == [9, 3, 5]


def test_what_damon_is_told() -> None:
    tree = {20: "kubepods/pod1", 30: "kubepods/pod2"}
    request = Request(words(5, 6, 9), nodes(1, 1, 1), words(30, 20, 30))
    told = damon.context(request, tree, fast=frozenset({0}))
    assert told.ranges == (Range(5 * PAGE_BYTES, 7 * PAGE_BYTES), Range(9 * PAGE_BYTES, 10 * PAGE_BYTES))
    assert [(scheme.action, scheme.target_nid, scheme.filters) for scheme in told.schemes] == [
        (Action.MIGRATE_COLD, 1, (CgroupFilter("kubepods/pod1"),)),
        (Action.MIGRATE_COLD, 1, (CgroupFilter("kubepods/pod2"),)),
    ]
    assert told.regions_max >= len(told.ranges)
    promotion = Request(words(5), nodes(0), words(20))
    assert [each.action for each in damon.context(promotion, tree, frozenset({0})).schemes] == [
        Action.MIGRATE_HOT
    ]


@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 2), st.integers(1, 40)), unique_by=lambda move: move[0]
    )
)
def test_runs_are_all_moves_within_bounds(moves: list[tuple[int, int, int]]) -> None:
    request = Request(*(
        np.array([move[at] for move in moves], dtype=kind) for at, kind in enumerate((np.uint64, np.int32, np.uint64))
    ))  # fmt: skip
    found = list(damon.runs(request, np.arange(len(moves))))
    assert sorted(place for run in found for place in run.tolist()) == list(range(len(moves)))
    for run in found:
        part = request.some(run)
        assert len(set(part.targets.tolist())) == 1
        assert len(set(part.owners.tolist())) <= damon.OWNERS_AT_ONCE
        assert (np.diff(part.pfns.astype(np.int64)) > 0).all()


def test_a_run_of_damon_that_does_not_get_on_is_left_when_the_agent_must_end() -> None:
    asked = []

    def stats(index: int) -> tuple[Stats, ...]:
        asked.append(index)
        return (Stats(tried_bytes=0, applied_bytes=4096),)

    halts = iter((False, True))
    kdamonds: Any = SimpleNamespace(admin=SimpleNamespace(stats=stats))
    made = damon.Damon(Host(), kdamonds, frozenset({0}), lambda: next(halts))
    assert made._wait(8192) == 4096
    assert len(asked) == 2
    made.halted = lambda: False
    with pytest.raises(Unavailable, match="not through"):
        made._wait(8192)


@pytest.mark.parametrize("moved", [0, 1, 2, 5])
def test_no_more_pages_are_told_as_moved_than_damon_has_moved(host: Host, moved: int) -> None:
    (host.proc / "kpagecgroup").write_bytes(trees.words([0, 21, 20, 0, 20, 20, 20]))
    engine: Any = damon.Damon(host, cast(Any, None), frozenset({0}))
    told = engine._seen(Request(words(0, 1, 2, 3), nodes(*[1] * 4), words(*[20] * 4)), moved * PAGE_BYTES)
    found = Outcome(told).counts
    assert found[Result.UNKNOWN] == 1
    assert found.get(Result.MOVED, 0) == min(moved, 3)
    assert found.get(Result.GONE, 0) == max(0, 3 - moved)


def test_long_runs_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damon, "RANGES_AT_ONCE", 3)
    pfns = np.arange(0, 40, 2, dtype=np.uint64)
    request = Request(pfns, np.zeros(20, dtype=np.int32), np.ones(20, dtype=np.uint64))
    sizes = [run.size for run in damon.runs(request, np.arange(20))]
    assert sum(sizes) == 20
    assert max(sizes) <= 3
    monkeypatch.setattr(damon, "PAGES_AT_ONCE", 8)
    request = Request(
        np.arange(20, dtype=np.uint64), np.zeros(20, dtype=np.int32), np.ones(20, dtype=np.uint64)
    )
    assert [run.size for run in damon.runs(request, np.arange(20))] == [8, 8, 4]
