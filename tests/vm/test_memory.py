"""Fast and slow memory of a node, as its kernel tells it, and pages that move between them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Ended, node_commands, node_python

pytestmark = pytest.mark.vm

PROBE = Path(__file__).with_name("probes") / "memory.py"


@pytest.fixture(scope="module")
def content() -> bytes:
    """Of a file that a node reads."""
    return random.Random(7).randbytes(4 << 20)  # noqa: S311 - not for secrets


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> dict[str, Ended]:
    """One boot with CXL memory: where it is, and then what devices read into it."""
    share = tmp_path_factory.mktemp("share")
    (share / "file").write_bytes(content)
    commands = {"memory": program(PROBE), "cache": program(PROBE.with_name("page_cache.py"))}
    return node_commands(commands, options="--kernel patched --cxl 512M", share=share)


@pytest.fixture(scope="module")
def slow_ram() -> dict[str, Ended]:
    commands = {"memory": program(PROBE), "probe": ["thermocline-agent", "probe", "--json"]}
    return node_commands(commands, options="--slow-ram 256M --memory 512M --cpus 1")


def program(path: Path) -> list[str]:
    return ["python3", "-c", path.read_text()]


def assert_a_page_moves_and_reads_back_whole(told: Any) -> None:
    for node, moved in zip((1, 0), told["moved"], strict=True):
        assert moved == {
            "statuses": [node], "nodes": [node], "frames_changed": 64 if node else 0, "frames_inside": 64,
            "whole": True,
        }  # fmt: skip


@pytest.mark.parametrize("kernel", ["patched", "stock"])
def test_cxl_memory_is_a_movable_node_of_a_slower_tier(kernel: str, request: pytest.FixtureRequest) -> None:
    if kernel == "patched":
        told = request.getfixturevalue("patched")["memory"].json
    else:
        told = node_python(PROBE, options="--kernel stock --cxl 512M").json
    assert told["nodes"]["1"]["size_mib"] == 512
    assert told["nodes"]["1"]["cpus"] == []
    assert told["nodes"]["0"]["cpus"] == [0, 1]
    assert told["movable_nodes"] == [1]
    # Fastest first.
    assert told["tiers"] == [[0], [1]]
    assert_a_page_moves_and_reads_back_whole(told)


def test_devices_read_into_page_cache_on_cxl_memory(patched: dict[str, Ended], content: bytes) -> None:
    told = patched["cache"].json
    assert told["shared"] == hashlib.sha256(content).hexdigest()
    assert told["cached_kib"] >= 8 << 10


def test_slow_ram_has_figures_and_a_tier_of_its_own(slow_ram: dict[str, Ended]) -> None:
    told = slow_ram["memory"].json
    fast, slow = told["nodes"]["0"]["performance"], told["nodes"]["1"]["performance"]
    # What the lab writes into the HMAT (tests/lab/machine.py).
    assert (fast["read_latency_ns"], fast["read_bandwidth_mbps"]) == (100, 80000)
    assert (slow["read_latency_ns"], slow["read_bandwidth_mbps"]) == (250, 20000)
    assert slow["initiators"] == [0]
    assert told["nodes"]["1"]["cpus"] == []
    assert told["tiers"] == [[0], [1]]
    assert_a_page_moves_and_reads_back_whole(told)


def test_slow_ram_is_told_by_its_figures(slow_ram: dict[str, Ended]) -> None:
    found = slow_ram["probe"].json
    assert [(each["id"], each["tier"], each["readLatencyNanoseconds"]) for each in found["nodes"]] == [
        (0, "Fast", 100), (1, "Slow", 250)
    ]  # fmt: skip
