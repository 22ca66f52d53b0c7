"""DAMON's sysfs, from files that stand for it; tests/vm has the real one."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from tests.unit.kernel import trees
from thermocline_kernel.damon import (
    MARK_US,
    Action,
    AddressFilter,
    Admin,
    CgroupFilter,
    Context,
    Holder,
    Range,
    Scheme,
)
from thermocline_kernel.errors import Busy, Failed, Garbled, Unavailable
from thermocline_kernel.host import Host

ROOT = "kernel/mm/damon/admin/kdamonds"
FILTER = ("type", "matching", "memcg_path", "addr_start", "addr_end")


def kdamond(number: int, update_us: int | None, state: str = "off") -> dict[str, str]:
    """The files of a kdamond with a context, or, without a mark, of one that has none yet."""
    at = f"{ROOT}/{number}"
    files = {f"{at}/state": f"{state}\n", f"{at}/pid": "-1\n", f"{at}/contexts/nr_contexts": "0\n"}
    if update_us is None:
        return files
    context = f"{at}/contexts/0"
    names = [
        "operations", "monitoring_attrs/intervals/sample_us", "monitoring_attrs/intervals/aggr_us",
        "monitoring_attrs/nr_regions/min", "monitoring_attrs/nr_regions/max", "targets/nr_targets",
        "targets/0/regions/nr_regions", "schemes/nr_schemes", "schemes/0/action", "schemes/0/target_nid",
        "schemes/0/apply_interval_us", "schemes/0/filters/nr_filters",
        *(f"targets/0/regions/{region}/{edge}" for region in range(2) for edge in ("start", "end")),
        *(f"schemes/0/access_pattern/{name}/max" for name in ("sz", "nr_accesses", "age")),
        *(f"schemes/0/filters/{place}/{name}" for place in range(2) for name in FILTER),
    ]  # fmt: skip
    return {
        **files,
        f"{at}/contexts/nr_contexts": "1\n",
        f"{context}/monitoring_attrs/intervals/update_us": f"{update_us}\n",
        **{f"{context}/{name}": "0\n" for name in names},
    }


def admin(root: Path, *kdamonds: dict[str, str]) -> Admin:
    trees.plant(root, {f"{ROOT}/nr_kdamonds": f"{len(kdamonds)}\n"})
    for each in kdamonds:
        trees.plant(root, each)
    return Admin(Host(sys=root), sleep=lambda _: None)


@pytest.mark.parametrize(
    ("marks", "holder"),
    [
        ([], Holder.NOBODY),
        ([MARK_US], Holder.OURS),
        ([MARK_US, MARK_US], Holder.OURS),
        # An agent was killed while it set up the second one.
        ([MARK_US, None], Holder.OURS),
        ([None], Holder.UNFINISHED),
        ([1_000_000], Holder.OTHERS),
        ([MARK_US, 1_000_000], Holder.OTHERS),
        ([None, 1_000_000], Holder.OTHERS),
    ],
)
def test_whose_kdamonds_there_are(tmp_path: Path, marks: list[int | None], holder: Holder) -> None:
    found = admin(tmp_path, *(kdamond(number, mark) for number, mark in enumerate(marks)))
    assert found.holder() is holder


def test_others_kdamonds_are_not_touched(tmp_path: Path) -> None:
    found = admin(tmp_path, kdamond(0, 1_000_000, "on"))
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(Busy, match="others have configured DAMON") as caught:
        found.claim(1)
    assert caught.value.errno == errno.EBUSY
    assert not found.release()
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_somebody_has_begun_is_not_touched_for_a_minute(tmp_path: Path) -> None:
    found = admin(tmp_path, kdamond(0, None))
    with pytest.raises(Busy, match="somebody is configuring DAMON"):
        found.claim(1)
    assert (found.root / "nr_kdamonds").read_text() == "1\n"
    # An agent that was killed there never goes on.
    at = time.time() - 61
    os.utime(found.root / "0", (at, at))
    with pytest.raises(Unavailable):
        # Here nothing makes the files of the context that is asked for: the rest of the claim has begun.
        found.claim(1)
    assert (found.root / "0/contexts/nr_contexts").read_text() == "1"


def test_a_claim_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    found = admin(tmp_path)
    trees.plant(tmp_path, {f"{ROOT}/0/contexts/nr_contexts": "0\n"})
    with pytest.raises(Unavailable, match="update_us"):
        found.claim(1)
    assert (found.root / "nr_kdamonds").read_text() == "0"


def test_ours_are_stopped_and_removed(tmp_path: Path) -> None:
    found = admin(tmp_path, kdamond(0, MARK_US, "on"), kdamond(1, MARK_US))
    assert found.release()
    assert (found.root / "0/state").read_text() == "off"
    # Nothing was asked of one that was off already.
    assert (found.root / "1/state").read_text() == "off\n"
    assert (found.root / "nr_kdamonds").read_text() == "0"


def test_ours_are_marked(tmp_path: Path) -> None:
    # Plain files stay, so what nr_kdamonds would make is there already, and is another's until it is marked.
    found = admin(tmp_path, kdamond(0, 1_000_000))
    (found.root / "nr_kdamonds").write_text("0\n")
    found.claim(1)
    marked = found.root / "0/contexts/0/monitoring_attrs/intervals/update_us"
    assert marked.read_text() == str(MARK_US)
    assert (found.root / "nr_kdamonds").read_text() == "1"


def test_no_damon_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        Admin(Host(sys=tmp_path)).holder()


def test_a_context_is_written_as_the_kernel_reads_it(tmp_path: Path) -> None:
    found = admin(tmp_path, kdamond(0, MARK_US))
    filters = (CgroupFilter("kubepods/pod1"), AddressFilter(Range(4096, 8192)))
    scheme = Scheme(Action.MIGRATE_COLD, target_nid=1, apply_us=50, filters=filters)
    found.start(0, Context((Range(0, 4096), Range(8192, 16384)), 100, 2000, 10, 1000, (scheme,)))
    base = found.root / "0/contexts/0"
    told = {
        name: (base / name).read_text()
        for name in (
            "operations", "monitoring_attrs/intervals/sample_us", "monitoring_attrs/intervals/aggr_us",
            "monitoring_attrs/nr_regions/min", "monitoring_attrs/nr_regions/max",
            "targets/nr_targets", "targets/0/regions/nr_regions",
            "targets/0/regions/1/start", "targets/0/regions/1/end",
            "schemes/0/action", "schemes/0/target_nid", "schemes/0/apply_interval_us",
            "schemes/0/access_pattern/sz/max", "schemes/0/access_pattern/age/max",
        )
    }  # fmt: skip
    assert list(told.values()) == [
        "paddr", "100", "2000", "10", "1000", "1", "2", "8192", "16384",
        "migrate_cold", "1", "50", str(2**64 - 1), str(2**32 - 1),
    ]  # fmt: skip
    first = [(base / "schemes/0/filters/0" / name).read_text().strip() for name in FILTER]
    second = [(base / "schemes/0/filters/1" / name).read_text().strip() for name in FILTER]
    # In 6.12 a filter leaves out what it matches: what is not the cgroup's, and what is inside the range.
    assert first == ["memcg", "N", "/kubepods/pod1", "0", "0"]
    assert second == ["addr", "Y", "0", "4096", "8192"]
    assert (found.root / "0/state").read_text() == "on"


def test_a_cgroup_whose_name_is_no_text_is_named_by_its_bytes(tmp_path: Path) -> None:
    found = admin(tmp_path, kdamond(0, MARK_US))
    scheme = Scheme(Action.MIGRATE_COLD, 1, filters=(CgroupFilter(os.fsdecode(b"a\xff")),))
    found.start(0, Context((Range(0, 4096),), 100, 2000, 10, 1000, (scheme,)))
    assert (found.root / "0/contexts/0/schemes/0/filters/0/memcg_path").read_bytes() == b"/a\xff"


def regions(root: Path, rows: dict[int, tuple[str, str, str, str]]) -> Admin:
    found = admin(root, kdamond(0, MARK_US))
    folder = f"{ROOT}/0/contexts/0/schemes/0/tried_regions"
    trees.plant(root, {f"{folder}/total_bytes": "0\n"})
    for number, row in rows.items():
        names = ("start", "end", "nr_accesses", "age")
        trees.plant(
            root,
            {f"{folder}/{number}/{name}": f"{value}\n" for name, value in zip(names, row, strict=True)},
        )
    return found


def test_regions_come_in_order_of_address(tmp_path: Path) -> None:
    found = regions(tmp_path, {3: ("8192", "16384", "7", "2"), 10: ("0", "4096", "0", "9")})
    told = found.tried_regions(0)
    assert told.starts.tolist() == [0, 8192]
    assert told.ends.tolist() == [4096, 16384]
    assert told.accesses.tolist() == [0, 7]
    assert told.ages.tolist() == [9, 2]
    assert (found.root / "0/state").read_text() == "update_schemes_tried_regions"


def test_no_region_is_an_answer(tmp_path: Path) -> None:
    assert regions(tmp_path, {}).tried_regions(0).starts.size == 0


@pytest.mark.parametrize(
    "rows",
    [
        {0: ("0", "0", "1", "1")},
        {0: ("0", "8192", "1", "1"), 1: ("4096", "16384", "1", "1")},
        {0: ("0", "x", "1", "1")},
        {0: ("0", "", "1", "1")},
    ],
)
def test_garbled_regions_are_refused(tmp_path: Path, rows: dict[int, tuple[str, str, str, str]]) -> None:
    with pytest.raises(Garbled):
        regions(tmp_path, rows).tried_regions(0)


def test_garbled_states_are_refused(tmp_path: Path) -> None:
    found = admin(tmp_path, kdamond(0, MARK_US, "perhaps"))
    assert found.pid(0) is None
    (found.root / "0/pid").write_text("many\n")
    with pytest.raises(Garbled):
        found.running(0)
    with pytest.raises(Garbled):
        found.pid(0)


def test_a_lock_that_is_taken_is_waited_for_and_not_for_ever(tmp_path: Path) -> None:
    waited: list[float] = []
    found = Admin(Host(sys=tmp_path), sleep=waited.append)
    answers = iter([Busy("state", "busy"), Busy("state", "busy"), None])

    def step() -> str:
        if (answer := next(answers, Busy("state", "busy"))) is not None:
            raise answer
        return "done"

    assert found._patiently(step) == "done"
    assert len(waited) == 2
    with pytest.raises(Busy):
        found._patiently(step)
    assert 2.5 < sum(waited) < 3.5


def test_what_the_kernel_refuses_fails(tmp_path: Path) -> None:
    found = admin(tmp_path, kdamond(0, MARK_US))
    full = found.root / "0/full"
    full.symlink_to("/dev/full")
    with pytest.raises(Failed) as caught:
        found._write(full, "on")
    assert caught.value.errno == errno.ENOSPC
