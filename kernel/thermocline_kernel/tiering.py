"""What else may be moving pages between tiers: the kernel's own tiering, and DAMON's modules.

Source: Documentation/admin-guide/sysctl/kernel.rst (numa_balancing, since 5.18 with 2, memory tiering),
Documentation/ABI/testing/sysfs-kernel-mm-numa (demotion_enabled, since 5.15),
Documentation/admin-guide/mm/damon/{reclaim,lru_sort,stat}.rst, Linux 6.12 (7.2 for stat). kidled is no part of
upstream Linux: some vendors' kernels have it. A file that is not there says that its mechanism is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from thermocline_kernel.errors import Denied, Garbled, Unavailable
from thermocline_kernel.host import Host, read_line, read_number

# include/linux/sched/sysctl.h
NUMA_BALANCING_NORMAL = 1
NUMA_BALANCING_MEMORY_TIERING = 2


class Mechanism(Enum):
    """What moves, or ranks, pages without us."""

    NUMA_BALANCING = "NUMA balancing promotes hot pages"
    NUMA_LOCALITY = "NUMA balancing brings pages that a CPU touches to its node"
    DEMOTION = "reclaim demotes pages"
    DAMON_RECLAIM = "DAMON_RECLAIM reclaims cold memory"
    DAMON_LRU_SORT = "DAMON_LRU_SORT reorders the LRU lists"
    DAMON_STAT = "DAMON_STAT monitors accesses"
    KIDLED = "kidled scans for idle pages"

    @property
    def moves_pages(self) -> bool:
        """Whether it tiers memory: moves pages between tiers because that is what it is for.

        NUMA_LOCALITY is not: it knows no tiers. It takes a page from a node without CPUs that is touched a second time,
        hot or not, while its CPU's node has room to spare, and brings none back (should_numa_migrate_memory() and
        migrate_misplaced_folio_prepare(), 6.12). So it undoes placements, and is reported; but where it was left to
        itself nobody would tier.
        """
        return self in _MOVERS

    @property
    def holds_damon(self) -> bool:
        """Whether DAMON starts nothing else while it runs."""
        return self in _DAMON_MODULES


_MOVERS = frozenset({Mechanism.NUMA_BALANCING, Mechanism.DEMOTION})
_DAMON_MODULES = frozenset({Mechanism.DAMON_RECLAIM, Mechanism.DAMON_LRU_SORT, Mechanism.DAMON_STAT})


@dataclass(frozen=True, slots=True)
class Active:
    """A mechanism that is on; `switch` is the file, and `off` what to write there to switch it off."""

    mechanism: Mechanism
    switch: Path
    off: str

    @property
    def sentence(self) -> str:
        """For a person: what is on, and how to end that."""
        return f"{self.mechanism.value}: to switch it off, write {self.off} to {self.switch}"


def active(host: Host) -> tuple[Active, ...]:
    """The mechanisms that are on. Raises Denied, Failed or Garbled: what is not known is not off."""
    switches: tuple[tuple[Mechanism, Path, Callable[[Path], bool], str], ...] = (
        (Mechanism.NUMA_BALANCING, host.proc / "sys/kernel/numa_balancing", _tiers, "0"),
        (Mechanism.NUMA_LOCALITY, host.proc / "sys/kernel/numa_balancing", _balances, "0"),
        (Mechanism.DEMOTION, host.sys / "kernel/mm/numa/demotion_enabled", _true, "false"),
        (Mechanism.DAMON_RECLAIM, _parameter(host, "damon_reclaim"), _yes, "N"),
        (Mechanism.DAMON_LRU_SORT, _parameter(host, "damon_lru_sort"), _yes, "N"),
        (Mechanism.DAMON_STAT, _parameter(host, "damon_stat"), _yes, "N"),
        (Mechanism.KIDLED, host.sys / "kernel/mm/kidled/scan_period_in_seconds", _positive, "0"),
    )
    return tuple(Active(mechanism, path, off) for mechanism, path, on, off in switches if _is_on(path, on))


def promote_rate_limit_mbps(host: Host) -> int | None:
    """How many MB a second NUMA balancing may promote, per node; None where the kernel has no limit (since 6.1)."""
    try:
        return read_number(host.proc / "sys/kernel/numa_balancing_promote_rate_limit_MBps")
    except Denied:
        raise
    except Unavailable:
        return None


def _parameter(host: Host, module: str) -> Path:
    return host.sys / "module" / module / "parameters/enabled"


def _is_on(path: Path, on: Callable[[Path], bool]) -> bool:
    try:
        return on(path)
    except Denied:
        raise
    except Unavailable:
        return False


def _tiers(path: Path) -> bool:
    return bool(read_number(path) & NUMA_BALANCING_MEMORY_TIERING)


def _balances(path: Path) -> bool:
    # With tiering beside it (3), pages of slow nodes are left to that.
    return read_number(path) == NUMA_BALANCING_NORMAL


def _positive(path: Path) -> bool:
    return read_number(path) > 0


def _true(path: Path) -> bool:
    return _either(path, "true", "false")


def _yes(path: Path) -> bool:
    return _either(path, "Y", "N")


def _either(path: Path, on: str, off: str) -> bool:
    text = read_line(path)
    if text not in (on, off):
        raise Garbled(path, f"{on} or {off} expected, found {text!r}", 1)
    return text == on
