"""The steps that the demo and the end-to-end test both take on a cluster of the lab, and what they read there."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.cluster.running import Cluster
from tests.commands import CHECKOUT, Ended
from tests.demo import workload
from tests.demo.workload import NAMESPACE

CHART: Final = CHECKOUT / "charts/thermocline"
SYSTEM: Final = "thermocline-system"
GAUGE: Final = Path(__file__).with_name("gauge.py").read_text()
# Emulated nodes on two cores: what takes seconds on real ones may take minutes.
SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What the kernel of a node says of the two pods; see gauge.py. Shares are of 1, amounts bytes on nodes 0 and 1."""

    hot: float
    cold: float
    redis: tuple[int, int]
    batch: tuple[int, int]
    counters: Mapping[str, int]

    @property
    def batch_share(self) -> float:
        """The share of the batch job's memory that is in DRAM."""
        return self.batch[0] / (sum(self.batch) or 1)


@dataclass(slots=True)
class Gauge:
    """A node's readings, as they come in."""

    running: subprocess.Popen[bytes]
    readings: list[Reading] = field(default_factory=list)

    def follow(self) -> None:
        """Take what is printed until it ends; for a thread."""
        assert self.running.stdout is not None
        for line in self.running.stdout:
            told = json.loads(line)
            self.readings.append(
                Reading(
                    told["hot"], told["cold"], tuple(told["redis"]), tuple(told["batch"]), told["counters"]
                )
            )

    @property
    def last(self) -> Reading | None:
        """The newest; AssertionError when there will not be any more."""
        assert self.running.poll() is None, "what reads the node's memory has ended"
        return self.readings[-1] if self.readings else None


@dataclass(frozen=True, slots=True)
class Stage:
    """A cluster, and the nodes of it that the workloads run on."""

    cluster: Cluster
    nodes: Sequence[str] = ("patched", "stock")

    def install(self, *values: str, chart: Path = CHART) -> None:
        """Install the chart, or upgrade it, and wait until its pods are ready."""
        done = self.try_to_install(*values, timeout="15m", chart=chart)
        assert done.status == 0, done.err

    def try_to_install(self, *values: str, timeout: str, chart: Path = CHART) -> Ended:
        """The same, whatever comes of it in that time."""
        given = ("image.registry=thermocline.dev", "image.tag=dev", "image.pullPolicy=Never", *values)
        return self.cluster.lab(
            "helm", "upgrade", "--install", "thermocline", str(chart), "-n", SYSTEM, "--create-namespace",
            "--set", ",".join(given), "--wait", "--timeout", timeout, timeout_seconds=1000,
        )  # fmt: skip

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Apply objects as an admin does."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        file = CHECKOUT / ".demo.json"
        file.write_text(text)
        try:
            self.cluster.kubectl("apply", "-f", str(file))
        finally:
            file.unlink()

    def start_workloads(self) -> None:
        """Start redis and the batch job on each node, and wait until both hold what they shall hold."""
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        for node in self.nodes:
            self.apply(workload.redis_pod(node), workload.batch_pod(node))
        for node in self.nodes:
            self.cluster.wait(partial(self.latency, node), f"redis on {node}", SECONDS)
            self.cluster.wait(partial(self._log, f"batch-{node}"), f"batch job on {node}", SECONDS)

    def place(self, node: str) -> Mapping[str, int]:
        """Put all of redis' values on slow memory; says how many pages they are, and how many are there now."""
        found: Mapping[str, int] = json.loads(self.cluster.console(node, *self._gauge(node, "place")))
        return found

    @contextmanager
    def watching(self) -> Iterator[dict[str, Gauge]]:
        """Readings of each node, for as long as the block runs."""
        with ExitStack() as stack:
            found = {}
            for node in self.nodes:
                words = ("console", node, "--", *self._gauge(node, "watch"))
                found[node] = Gauge(stack.enter_context(self.cluster.started(*words)))
                threading.Thread(target=found[node].follow, daemon=True).start()
            yield found

    def latency(self, node: str) -> float | None:
        """Microseconds of a request, over the last two seconds; None before there was one."""
        last = self._log(f"redis-{node}", "-c", "client", "--tail=1").strip()
        return float(last) if last.isdigit() else None

    def tier_node(self, node: str) -> Any:
        """A node's MemoryTierNode; an empty object before there is one."""
        asked = self.cluster.lab("kubectl", "get", "mtn", node, "-o", "json", "--ignore-not-found")
        return asked.json if asked.status == 0 and asked.out.strip() else {}

    def condition(self, node: str, kind: str) -> dict[str, str]:
        """One of a node's conditions; empty before there is one."""
        conditions = self.tier_node(node).get("status", {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == kind), {})

    def follows(self, node: str, mode: str) -> bool:
        """Whether a node's agent says that it does as the policy of this mode says."""
        found = self.tier_node(node)
        status = found.get("status", {})
        revision = found.get("spec", {}).get("revision")
        return bool(status.get("mode") == mode and revision and status.get("revision") == revision)

    def plan(self, node: str) -> Any:
        """What a node's agent would do; None before it would do anything."""
        told = self.tier_node(node).get("status", {}).get("dryRun") or {}
        return told if told.get("promoteBytes") else None

    def _log(self, *words: str) -> str:
        asked = self.cluster.lab("kubectl", "logs", "-n", NAMESPACE, *words)
        return asked.out.decode() if asked.status == 0 else ""

    def _gauge(self, node: str, what: str) -> list[str]:
        uids = [
            self.cluster.get("pod", f"{name}-{node}", "-n", NAMESPACE)["metadata"]["uid"]
            for name in ("redis", "batch")
        ]
        return ["python3", "-c", GAUGE, *uids, what]
