"""Sources and engines on nodes: what each sees of memory of known use, and what each moves and leaves alone."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Ended, node_package

pytestmark = pytest.mark.vm

PROGRAM = Path(__file__).with_name("probes") / "machine"
PAGES = 256
HUGE_PAGES = 512
# Everything on emulated CXL memory is slow, and the machine may have other work.
TIMEOUT_SECONDS = 900
STOCK = "--kernel stock --cxl 512M"
PATCHED = "--kernel patched --cxl 512M"
SLOW_RAM = "--kernel patched --slow-ram 512M"


@functools.cache
def ended(options: str, *parts: str) -> Ended:
    """One boot tells everything about one kind of node, whatever became of it."""
    return node_package(PROGRAM, *parts, options=options, timeout_seconds=TIMEOUT_SECONDS)


def told(options: str, *parts: str) -> Any:
    return ended(options, *parts).json


def everything(options: str) -> Any:
    return told(options, "sources", "engines", "faults")


@pytest.mark.parametrize("options", [PATCHED, STOCK])
def test_the_probe_names_what_the_kernel_has(options: str) -> None:
    found = everything(options)
    idle, call = ({"IdlePage"}, {"PhysicalCall"}) if options == PATCHED else (set(), set())
    assert set(found["sources"]) == {"Damon", "Referenced"} | idle
    assert set(found["engines"]) == {"Damon", "MovePages"} | call


@pytest.mark.parametrize("options", [PATCHED, STOCK])
def test_damon_tells_hot_from_cold(options: str) -> None:
    seen = everything(options)["seen"]["Damon"]
    assert seen["hot huge"]["known"] == seen["cold huge"]["known"] == 1.0
    assert seen["hot huge"]["mean"] > 0.5
    assert seen["cold huge"]["mean"] < 0.1
    assert everything(options)["seen"]["Damon left"] == "NOBODY"


def test_idle_page_tells_every_page() -> None:
    seen = everything(PATCHED)["seen"]["IdlePage"]
    for name in ("hot", "hot huge"):
        assert seen[name]["known"] > 0.99
        assert seen[name]["mean"] > 0.99
    for name in ("cold", "cold huge"):
        assert seen[name]["known"] > 0.99
        assert seen[name]["mean"] < 0.01
    # With a hundredth of a percent of a CPU it looks at one chunk and no more.
    assert everything(PATCHED)["seen"]["IdlePage window pages"] <= 32768


def test_referenced_tells_files_read_often_from_one_read_once() -> None:
    seen = everything(PATCHED)["seen"]["Referenced"]
    assert seen["hot"]["known"] > 0.9
    assert seen["hot"]["mean"] > 0.9
    assert seen["cold"]["mean"] < 0.6


def test_referenced_cannot_tell_how_often_where_the_kernel_keeps_generations() -> None:
    # Debian's kernel has the multi-generational LRU on, which counts accesses where page flags do not show them.
    seen = everything(STOCK)["seen"]["Referenced"]
    assert seen["hot"]["known"] > 0.9
    assert 0.4 < seen["hot"]["mean"] <= 1.0
    assert 0.4 < seen["cold"]["mean"] <= seen["hot"]["mean"]


@pytest.mark.parametrize("options", [PATCHED, STOCK])
def test_perf_samples_have_the_addresses_of_pages_on_every_cpu(options: str) -> None:
    seen = everything(options)["seen"]["PerfMem"]
    # A page that is allocated is faulted in once.
    assert seen["faulted"]["known"] == 1.0
    assert seen["faulted"]["mean"] >= 0.99
    assert 300 <= seen["sampled"] < 3000
    assert seen["missed"] < 30


@pytest.mark.parametrize("options", [PATCHED, STOCK])
def test_the_feed_takes_host_and_device_addresses_from_root_alone(options: str) -> None:
    seen = everything(options)["seen"]["Feed"]
    assert seen["hpa"] is True
    assert seen["dpa"] is True
    assert seen["removed"] is True
    assert seen["refused"]["nonsense"] == "a frame has at least 48 bytes, this one has 8"
    assert seen["refused"]["ended"] is True
    assert "PermissionError" in seen["refused"]["not root"]


@pytest.mark.parametrize("options", [PATCHED, STOCK, SLOW_RAM])
def test_engines_move_the_pages_named_and_no_others(options: str) -> None:
    found = everything(options) if options != SLOW_RAM else told(options, "engines")
    assert {"Damon", "MovePages"} <= set(found["moved"])
    for engine, moved in found["moved"].items():
        for way, in_slow in (("demoted", PAGES // 2), ("promoted", 0)):
            figures = moved[way]
            case = f"{engine}, {way}: {figures}"
            assert figures["error"] is None, case
            # A page may be busy for the moment; it is then told so, and has not moved.
            busy = figures["results"].get("BUSY", 0)
            assert busy <= 12, case
            # A frame that was given to the same owner again at once does not tell DAMON's engine that a page left it.
            # How many are is the allocator's; that all pages came where they should is asked of the kernel below.
            unsure = figures["results"].get("UNKNOWN", 0)
            assert unsure <= (PAGES // 8 if engine == "Damon" else 0), case
            assert figures["results"]["MOVED"] == PAGES // 2 - busy - unsure, case
            assert figures["named there"] == 1 - busy / (PAGES // 2), case
            assert figures["frames kept"] == 1.0, case
            assert abs(figures["numa_maps"] - in_slow) <= busy, case
            # One page of a large folio stands for all of it, and for no other.
            assert figures["huge"]["results"] == {"MOVED": 1}, case
        assert moved["demoted"]["others there"] == 0.0
        assert moved["demoted"]["huge"]["pages there"] == HUGE_PAGES
    assert found["whole"] is True


@pytest.mark.parametrize("options", [PATCHED, STOCK])
def test_no_engine_moves_what_is_anothers_or_nobodys(options: str) -> None:
    for moved in everything(options)["moved"].values():
        for name in ("another's", "nobody's"):
            assert moved[name] == {"results": {"CHANGED": 16}, "error": None, "moved": 0}


@pytest.mark.parametrize("options", [PATCHED, STOCK])
def test_damon_of_others_is_left_alone_and_ours_is_cleared_up(options: str) -> None:
    faults = everything(options)["faults"]
    assert "others have configured DAMON" in faults["others"]
    assert faults["released"] is False
    assert faults["untouched"] == "123456"
    assert faults["probe"] == ["DamonBusy", "DamonBusy"]
    # Killed, an agent leaves it running; the next one takes it away.
    assert faults["left"] == ["OURS", True]
    assert faults["claimed"] == ["OURS", False]
    assert faults["after"] == faults["end"] == "NOBODY"
    if "module" in faults:
        assert faults["module"] == ["DamonBusy", "DamonBusy"]
        assert faults["module source"] == "Busy"
    else:
        assert options == STOCK
