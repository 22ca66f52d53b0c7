"""Fast and slow memory of a node, as its kernel tells it, and pages that move between them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from tests.commands import node_python

pytestmark = pytest.mark.vm

PROBE = Path(__file__).with_name("probes") / "memory.py"


def probe(options: str) -> Any:
    return node_python(PROBE, options=options).json


def assert_a_page_moves_and_reads_back_whole(told: Any) -> None:
    for node, moved in zip((1, 0), told["moved"], strict=True):
        assert moved == {
            "statuses": [node], "nodes": [node], "frames_changed": 64 if node else 0, "frames_inside": 64,
            "whole": True,
        }  # fmt: skip


@pytest.mark.parametrize("kernel", ["patched", "stock"])
def test_cxl_memory_is_a_movable_node_of_a_slower_tier(kernel: str) -> None:
    told = probe(f"--kernel {kernel} --cxl 512M")
    assert told["nodes"]["1"]["size_mib"] == 512
    assert told["nodes"]["1"]["cpus"] == []
    assert told["nodes"]["0"]["cpus"] == [0, 1]
    assert told["movable_nodes"] == [1]
    # Fastest first.
    assert told["tiers"] == [[0], [1]]
    assert_a_page_moves_and_reads_back_whole(told)


def test_devices_read_into_page_cache_on_cxl_memory(tmp_path: Path) -> None:
    content = random.Random(7).randbytes(4 << 20)  # noqa: S311 - not for secrets
    (tmp_path / "file").write_bytes(content)
    told = node_python(PROBE.with_name("page_cache.py"), options="--cxl 256M", share=tmp_path).json
    assert told["shared"] == hashlib.sha256(content).hexdigest()
    assert told["cached_kib"] >= 8 << 10


def test_slow_ram_has_figures_and_a_tier_of_its_own() -> None:
    told = probe("--slow-ram 256M --memory 512M --cpus 1")
    fast, slow = told["nodes"]["0"]["performance"], told["nodes"]["1"]["performance"]
    # What the lab writes into the HMAT (tests/lab/machine.py).
    assert (fast["read_latency_ns"], fast["read_bandwidth_mbps"]) == (100, 80000)
    assert (slow["read_latency_ns"], slow["read_bandwidth_mbps"]) == (250, 20000)
    assert slow["initiators"] == [0]
    assert told["nodes"]["1"]["cpus"] == []
    assert told["tiers"] == [[0], [1]]
    assert_a_page_moves_and_reads_back_whole(told)


def test_without_slow_memory_there_is_one_node() -> None:
    told = probe("--no-slow")
    assert list(told["nodes"]) == ["0"]
    assert told["tiers"] == [[0]]
