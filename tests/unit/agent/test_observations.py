"""Observations: extents of what was seen, from every kind of source, without a machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kernel import test_damon, trees
from thermocline_agent import kdamonds
from thermocline_agent.frames import Frames, total_pages
from thermocline_agent.sources import damon, lru
from thermocline_agent.sources.counting import by_page, observation
from thermocline_agent.sources.idle_page import IdlePage
from thermocline_agent.sources.pacing import Pace
from thermocline_agent.sources.referenced import Referenced, hint
from thermocline_agent.sources.source import Scale, extents
from thermocline_kernel.damon import MARK_US, Action, Range, TriedRegions
from thermocline_kernel.errors import KernelInterfaceError, Unavailable
from thermocline_kernel.host import PAGE_BYTES, Host
from thermocline_kernel.kpage import PageFlag

HEAD = PageFlag.LRU | PageFlag.COMPOUND_HEAD
TAIL = PageFlag.LRU | PageFlag.COMPOUND_TAIL


def words(*values: int) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(values, dtype=np.uint64)


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=40))
def test_extents_are_the_pages_they_were_made_of(pages: list[tuple[int, bool]]) -> None:
    values = np.array([value for value, _ in pages], dtype=np.uint8)
    known = np.array([told for _, told in pages], dtype=np.bool_)
    firsts, lengths, counts = extents([(100, values, known)])
    found: dict[int, int] = {}
    for first, length, count in zip(firsts.tolist(), lengths.tolist(), counts.tolist(), strict=True):
        found |= dict.fromkeys(range(first, first + length), count)
    assert found == {100 + at: value for at, (value, told) in enumerate(pages) if told}
    # As few as can be: neighbours differ.
    ends = firsts + lengths
    assert not ((ends[:-1] == firsts[1:]) & (counts[:-1] == counts[1:])).any()


@given(
    addresses=st.lists(st.tuples(st.integers(0, 120), st.integers(1, 9)), max_size=30),
    edges=st.lists(st.integers(0, 100), min_size=2, max_size=6, unique=True),
)
def test_counts_belong_to_their_pages(addresses: list[tuple[int, int]], edges: list[int]) -> None:
    edges = sorted(edges)[: len(edges) // 2 * 2]
    frames = [Frames(first, end) for first, end in zip(edges[::2], edges[1::2], strict=True)]
    found = by_page(
        words(*(pfn * PAGE_BYTES + pfn for pfn, _ in addresses)), words(*(count for _, count in addresses))
    )
    told = observation(frames, found, 7.0, 0.5, 3)
    wanted = dict.fromkeys((pfn for each in frames for pfn in range(each.first_pfn, each.end_pfn)), 0)
    for pfn, count in addresses:
        if pfn in wanted:
            wanted[pfn] += count
    assert (told.scale, told.full, told.accesses_per_count, told.cpu_seconds, told.missed) == (
        Scale.COUNT, None, 7.0, 0.5, 3
    )  # fmt: skip
    if not any(wanted.values()):
        # A source that is silent makes nothing cold.
        assert (told.covered, told.pages.size) == ((), 0)
        return
    assert told.covered == tuple(frames)
    counts, known = told.of(Frames(0, 130))
    assert np.flatnonzero(known).tolist() == sorted(wanted)
    assert {pfn: int(counts[pfn]) for pfn in wanted} == wanted


def test_an_observation_is_asked_by_range() -> None:
    told = observation([Frames(10, 20), Frames(30, 35)], by_page(words(12 * PAGE_BYTES), words(5)), 1.0, 0.0)
    counts, known = told.of(Frames(11, 33))
    assert np.flatnonzero(known).tolist() == [*range(9), 19, 20, 21]
    assert np.flatnonzero(counts).tolist() == [1]
    assert not told.of(Frames(20, 30))[1].any()


def test_counts_that_pass_every_bound_are_bounded() -> None:
    found = by_page(words(0, 1, 2), words(2**64 - 1, 2**64 - 1, 1))
    assert found.pfns.tolist() == [0]
    assert found.counts.tolist() == [2**53]


def test_tails_have_what_their_head_has() -> None:
    flags = words(TAIL, TAIL, HEAD, TAIL, TAIL, TAIL, HEAD, TAIL, PageFlag.LRU, 0, PageFlag.BUDDY, HEAD, TAIL)
    heads = lru.heads(flags)
    assert np.flatnonzero(heads).tolist() == [2, 6, 8, 11]
    values = np.zeros(13, dtype=np.bool_)
    values[[6, 8]] = True
    known = heads.copy()
    lru.spread(flags, values, known)
    # The head of the first two lies before: nothing is known of them.
    assert np.flatnonzero(known).tolist() == [2, 3, 4, 5, 6, 7, 8, 11, 12]
    assert np.flatnonzero(values).tolist() == [6, 7, 8]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.booleans(), st.booleans()), max_size=60))
def test_folios_of_any_size_are_whole(folios: list[tuple[int, int, bool, bool]]) -> None:
    """Each of `folios`: free pages before it, its tails, whether its head is on a list, and was accessed."""
    flags: list[int] = []
    wanted: list[int] = []
    for free, tails, listed, accessed in folios:
        flags += [0] * free + (
            [HEAD, *[TAIL] * tails] if listed else [0, *[int(PageFlag.COMPOUND_TAIL)] * tails]
        )
        wanted += [0] * free + [(2 if accessed else 1) if listed else 0] * (1 + tails)
    array = words(*flags)
    known = lru.heads(array)
    values = known & np.array([each == 2 for each in wanted], dtype=np.bool_)
    lru.spread(array, values, known)
    assert known.tolist() == [each > 0 for each in wanted]
    assert values.tolist() == [each == 2 for each in wanted]


def test_a_chunk_of_tails_alone_is_unknown() -> None:
    flags = words(TAIL, TAIL)
    values, known = np.zeros(2, dtype=np.bool_), np.zeros(2, dtype=np.bool_)
    lru.spread(flags, values, known)
    assert not known.any()


def test_hints_of_flags() -> None:
    counts, known = hint(
        words(0, PageFlag.LRU, PageFlag.LRU | PageFlag.ACTIVE, PageFlag.LRU | PageFlag.REFERENCED,
              PageFlag.LRU | PageFlag.ACTIVE | PageFlag.REFERENCED)
    )  # fmt: skip
    assert known.tolist() == [False, True, True, True, True]
    assert counts.tolist() == [0, 0, 1, 1, 2]


@pytest.fixture
def machine(tmp_path: Path) -> Host:
    """128 frames: user memory in all but the last 16, which are free; none is idle."""
    host = trees.host(tmp_path)
    (host.sys / "kernel/mm/page_idle").mkdir(parents=True)
    (host.sys / "kernel/mm/page_idle/bitmap").write_bytes(trees.words([0, 0]))
    (host.proc / "kpageflags").write_bytes(trees.words([PageFlag.LRU] * 112 + [PageFlag.BUDDY] * 16))
    return host


def test_idle_page_marks_looks_and_marks_again(machine: Host) -> None:
    bitmap = machine.sys / "kernel/mm/page_idle/bitmap"
    source = IdlePage(machine, 10.0, 0.1)
    source.start([Frames(8, 128)])
    marked = trees.words([2**64 - 2**8, 2**64 - 1])
    assert bitmap.read_bytes() == marked
    # The kernel takes the bits of pages that were accessed, here of 10 and 11, and never gives some to free ones.
    bitmap.write_bytes(trees.words([2**64 - 2**8 - (0b11 << 10), 2**48 - 1]))
    told = source.observe()
    assert (told.scale, told.full, told.covered) == (Scale.ACCESSED, 1, (Frames(8, 128),))
    assert told.first_pfns.tolist() == [8, 10, 12]
    assert told.pages.tolist() == [2, 2, 100]
    assert told.counts.tolist() == [0, 1, 0]
    assert told.cpu_seconds > 0
    assert bitmap.read_bytes() == marked
    source.stop()
    assert source.window == ()


def test_idle_page_looks_more_than_once_where_it_may(machine: Host) -> None:
    bitmap = machine.sys / "kernel/mm/page_idle/bitmap"
    source = IdlePage(machine, 10.0, 0.1)
    source.start([Frames(8, 128)])
    assert source.looks == 4, "a fraction of what a second of CPU allows"
    marked = bitmap.read_bytes()
    # Page 10 is accessed all the time, and 12 for a moment; nobody owns the last.
    for accessed in (0b101 << 10, 1 << 10, 1 << 10):
        bitmap.write_bytes(trees.words([2**64 - 2**8 - accessed, 2**48 - 1]))
        source.look()
        assert bitmap.read_bytes() == marked
    bitmap.write_bytes(trees.words([2**64 - 2**8 - (1 << 10), 2**48 - 1]))
    told = source.observe()
    assert (told.scale, told.full) == (Scale.SHARE, 4)
    assert told.first_pfns.tolist() == [8, 10, 11, 12, 13]
    assert told.pages.tolist() == [2, 1, 1, 1, 99]
    assert told.counts.tolist() == [0, 4, 0, 1, 0]
    # What was found is of one interval.
    assert source.observe().full == 1
    slow = IdlePage(machine, 10.0, 0.1, pace=Pace(1.0))
    slow.start([Frames(8, 128)])
    assert slow.looks == 1


@pytest.mark.parametrize("path", ["sys/kernel/mm/page_idle/bitmap", "proc/kpageflags"])
def test_what_cannot_be_read_is_no_observation(machine: Host, tmp_path: Path, path: str) -> None:
    source = IdlePage(machine, 10.0, 0.1)
    source.start([Frames(0, 128)])
    (tmp_path / path).write_bytes(b"\x01" * 9)
    with pytest.raises(KernelInterfaceError):
        source.observe()
    (tmp_path / path).unlink()
    with pytest.raises(Unavailable):
        source.observe()


def test_referenced_reads_what_it_can_afford(machine: Host) -> None:
    source = Referenced(machine, 10.0, 0.1)
    source.start([Frames(100, 120)])
    told = source.observe()
    assert (told.scale, told.full, told.covered) == (Scale.HINT, 2, (Frames(100, 120),))
    assert (told.first_pfns.tolist(), told.pages.tolist(), told.counts.tolist()) == ([100], [12], [0])
    source.stop()
    assert source.observe().covered == ()


def tried(*rows: tuple[int, int, int]) -> TriedRegions:
    starts, ends, accesses = (words(*column) for column in zip(*rows, strict=True))
    return TriedRegions(starts, ends, accesses, np.zeros_like(starts))


def test_regions_become_extents() -> None:
    told = damon.observation(
        (Frames(0, 3), Frames(4, 9)), tried((0, 8192, 0), (8192, 12288, 21), (16384, 20481, 7), (20481, 20999, 9)),
        20, 0.25,
    )  # fmt: skip
    assert (told.scale, told.full, told.cpu_seconds) == (Scale.SHARE, 20, 0.25)
    # A part of a page belongs to no region.
    assert told.first_pfns.tolist() == [0, 2, 4]
    assert told.pages.tolist() == [2, 1, 1]
    assert told.counts.tolist() == [0, 20, 7]
    assert told.covered == (Frames(0, 3), Frames(4, 5))


def test_monitoring_begins_with_even_ranges() -> None:
    ranges = damon.even_ranges([Frames(0, 100), Frames(200, 205)], 10)
    assert ranges[0] == Range(0, 10 * PAGE_BYTES)
    assert ranges[-1] == Range(200 * PAGE_BYTES, 205 * PAGE_BYTES)
    assert sum(each.end - each.start for each in ranges) == 105 * PAGE_BYTES
    assert damon.even_ranges([Frames(0, 3)], 100) == tuple(
        Range(pfn * PAGE_BYTES, (pfn + 1) * PAGE_BYTES) for pfn in range(3)
    )
    told = damon.context(ranges, 10.0, 1000)
    assert (told.sample_us, told.aggregation_us, told.regions_min, told.regions_max) == (
        125_000, 2_500_000, 100, 1000
    )  # fmt: skip
    assert [(scheme.action, scheme.apply_us) for scheme in told.schemes] == [(Action.STAT, 250_000)]
    assert damon.context(ranges, 0.1, 20).sample_us == 5_000
    assert damon.context(ranges, 3600.0, 20).sample_us == 250_000


@given(
    gaps=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 5)), min_size=1, max_size=60),
    count=st.integers(4, 50),
)
def test_what_was_found_is_kept_as_fewer_ranges(gaps: list[tuple[int, int]], count: int) -> None:
    rows: list[tuple[int, int, int]] = []
    at = 0
    for gap, pages in gaps:
        at += gap * PAGE_BYTES
        rows.append((at, at + pages * PAGE_BYTES, 0))
        at += pages * PAGE_BYTES
    kept = damon.regions_kept(tried(*rows), count)
    covered = {pfn for each in kept for pfn in range(each.start // PAGE_BYTES, each.end // PAGE_BYTES)}
    assert covered == {pfn for start, end, _ in rows for pfn in range(start // PAGE_BYTES, end // PAGE_BYTES)}
    holes = sum(1 for gap, _ in gaps[1:] if gap)
    assert len(kept) <= count // 2 + 1 + holes
    assert total_pages(Frames(each.start // PAGE_BYTES, each.end // PAGE_BYTES) for each in kept) == len(
        covered
    )


def test_no_region_is_nothing_known() -> None:
    nothing = words()
    told = damon.observation((Frames(0, 9),), TriedRegions(nothing, nothing, nothing, nothing), 20, 0.1)
    assert (told.covered, told.pages.size) == ((), 0)
    assert not told.of(Frames(0, 9))[1].any()


def test_what_schemes_can_do_is_asked_once_and_what_a_killed_agent_left_is_cleared(tmp_path: Path) -> None:
    admin = test_damon.admin(tmp_path)
    trees.plant(tmp_path, test_damon.kdamond(0, 1_000_000) | test_damon.kdamond(1, 1_000_000))
    made = kdamonds.Kdamonds(admin)
    made.acquire(kdamonds.MONITOR)
    # Plain files take any word.
    assert made.actions == frozenset(Action)
    made.clear()
    assert (admin.root / "nr_kdamonds").read_text() == "2"
    # Another agent finds them after this one was killed, as the kernel shows them.
    trees.plant(
        tmp_path,
        test_damon.kdamond(0, MARK_US, "on")
        | test_damon.kdamond(1, None)
        | {f"{test_damon.ROOT}/nr_kdamonds": "2\n"},
    )
    kdamonds.Kdamonds(admin).clear()
    assert (admin.root / "nr_kdamonds").read_text() == "0"
    assert (admin.root / "0/state").read_text() == "off"


@pytest.mark.parametrize(("namespace", "seconds"), [("pid:[4026531836]", 1.21), ("pid:[4026532301]", None)])
def test_a_kdamond_is_hidden_from_containers_and_a_process_of_its_number_is_not_taken_for_it(
    tmp_path: Path, namespace: str, seconds: float | None
) -> None:
    host = trees.host(tmp_path)
    (host.proc / "thread-self/ns").mkdir(parents=True)
    (host.proc / "thread-self/status").write_text("CapEff:\t0\nSeccomp:\t0\n")
    (host.proc / "thread-self/ns/pid").symlink_to(namespace)
    (host.proc / "71").mkdir()
    (host.proc / "71/stat").write_text(
        "71 (kdamond.0) S 2 0 0 0 -1 2129984 0 0 0 0 3 118 0 0 20 0 1 0 2231 0\n"
    )
    assert kdamonds.cpu_seconds(host, 71) == seconds


def test_what_monitoring_costs_is_assumed_by_regions_and_samples() -> None:
    # An interval of 8 s has 80 samples, one each tenth of a second: 10 us of 1000 regions.
    assert damon.assumed_seconds(1000, 8.0, 8.0) == pytest.approx(0.8)
    assert damon.assumed_seconds(1000, 8.0, 0.0) == 0.0
