"""Who may move pages, each set as its own documentation recommends; pure. What had to be changed for a small, counted
machine is said where it is changed, and docs/benchmarks/index.md repeats it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from tests.bench.placement.workloads import FLOOR_MIB, WORKING_SET_MIB

_BALANCING: Final = "/sys/kernel/debug/sched/numa_balancing"
_ULONG_MAX: Final = str((1 << 64) - 1)
_SAMPLE_US: Final = 100_000
_AGGREGATION_US: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class Arm:
    """One of them. `settings` is what the report says of it; the rest is for inside.py."""

    name: str
    settings: str
    sysctls: Mapping[str, str] = field(default_factory=dict)
    kdamonds: Sequence[tuple[str, str]] = ()
    source: str = ""
    engine: str = ""
    # Words in the arguments of programs: whether they are their own oracle, which of their accesses are told to the
    # agent's feed, and where their memory is from the start.
    words: Mapping[str, str] = field(default_factory=dict)
    # What is left of fast memory, where that is not the capacity and the floor.
    free_mib: int | None = None
    # By how many seeds it is played.
    seeds: int = 1
    # The arm that this one is, played once more: how far a run repeats.
    repeats: str = ""

    @property
    def ours(self) -> bool:
        """Whether it is this project's agent."""
        return bool(self.engine)

    @property
    def moves_pages(self) -> bool:
        """Whether it is somebody who finds out what to move, and not a reference."""
        return self.ours or bool(self.sysctls or self.kdamonds)

    def setup(self, rules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What inside.py is told; `rules` are those of an agent's policy."""
        told: dict[str, Any] = {
            "sysctls": dict(self.sysctls),
            "kdamonds": list(self.kdamonds),
            "words": {"HOLD": "0", "SAMPLED": "0", "START": "-1", **self.words},
        }
        if self.free_mib is not None:
            told["free_mib"] = self.free_mib
        if self.ours:
            told["policy"] = policy(self.source, self.engine, rules)
        return told


def policy(source: str, engine: str, rules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The agent's manifest: its defaults, and what it must be told of a machine as small as this."""
    return {
        "apiVersion": "thermocline.dev/v1alpha1",
        "kind": "MemoryTierPolicy",
        "metadata": {"name": "placement"},
        "spec": {
            "mode": "Enforce",
            "hotness": {"sources": [source]},
            "migration": {"engines": [engine]},
            # The kernel's own floor, so that both have the same room.
            "watermarks": {"demoteBelow": "1%", "demoteUntil": "2%"},
            # An emulated CPU is busy whatever it does.
            "guards": {"memoryPressure": {"someAvg60": "10000bp", "fullAvg10": "10000bp"}},
            "rules": list(rules),
        },
    }


def _scheme(number: int, action: str, target: int, **pattern: str) -> list[tuple[str, str]]:
    """A kdamond for the memory of one node, with one scheme. inside.py puts the node's addresses in."""
    context = f"{number}/contexts/0"
    scheme = f"{context}/schemes/0"
    limits = {
        "sz": ("4096", _ULONG_MAX),
        "nr_accesses": (pattern["least"], pattern["most"]),
        "age": (pattern["age"], str((1 << 32) - 1)),
    }
    return [
        (f"{number}/contexts/nr_contexts", "1"),
        (f"{context}/operations", "paddr"),
        (f"{context}/monitoring_attrs/intervals/sample_us", str(_SAMPLE_US)),
        (f"{context}/monitoring_attrs/intervals/aggr_us", str(_AGGREGATION_US)),
        (f"{context}/monitoring_attrs/intervals/update_us", "20000000"),
        (f"{context}/monitoring_attrs/nr_regions/min", "100"),
        (f"{context}/monitoring_attrs/nr_regions/max", "10000"),
        (f"{context}/targets/nr_targets", "1"),
        (f"{context}/targets/0/regions/nr_regions", "1"),
        (f"{context}/targets/0/regions/0/start", f"START_OF_NODE_{number}"),
        (f"{context}/targets/0/regions/0/end", f"END_OF_NODE_{number}"),
        (f"{context}/schemes/nr_schemes", "1"),
        (f"{scheme}/action", action),
        (f"{scheme}/target_nid", str(target)),
        *(
            (f"{scheme}/access_pattern/{name}/{end}", value)
            for name, (least, most) in limits.items()
            # The greatest first: a kernel may compare them.
            for end, value in (("max", most), ("min", least))
        ),
        (f"{scheme}/quotas/ms", pattern["quota_ms"]),
        (f"{scheme}/quotas/bytes", str(50 << 30)),
        (f"{scheme}/quotas/reset_interval_ms", "20000"),
        (f"{scheme}/quotas/weights/sz_permil", "0"),
        (f"{scheme}/quotas/weights/nr_accesses_permil", "0"),
        (f"{scheme}/quotas/weights/age_permil", "10"),
        (f"{scheme}/filters/nr_filters", "1"),
        (f"{scheme}/filters/0/type", "young"),
        (f"{scheme}/filters/0/matching", pattern["young"]),
    ]


_DAMON: Final = (
    ("nr_kdamonds", "2"),
    # Not young pages, of regions in which nothing was accessed for 30 s.
    *_scheme(0, "migrate_cold", 1, least="0", most="0", age="15", quota_ms="1000", young="Y"),
    # Young pages, of regions that were accessed in 5 % of the samples.
    *_scheme(1, "migrate_hot", 0, least="1", most="20", age="0", quota_ms="2000", young="N"),
    ("0/state", "on"),
    ("1/state", "on"),
)

_BALANCED: Final = {
    f"{_BALANCING}/scan_size_mb": "32",
    f"{_BALANCING}/scan_delay_ms": "10",
    f"{_BALANCING}/scan_period_min_ms": "12",
    f"{_BALANCING}/scan_period_max_ms": "533",
    "/sys/kernel/mm/numa/demotion_enabled": "1",
    "/proc/sys/kernel/numa_balancing": "2",
}
_SEEDS: Final = 3
# Of a device that counts, the part of accesses that it tells.
_SAMPLED: Final = 4

_PLAYED: Final = (
    Arm("none", "nothing moves", seeds=_SEEDS),
    Arm("all-slow", "nothing moves, and all memory is slow from the start", words={"START": "1"}),
    Arm(
        "all-fast",
        "nothing moves, and all memory is fast from the start, of which there is enough",
        words={"START": "0"},
        free_mib=WORKING_SET_MIB + 2 * FLOOR_MIB,
    ),
    Arm(
        "oracle",
        "the program knows its rates, and moves its hottest pages when an interval begins",
        words={"HOLD": "1"},
        seeds=_SEEDS,
    ),
    Arm(
        "kernel",
        "kernel.numa_balancing=2, numa/demotion_enabled=1 (Documentation/admin-guide/sysctl/kernel.rst). Its "
        "scans go by the CPU time of programs, of which these use a hundredth: scan_delay_ms=10, "
        "scan_period_min_ms=12, scan_period_max_ms=533 are its defaults for one that uses all of a CPU, as "
        "far as scan_size_mb=32 allows",
        sysctls=_BALANCED,
        seeds=_SEEDS,
    ),
    Arm(
        "DAMON",
        "one kdamond for each node, with the settings that HMSDK's gen_migpol.py writes for damo (-g: all "
        "programs): intervals 100 ms, 2 s, 20 s; 100 to 10,000 regions; migrate_cold of what was not accessed "
        "for 30 s, migrate_hot of what was in 5 % of the samples; a filter for young pages; 50 GB and 1 or 2 s of work "
        "in 20 s. Actions, rates and filters are also those of damo's own recipe (scripts/mem_tier.sh); its intervals "
        "that tune themselves and its goals for the use of the fast node want Linux 6.15 and 6.16",
        kdamonds=_DAMON,
        seeds=_SEEDS,
    ),
    Arm(
        "IdlePage x PhysicalCall",
        "thermocline-agent run, access bits and move_phy_pages(2)",
        source="IdlePage",
        engine="PhysicalCall",
        seeds=_SEEDS,
    ),
    Arm(
        "Damon x PhysicalCall",
        "the same, DAMON's estimates of regions and move_phy_pages(2)",
        source="Damon",
        engine="PhysicalCall",
    ),
    Arm(
        "Damon x Damon",
        "the same, DAMON's estimates and DAMON's schemes with the agent's ranges",
        source="Damon",
        engine="Damon",
    ),
    Arm(
        "IdlePage x MovePages",
        "the same, access bits, and a reverse map with move_pages(2)",
        source="IdlePage",
        engine="MovePages",
    ),
    Arm(
        "Feed x PhysicalCall",
        f"the same, counts by address as a device that sees all memory would tell them: one of {_SAMPLED} accesses, "
        "drawn by lot, sixteen times in an interval; and move_phy_pages(2)",
        source="Feed",
        engine="PhysicalCall",
        words={"SAMPLED": str(_SAMPLED)},
    ),
)


def _again(name: str) -> Arm:
    (arm,) = (each for each in _PLAYED if each.name == name)
    return replace(arm, name=f"{name}, again", settings=f"{name}, played once more", seeds=1, repeats=name)


ARMS: Final = MappingProxyType(
    {arm.name: arm for arm in (*_PLAYED, _again("kernel"), _again("IdlePage x PhysicalCall"))}
)
