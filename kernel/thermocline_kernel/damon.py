"""DAMON's administration in sysfs: monitor physical ranges, and have the kernel migrate what is in some.

Source: mm/damon/sysfs.c, mm/damon/sysfs-schemes.c, mm/damon/core.c, Linux 6.12; Documentation/admin-guide/mm/damon.
Names of files are the code's (the documentation of 6.12 has some wrong). Below /sys/kernel/mm/damon/admin/kdamonds:

    nr_kdamonds                           writing it throws all kdamonds' configuration away, everybody's
    N/state                               on, off; other words are commands (update_schemes_tried_regions, …)
    N/contexts/0/operations               paddr (since 5.18)
    N/contexts/0/schemes/M/…              migrate_hot, migrate_cold (since 6.11); stat

There is one such folder for the whole machine and no way to ask whose a kdamond is. So ours carry a mark in a
setting that means nothing for physical addresses: update_us. While others have kdamonds there, nothing is touched.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from thermocline_kernel.arrays import U64
from thermocline_kernel.errors import Busy, Failed, Garbled, failure
from thermocline_kernel.host import Host, numbered, read_line, read_lines, read_number

# How often the kernel looks for changed mappings (61 minutes and what spells our name on a telephone): for
# physical addresses it never does.
MARK_US: Final = 3_660_843_765

# A kdamond that has no context for so long is nobody's work any more. What is lost with it is a number.
_ABANDONED_SECONDS: Final = 60.0

# All of DAMON's sysfs has one lock, on which nobody waits: EBUSY. It is held for milliseconds, or while somebody's
# update_schemes_tried_regions lasts, which is as long as their aggregation interval.
_PATIENCE_SECONDS: Final = 3.0
_PAUSE_SECONDS: Final = 0.02
_UINT_MAX: Final = (1 << 32) - 1
_ULONG_MAX: Final = (1 << 64) - 1

_T = TypeVar("_T")


class Action(Enum):
    """What a scheme does to the regions that it matches."""

    STAT = "stat"
    MIGRATE_HOT = "migrate_hot"
    MIGRATE_COLD = "migrate_cold"


class Holder(Enum):
    """Whose kdamonds there are."""

    NOBODY = "nobody"
    OURS = "ours"
    UNFINISHED = "somebody who has not configured them yet"
    OTHERS = "others"


@dataclass(frozen=True, slots=True)
class Range:
    """Physical addresses from `start` to before `end`, in bytes."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class AddressFilter:
    """Leave out what is inside the range or, with `inside` false, what is outside of it."""

    range: Range
    inside: bool = True


@dataclass(frozen=True, slots=True)
class CgroupFilter:
    """Leave out pages that are not charged to this cgroup itself; `path` is below the root, no slash in front."""

    path: str


@dataclass(frozen=True, slots=True)
class Scheme:
    """An action on every region, whatever its accesses; `target_nid` for the actions that migrate.

    It is applied every `apply_us` (since 6.7), or once an aggregation.
    """

    action: Action
    target_nid: int | None = None
    apply_us: int | None = None
    filters: tuple[AddressFilter | CgroupFilter, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """What one kdamond does. Ranges are in order and do not overlap; their edges are those of pages."""

    ranges: tuple[Range, ...]
    sample_us: int
    aggregation_us: int
    regions_min: int
    regions_max: int
    schemes: tuple[Scheme, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TriedRegions:
    """Regions of a scheme in order of address, shape (n,); `accesses` counts samples, `ages` aggregations."""

    starts: U64
    ends: U64
    accesses: U64
    ages: U64


@dataclass(frozen=True, slots=True)
class Stats:
    """What a scheme has tried and done since it was started, in bytes."""

    tried_bytes: int
    applied_bytes: int


@dataclass(frozen=True, slots=True)
class Admin:
    """DAMON's sysfs of one host. `sleep` waits between tries while another holds its lock."""

    host: Host
    sleep: Callable[[float], None] = field(default=time.sleep, compare=False)

    @property
    def root(self) -> Path:
        """The folder of all kdamonds."""
        return self.host.sys / "kernel/mm/damon/admin/kdamonds"

    def holder(self) -> Holder:
        """Whose kdamonds there are. Raises Unavailable (no CONFIG_DAMON_SYSFS), Denied, Failed or Garbled."""
        count = read_number(self.root / "nr_kdamonds")
        if count == 0:
            return Holder.NOBODY
        marks = [self._mark(self.root / str(index)) for index in range(count)]
        if MARK_US in marks and set(marks) <= {MARK_US, None}:
            return Holder.OURS
        return Holder.UNFINISHED if set(marks) == {None} else Holder.OTHERS

    def claim(self, count: int) -> None:
        """Have `count` kdamonds of ours, none of them on; what an agent that was killed left is removed first.

        Raises Busy, having touched nothing, while others have kdamonds, or have begun to make some; and as holder does.
        """
        found = self.holder()
        # An agent that is killed between two writes leaves one without a context, too, and that must not last.
        if found is Holder.UNFINISHED and not self._abandoned():
            raise Busy(
                self.root,
                "somebody is configuring DAMON: if nobody is, write 0 to nr_kdamonds there, or wait a minute",
                errno.EBUSY,
            )
        if found is Holder.OTHERS:
            raise Busy(
                self.root,
                "others have configured DAMON: if nobody needs that any more, write 0 to nr_kdamonds there",
                errno.EBUSY,
            )
        if found is not Holder.NOBODY:
            self._remove()
        self._write(self.root / "nr_kdamonds", count)
        try:
            for index in range(count):
                contexts = self.root / str(index) / "contexts"
                self._write(contexts / "nr_contexts", 1)
                self._write(contexts / "0/monitoring_attrs/intervals/update_us", MARK_US)
        except BaseException:
            # What has no mark yet would be taken for another's.
            self._write(self.root / "nr_kdamonds", 0)
            raise

    def release(self) -> bool:
        """Stop and remove kdamonds of ours; whether there were any. Others' stay. Raises as holder does."""
        if self.holder() is not Holder.OURS:
            return False
        self._remove()
        return True

    def operations(self, index: int) -> frozenset[str]:
        """What kinds of addresses this kernel can monitor: paddr must be among them. Raises as holder does."""
        return frozenset(read_lines(self.root / str(index) / "contexts/0/avail_operations"))

    def actions(self, index: int) -> frozenset[Action]:
        """What schemes of one of our kdamonds, which is off, can do, found out by trying. Raises as holder does."""
        schemes = self.root / str(index) / "contexts/0/schemes"
        self._write(schemes / "nr_schemes", 1)
        known: set[Action] = set()
        for action in Action:
            try:
                self._write(schemes / "0/action", action.value)
            except Failed as err:
                if err.errno != errno.EINVAL:
                    raise
            else:
                known.add(action)
        self._write(schemes / "nr_schemes", 0)
        return frozenset(known)

    def start(self, index: int, context: Context) -> None:
        """Configure one of our kdamonds, which is off, and switch it on.

        Raises Busy while DAMON's modules run (reclaim, lru_sort, stat: they suffer nobody beside them), Failed with
        EINVAL when a cgroup of a filter is gone or the kernel does not know an action, or Unavailable.
        """
        folder = self.root / str(index) / "contexts/0"
        self._write(folder / "operations", "paddr")
        attributes = folder / "monitoring_attrs"
        self._write(attributes / "intervals/sample_us", context.sample_us)
        self._write(attributes / "intervals/aggr_us", context.aggregation_us)
        # The kernel refuses a minimum above the maximum that it has at that moment only when it is switched on.
        self._write(attributes / "nr_regions/min", context.regions_min)
        self._write(attributes / "nr_regions/max", context.regions_max)
        self._write(folder / "targets/nr_targets", 1)
        regions = folder / "targets/0/regions"
        self._write(regions / "nr_regions", len(context.ranges))
        for number, each in enumerate(context.ranges):
            self._write(regions / str(number) / "start", each.start)
            self._write(regions / str(number) / "end", each.end)
        self._write(folder / "schemes/nr_schemes", len(context.schemes))
        for number, scheme in enumerate(context.schemes):
            self._write_scheme(folder / "schemes" / str(number), scheme)
        # Here EBUSY may also mean that a module of DAMON's runs, which does not pass.
        self._write(self.root / str(index) / "state", "on", patience_seconds=0.5)

    def stop(self, index: int) -> None:
        """Switch one of our kdamonds off; nothing happens when it is off. Waits for what it is doing to end."""
        if self.running(index):
            self._write(self.root / str(index) / "state", "off")

    def running(self, index: int) -> bool:
        """Whether the kdamond is on. Raises as holder does."""
        path = self.root / str(index) / "state"
        state = self._patiently(lambda: read_line(path))
        if state not in ("on", "off"):
            raise Garbled(path, f"on or off expected, found {state!r}", 1)
        return state == "on"

    def pid(self, index: int) -> int | None:
        """The kernel thread of a kdamond, whose CPU time is what it costs; None when it is off."""
        path = self.root / str(index) / "pid"
        text = self._patiently(lambda: read_line(path))
        if text == "-1":
            return None
        if not text.isdigit():
            raise Garbled(path, f"a process expected, found {text!r}", 1)
        return int(text)

    def tried_regions(self, index: int, scheme: int = 0) -> TriedRegions:
        """The regions of a running kdamond. Takes until the scheme is next applied. Raises as start does.

        A region's accesses are those of an aggregation interval's time, that before or one that slides.
        """
        self._write(self.root / str(index) / "state", "update_schemes_tried_regions")
        folder = self.root / str(index) / "contexts/0/schemes" / str(scheme) / "tried_regions"
        rows = [_region(path) for path in numbered(folder, "").values()]
        table = np.array(sorted(rows), dtype=np.uint64).reshape(-1, 4)
        if (table[:, 0] >= table[:, 1]).any() or (table[1:, 0] < table[:-1, 1]).any():
            raise Garbled(folder, "regions that are empty or overlap")
        return TriedRegions(*(np.ascontiguousarray(column) for column in table.T))

    def stats(self, index: int) -> tuple[Stats, ...]:
        """What each scheme of a running kdamond has done; comes between two of its passes. Raises as start does."""
        self._write(self.root / str(index) / "state", "update_schemes_stats")
        schemes = self.root / str(index) / "contexts/0/schemes"
        return tuple(
            Stats(read_number(folder / "stats/sz_tried"), read_number(folder / "stats/sz_applied"))
            for folder in numbered(schemes, "").values()
        )

    def _mark(self, kdamond: Path) -> int | None:
        """Its update_us; None where it has no context yet."""
        if read_number(kdamond / "contexts/nr_contexts") == 0:
            return None
        return read_number(kdamond / "contexts/0/monitoring_attrs/intervals/update_us")

    def _abandoned(self) -> bool:
        """Whether kdamonds have stood there for long. sysfs gives a folder the time when it was first looked up."""
        folders = numbered(self.root, "").values()
        try:
            made = max((folder.stat().st_mtime for folder in folders), default=0.0)
        except OSError as err:
            raise failure(self.root, err) from err
        return time.time() - made > _ABANDONED_SECONDS

    def _remove(self) -> None:
        for index in range(read_number(self.root / "nr_kdamonds")):
            self.stop(index)
        self._write(self.root / "nr_kdamonds", 0)

    def _write_scheme(self, folder: Path, scheme: Scheme) -> None:
        self._write(folder / "action", scheme.action.value)
        if scheme.target_nid is not None:
            self._write(folder / "target_nid", scheme.target_nid)
        if scheme.apply_us is not None:
            self._write(folder / "apply_interval_us", scheme.apply_us)
        # A new scheme matches nothing: all of its maxima are 0.
        for name in ("sz", "nr_accesses", "age"):
            self._write(folder / "access_pattern" / name / "max", _ULONG_MAX if name == "sz" else _UINT_MAX)
        self._write(folder / "filters/nr_filters", len(scheme.filters))
        for number, each in enumerate(scheme.filters):
            for name, value in _filter_files(each):
                self._write(folder / "filters" / str(number) / name, value)

    def _write(self, path: Path, value: str | int, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._patiently(lambda: _write(path, str(value)), patience_seconds)

    def _patiently(self, step: Callable[[], _T], patience_seconds: float = _PATIENCE_SECONDS) -> _T:
        """Do a step again while DAMON's lock is taken, and for a while only."""
        for _ in range(int(patience_seconds / _PAUSE_SECONDS)):
            try:
                return step()
            except Busy:
                self.sleep(_PAUSE_SECONDS)
        return step()


def _filter_files(each: AddressFilter | CgroupFilter) -> Iterator[tuple[str, str | int]]:
    """The files of a filter and what to write there. In 6.12 a filter leaves out what it matches."""
    if isinstance(each, AddressFilter):
        yield "type", "addr"
        yield "matching", "Y" if each.inside else "N"
        yield "addr_start", each.range.start
        yield "addr_end", each.range.end
    else:
        yield "type", "memcg"
        yield "matching", "N"
        yield "memcg_path", f"/{each.path}"


def _region(folder: Path) -> tuple[int, int, int, int]:
    """Start, end, accesses and age of a region. Thousands are read in an interval: no file object for each."""
    values: list[int] = []
    for name in ("start", "end", "nr_accesses", "age"):
        path = f"{folder}/{name}"
        try:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                text = os.read(descriptor, 32)
            finally:
                os.close(descriptor)
        except OSError as err:
            raise failure(path, err) from err
        if not text.endswith(b"\n") or not text[:-1].isdigit():
            raise Garbled(path, f"a number expected, found {text!r}", 1)
        values.append(int(text))
    start, end, accesses, age = values
    return start, end, accesses, age


def _write(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
        try:
            # Names of cgroups are bytes, of no encoding.
            os.write(descriptor, os.fsencode(text))
        finally:
            os.close(descriptor)
    except OSError as err:
        raise failure(path, err) from err
