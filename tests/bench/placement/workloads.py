"""What is played, and on what machine; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

INTERVAL_MS: Final = 10_000
# Capture is of the intervals after these; moves are of all.
WARM_UP: Final = 6
INTERVALS: Final = 16
QUICK_INTERVALS: Final = 8
MEMORY_MIB: Final = 384
SLOW_MIB: Final = 128
NODE: Final = f"--memory {MEMORY_MIB}M --slow-ram {SLOW_MIB}M --icount"
# Of fast memory, what the kernel keeps free whatever is moved there.
FLOOR_MIB: Final = 8
CAPACITY_MIB: Final = 16
WORKING_SET_MIB: Final = 48
# Of programs whose processes come and go, none of whose pages is there when the next ones begin.
SHORT: Final = "short"
BYSTANDER: Final = "other/bystander"
# Of the arguments of programs, those that the arm tells.
ARMS_WORDS: Final = ("HOLD", "SAMPLED", "START")
_PAGES_PER_MIB: Final = 256
_ACCESSES: Final = 32_768


@dataclass(frozen=True, slots=True)
class Workload:
    """Programs by cgroup: a law, its part of pages and capacity, and accesses an interval."""

    name: str
    what: str
    programs: Mapping[str, tuple[str, float, int]]
    # What capture and moves for each needed move must reach; None: nothing was set.
    capture: float | None = None
    moves: float | None = None
    # Whether each program has its share of fast memory by a rule of its own.
    shares: bool = False

    def setup(self, seed: int, intervals: int) -> dict[str, str]:
        """The arguments of tiers, by cgroup; those in capitals are the arm's."""
        found = {}
        for group, (law, _, accesses) in self.programs.items():
            words = (
                law,
                seed,
                self.pages(group),
                self.entitled,
                INTERVAL_MS,
                intervals,
                accesses,
                *ARMS_WORDS,
            )
            found[group] = " ".join(map(str, words))
        return found | {BYSTANDER: f"bystander {4 * _PAGES_PER_MIB} {INTERVAL_MS} {intervals}"}

    def pages(self, group: str) -> int:
        """How many pages a program has."""
        _, part, _ = self.programs[group]
        return int(WORKING_SET_MIB * _PAGES_PER_MIB * part)

    @property
    def entitled(self) -> int:
        """How many pages of fast memory are each program's."""
        return CAPACITY_MIB * _PAGES_PER_MIB // len(self.programs)

    def rules(self) -> Sequence[Mapping[str, Any]]:
        """Those of an agent's policy. None names the bystander."""
        if not self.shares:
            return [{"name": "work", "cgroups": ["work/**"], "placement": "Tier"}]
        share = f"{CAPACITY_MIB // len(self.programs)}Mi"
        return [
            {
                "name": group.rpartition("/")[2],
                "cgroups": [group],
                "placement": "Tier",
                "fastShare": {"min": share, "max": share},
            }
            for group in self.programs
        ]


WORKLOADS: Final = MappingProxyType(
    {
        workload.name: workload
        for workload in (
            Workload(
                "zipf",
                "the n-th page in proportion to 1/n, pages in random order",
                {"work/app": ("zipf", 1.0, _ACCESSES)},
                0.95,
                1.1,
            ),
            Workload(
                "shifting",
                "a hot set of 0.8 of the capacity has 90 %; after every 8 intervals it is all other pages",
                {"work/app": ("shifting", 1.0, _ACCESSES)},
                0.85,
                1.6,
            ),
            Workload(
                "scan",
                "a hot set of 0.4 of the capacity, while a scan reads half of the working set in each interval, every "
                "page once",
                {"work/app": ("scan", 1.0, _ACCESSES)},
                0.9,
                1.1,
            ),
            Workload(
                "tenants",
                "two programs with half of the working set and of the capacity each: one by Zipf's law, and one that "
                "reads all of its pages evenly, twice as often",
                {"work/zipf": ("zipf", 0.5, _ACCESSES // 3), "work/hog": ("even", 0.5, 2 * _ACCESSES // 3)},
                0.9,
                1.1,
                shares=True,
            ),
            Workload(
                "large",
                "a hot set of twice the capacity has 90 %: no placement has all of it, and none gains by changing it",
                {"work/app": ("large", 1.0, _ACCESSES)},
            ),
            Workload(
                "late",
                "a file as large as the capacity lies in fast memory; after 2 intervals anonymous memory comes, "
                "wherever there is room for it, which then has 95 % of the accesses, by Zipf's law; the file has the "
                "rest, evenly",
                {"work/app": ("late", 1.0, _ACCESSES)},
            ),
            Workload(
                "forks",
                "a server whose pages are shared with four children, which read them by Zipf's law; each writes to 8, "
                "which makes copies, lives a quarter of an interval, and is followed by another",
                {"work/app": ("forks", 1.0, _ACCESSES)},
            ),
            Workload(
                "redis",
                "a redis-server whose values, of a page each, are asked for by Zipf's law, a quarter as often; its own "
                "tables start slow, too, and are no part of what is counted",
                {"work/app": ("redis", 1.0, _ACCESSES // 4)},
            ),
            Workload(
                "short",
                "beside a program that goes by Zipf's law, with half of the working set, accesses and capacity, "
                "sixteen processes in each interval have the other half, eight at a time, each by Zipf's law on memory "
                "of its own",
                {"work/app": ("zipf", 0.5, _ACCESSES // 2), "work/short": ("short", 0.5, _ACCESSES // 2)},
            ),
        )
    }
)
