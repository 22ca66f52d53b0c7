"""What the chart's pods have of a node: memory, CPU at rest, and the sizes of their images.

On the lab's cluster, which is started unless it is up. Its nodes are emulated: an instruction takes many times as long
as on a real CPU, and so what is used of a CPU is far above what it would be there.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.bench import samples
from tests.bench.nodes import Effort
from tests.bench.rows import Row
from tests.bench.samples import Boot
from tests.cluster.running import Cluster
from tests.demo import workload
from tests.demo.stage import SECONDS, Stage
from tests.lab.build.images import TARGETS, image_name
from tests.lab.errors import LabError

NODES: Final = ("patched", "stock", "dram")
PROGRAM: Final = Path(__file__).with_name("resident.py")
REST_SECONDS: Final = 60
QUICK_SECONDS: Final = 10


def measure(effort: Effort) -> Sequence[Row]:
    """With the agents observing, by their default interval. Raises LabError when the cluster does not come up."""
    cluster = Cluster(os.environ.get("THERMOCLINE_LAB", "lab"))
    stage = Stage(cluster)
    try:
        if cluster.lab("cluster", "status").status != 0:
            sys.stderr.write("bench: starting a cluster\n")
            started = cluster.lab("cluster", "up", "--nodes", ",".join(NODES), timeout_seconds=3600)
            assert started.status == 0, started.err
        stage.install()
        # The demo's, say. Without a policy agents observe, every ten seconds.
        cluster.kubectl("delete", "mtp", "--all")
        cluster.kubectl("delete", "namespace", workload.NAMESPACE, "--ignore-not-found")
        for node in NODES[:2]:
            cluster.wait(partial(_observes, stage, node), f"{node} to do no more than observe", SECONDS)
        seconds = QUICK_SECONDS if effort == Effort.quick() else REST_SECONDS
        told = [cluster.console(node, "python3", "-c", PROGRAM.read_text(), str(seconds)) for node in NODES]
        images = cluster.get("node", NODES[0])["status"]["images"]
    except AssertionError as err:
        raise LabError(str(err)) from err
    return rows([samples.parse(each) for each in told if each], seconds, images)


def _observes(stage: Stage, node: str) -> bool:
    return stage.condition(node, "Migrating").get("reason") == "NoPolicy"


def rows(boots: Sequence[Boot], seconds: float, images: Sequence[Mapping[str, Any]]) -> list[Row]:
    """One for each process of ours and figure, over the nodes that have it, and one for each image."""
    found = []
    for name in TARGETS:
        there = [boot for boot in boots if ("peak_kib", name) in boot.rounds]
        peak = samples.over_boots(boot.middle("peak_kib", name) / 1024 for boot in there)
        found.append(
            Row(
                f"{name}_memory",
                round(peak.value, 1),
                "MiB",
                spread=(round(peak.least, 1), round(peak.most, 1)),
                arms={"resident MiB": round(samples.middle(there, "resident_kib", name) / 1024, 1)},
            )
        )
        used = samples.over_boots(boot.middle("cpu_ns", name) / 1e7 / seconds for boot in there)
        found.append(
            Row(
                f"{name}_cpu_at_rest",
                round(used.value, 2),
                "percent of an emulated CPU",
                spread=(round(used.least, 2), round(used.most, 2)),
            )
        )
    return [*found, *(_image(name, images) for name in TARGETS)]


def _image(name: str, images: Sequence[Mapping[str, Any]]) -> Row:
    """As the kubelet reports it: the layers as they are fetched."""
    for each in images:
        if image_name(name) in each["names"]:
            return Row(f"{name}_image", round(each["sizeBytes"] / 1e6, 1), "MB")
    raise LabError(f"no node has {image_name(name)}: {json.dumps(images)}")
