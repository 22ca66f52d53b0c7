"""From what is read on nodes to rows about what is installed."""

from __future__ import annotations

import pytest

from tests.bench import samples
from tests.bench.install import footprint
from tests.lab.errors import LabError

AGENT = "resident_kib agent 0 40960\npeak_kib agent 0 {peak}\ncpu_ns agent 0 {cpu}\n"
OPERATOR = "resident_kib operator 0 61440\npeak_kib operator 0 71680\ncpu_ns operator 0 600000000\n"
IMAGES = [
    {"names": ["thermocline.dev/agent:dev"], "sizeBytes": 91_000_000},
    {"names": ["thermocline.dev/operator:dev"], "sizeBytes": 82_000_000},
]


def test_each_process_has_its_memory_and_its_cpu_over_the_nodes() -> None:
    boots = [
        samples.parse(AGENT.format(peak=51200, cpu=600_000_000) + OPERATOR),
        samples.parse(AGENT.format(peak=53248, cpu=1_200_000_000)),
    ]
    rows = {row.metric: row for row in footprint.rows(boots, 60.0, IMAGES)}
    assert (rows["agent_memory"].value, rows["agent_memory"].spread) == (51.0, (50.0, 52.0))
    assert rows["agent_memory"].arms == {"resident MiB": 40.0}
    assert rows["agent_cpu_at_rest"].spread == (1.0, 2.0)
    assert rows["operator_cpu_at_rest"].value == 1.0
    assert rows["operator_memory"].value == 70.0
    assert rows["operator_image"].value == 82.0


def test_an_image_that_no_node_has_is_told() -> None:
    boots = [samples.parse(AGENT.format(peak=1, cpu=1) + OPERATOR)]
    with pytest.raises(LabError, match=r"no node has thermocline\.dev/agent:dev"):
        footprint.rows(boots, 60.0, [])
