"""What the demo runs on a node: a redis whose load is skewed, and a batch job that hogs DRAM. Manifests, and no I/O.

The redis is the node's own (Debian's, of the lab's root file system), for no image of it can be fetched here; the
client beside it and the batch job are Python programs in the agent's image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.lab.build.images import image_name

NAMESPACE: Final = "demo"
LOAD: Final = Path(__file__).with_name("load.py")
VALUES: Final = 6144
VALUE_BYTES: Final = 4000
# One value in so many is hot, and gets all requests but one in twenty: so few that each is read twice a second or more,
# though an emulated redis answers but some hundred requests in that time. DAMON samples 16 times a second.
HOT_EVERY: Final = 24
BATCH_MIB: Final = 40
# What a batch job may have of fast memory, and so what of its memory has to go.
BATCH_SHARE_PERCENT: Final = 50

# Touches a page in each of its 40 MiB again and again: hot by any measure, and of no hurry.
_BATCH: Final = f"""
import time
held = bytearray(b"x" * ({BATCH_MIB} << 20))
print("holding", flush=True)
while True:
    for at in range(0, len(held), 4096):
        held[at] = 1
    time.sleep(2)
"""


def redis_pod(node: str) -> dict[str, Any]:
    """The redis of a node, and its client."""
    server = ["chroot", "/node", "redis-server", "--save", "", "--appendonly", "no", "--hz", "10"]
    return _pod(
        f"redis-{node}",
        node,
        {"app": "redis"},
        [
            {**_container("redis", server), "volumeMounts": [{"name": "node", "mountPath": "/node"}]},
            _container(
                "client", ["python3", "-c", LOAD.read_text(), str(VALUES), str(VALUE_BYTES), str(HOT_EVERY)]
            ),
        ],
        [{"name": "node", "hostPath": {"path": "/", "type": "Directory"}}],
    )


def batch_pod(node: str) -> dict[str, Any]:
    """The batch job of a node."""
    return _pod(f"batch-{node}", node, {"kind": "batch"}, [_container("batch", ["python3", "-c", _BATCH])])


def policy(mode: str) -> dict[str, Any]:
    """docs/examples/batch-and-frontend.yaml, made for a lab: small shares, short intervals, no guards.

    Emulated machines stall all the time, which a guard would take for want of memory; and a pass of the batch job over
    emulated CXL memory may take half a minute, in which the rest of its pages is not cold.
    """
    return {
        "apiVersion": "thermocline.dev/v1alpha1",
        "kind": "MemoryTierPolicy",
        "metadata": {"name": "default"},
        "spec": {
            "mode": mode,
            "hotness": {"sources": ["IdlePage", "Damon"], "interval": "5s", "cpuLimit": "1"},
            "guards": {
                "memoryPressure": {"someAvg60": "10000bp", "fullAvg10": "10000bp"},
                "pingPong": {"maxPercent": 100},
                "minUsefulnessPercent": 0,
            },
            "rules": [
                {"name": "redis", "podSelector": {"matchLabels": {"app": "redis"}}, "coldAfter": "60s"},
                {
                    "name": "batch",
                    "podSelector": {"matchLabels": {"kind": "batch"}},
                    "coldAfter": "60s",
                    "fastShare": {"max": f"{BATCH_SHARE_PERCENT}%"},
                },
            ],
            "rollout": {"canary": "100%", "maxUnavailable": "100%", "soak": "1s"},
        },
    }


def _container(name: str, command: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "image": image_name("agent"),
        "imagePullPolicy": "Never",
        "command": command,
        # Without, a pod has hardly any of a busy node's CPUs.
        "resources": {"requests": {"cpu": "100m"}},
        "env": [{"name": "PYTHONUNBUFFERED", "value": "1"}],
    }


def _pod(
    name: str,
    node: str,
    labels: dict[str, str],
    containers: list[dict[str, Any]],
    volumes: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": containers,
            "volumes": volumes or [],
        },
    }
