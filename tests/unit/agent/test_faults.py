"""What breaks in the middle: no page moves that should not, it is said, and the next rounds go on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.unit.agent.benches import HOT_PAGES, START, Bench, made, status
from tests.unit.agent.rounds import HOT, LRU, NODE, PAGES, Pretender, plant, write
from thermocline_agent.engines.engine import Outcome, Request, Result
from thermocline_api.conditions import Status
from thermocline_api.node import NodeCondition

# What a round reads, but for the pages' own files.
FILES = (
    "proc/zoneinfo", "proc/vmstat", "proc/pressure/memory", "proc/sys/kernel/numa_balancing",
    f"{NODE}/online", f"{NODE}/node0/meminfo", f"{NODE}/node1/meminfo", f"{NODE}/node0/cpulist",
    f"{NODE}/node1/cpulist", f"{NODE}/node0/distance", f"{NODE}/node1/distance",
    "sys/devices/virtual/memory_tiering/memory_tier4/nodelist",
    "sys/devices/virtual/memory_tiering/memory_tier8/nodelist",
    "sys/fs/cgroup/cgroup.controllers",
)  # fmt: skip
PAGE_FILES = ("proc/kpageflags", "proc/kpagecgroup")
DAMAGES = {
    "garbage": lambda _: b"\xff\x00 -7 \n" * 3,
    "empty": lambda _: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "missing": None,
}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    host = plant(tmp_path)
    write(host, START)
    return made(host, monkeypatch)


def asked(bench: Bench) -> set[int]:
    """Every frame that the engine was ever asked to move."""
    return {pfn for request in bench.engine.asked for pfn in request.pfns.tolist()}


@pytest.mark.parametrize("path", [*FILES, *PAGE_FILES])
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("after", [0, 2])
def test_a_damaged_file_moves_nothing_wrong_and_ends_nothing(
    bench: Bench, tmp_path: Path, path: str, damage: str, after: int
) -> None:
    for _ in range(after):
        bench.run()
    file, change = tmp_path / path, DAMAGES[damage]
    content = file.read_bytes()
    if change is None:
        file.unlink()
    else:
        file.write_bytes(change(content))
    bench.run(3)
    assert asked(bench) <= {*HOT_PAGES}
    if path in PAGE_FILES:
        assert not asked(bench)
        assert any(report.problems for report in bench.told[after:])
    file.write_bytes(content)
    # What failed is left alone for half a minute and longer.
    report = bench.run(12)
    assert asked(bench) == {*HOT_PAGES}
    assert status(report, NodeCondition.TIERS_FOUND) == (Status.TRUE, "Found")
    assert not report.problems


class Breaking(Pretender):
    """An engine that moves the first half of what it is asked, and then fails; or memory runs out there."""

    result = Result.NOT_ATTEMPTED

    def migrate(self, moves: Request) -> Outcome:
        half = np.arange(moves.pfns.size) < moves.pfns.size // 2
        done = super().migrate(moves.some(half))
        results = np.full(moves.pfns.shape, self.result, dtype=np.uint8)
        results[half] = done.results
        return Outcome(results, 0.5, "the device is gone" if self.result is Result.NOT_ATTEMPTED else None)


@pytest.mark.parametrize("result", [Result.NOT_ATTEMPTED, Result.NO_MEMORY, Result.POISONED])
def test_what_moved_before_an_engine_broke_has_moved_and_the_rest_follows(
    bench: Bench, result: Result
) -> None:
    engine = Breaking(bench.host)
    engine.result = result
    bench.rounds.parts.engine = engine
    report = bench.run(3)
    totals = report.status.counters
    assert totals is not None
    # Paid for is what moved.
    assert totals.totals.promoted_bytes == len(HOT_PAGES) // 2 * 4096
    assert report.last.promoted_pages == len(HOT_PAGES) // 2
    assert report.last.results["MOVED"] == len(HOT_PAGES) // 2
    waiting = bench.rounds.history.refusals.pfn.tolist()
    if result is Result.NOT_ATTEMPTED:
        assert status(report, NodeCondition.MIGRATING) == (Status.FALSE, "EngineFailed")
        assert waiting == []
    else:
        assert waiting == [*HOT_PAGES][len(HOT_PAGES) // 2 :]
    bench.rounds.parts.engine = bench.engine
    report = bench.run(20)
    assert report.status.counters is not None
    # Poisoned memory is left alone for a day.
    pages = len(HOT_PAGES) // (2 if result is Result.POISONED else 1)
    assert report.status.counters.totals.promoted_bytes == pages * 4096


def test_without_any_free_memory_nothing_moves(bench: Bench, tmp_path: Path) -> None:
    for node in (0, 1):
        file = tmp_path / f"{NODE}/node{node}/meminfo"
        file.write_text(file.read_text().replace("16384 kB", "0 kB"))
    report = bench.run(6)
    assert not asked(bench)
    assert report.last.waits == ("SlowFull",)
    for node in (0, 1):
        file = tmp_path / f"{NODE}/node{node}/meminfo"
        file.write_text(file.read_text().replace(" 0 kB", " 16384 kB"))
    bench.run(6)
    assert asked(bench) == {*HOT_PAGES}


def test_a_cgroup_that_goes_and_comes_back_between_scan_and_move_is_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out = bench.rounds.mover.carry_out
    folder = bench.host.sys / "fs/cgroup/work"

    def made_anew(*words: object) -> object:
        # One that is alive keeps its inode number from the new one.
        (folder.parent / "keeps").mkdir(exist_ok=True)
        shutil.rmtree(folder)
        (folder.parent / "fills").mkdir(exist_ok=True)
        folder.mkdir()
        write(bench.host, START)
        return carry_out(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(type(bench.rounds.mover), "carry_out", lambda _, *words: made_anew(*words))
    report = bench.run(3)
    assert report.last.results == {"CHANGED": len(HOT_PAGES)}
    assert not asked(bench)


def test_memory_that_goes_off_line_between_scan_and_move_is_left_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out = bench.rounds.mover.carry_out

    def gone(*words: object) -> object:
        # Offline frames have no page, and nobody's.
        write(bench.host, {pfn: page for pfn, page in START.items() if pfn not in HOT_PAGES[:50]})
        return carry_out(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(type(bench.rounds.mover), "carry_out", lambda _, *words: gone(*words))
    report = bench.run(3)
    assert report.last.results == {"MOVED": 50, "CHANGED": 50}
    assert asked(bench) == {*HOT_PAGES[50:]}


def test_frames_that_the_files_do_not_tell_of_any_more_are_no_ones(bench: Bench) -> None:
    bench.run(2)
    for name in ("kpageflags", "kpagecgroup"):
        file = bench.host.proc / name
        file.write_bytes(file.read_bytes()[: 8 * (PAGES + 512)])
    bench.run(4)
    assert not asked(bench)
    assert any(report.problems for report in bench.told[2:])
    write(bench.host, {**START, HOT_PAGES[0]: ("other", HOT), 2048: ("work", LRU)})
    bench.run(20)
    assert asked(bench) == {*HOT_PAGES[1:]}
