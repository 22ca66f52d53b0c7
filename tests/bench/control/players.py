"""Agents of thousands of nodes, in a process of their own: each answers what its node is given by one status write.

Prints a line for each write that is done. `python3 -m tests.bench.control.players HOST:PORT FOLDER`: the folder has
ca.crt, admin.crt and admin.key.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Any, Final

import aiohttp

_NODES: Final = "/apis/thermocline.dev/v1alpha1/memorytiernodes"
_CONNECTIONS: Final = 32
# Statuses are of about the size of real ones.
_CONDITIONS: Final = ("TiersFound", "HotnessAvailable", "EngineAvailable", "Migrating")


def status(node: dict[str, Any]) -> dict[str, Any]:
    """What an agent says that applies what its node was given."""
    spec = node["spec"]
    conditions = [
        {"type": kind, "status": "True", "reason": "Played", "message": "as in a benchmark",
         "lastTransitionTime": "2026-01-02T03:04:05Z"}
        for kind in _CONDITIONS
    ]  # fmt: skip
    known = {key: spec[key] for key in ("policy", "revision") if key in spec}
    return known | {
        "observedGeneration": node["metadata"]["generation"],
        "mode": spec.get("settings", {}).get("mode", "Observe"),
        "counters": {
            "rounds": 1,
            "promotedBytes": 4096,
            "demotedBytes": 4096,
            "failedPages": 0,
            "fastHitPercent": 90,
        },
        "conditions": conditions,
    }


async def play(base: str, tls: ssl.SSLContext) -> None:
    """Watch and answer, for ever."""
    connector = aiohttp.TCPConnector(ssl=tls, limit=_CONNECTIONS)
    seen: dict[str, int] = {}
    tasks: set[asyncio.Task[None]] = set()
    async with aiohttp.ClientSession(base, connector=connector, read_bufsize=2**24) as session:

        async def answer(node: dict[str, Any]) -> None:
            name = node["metadata"]["name"]
            body = {
                "apiVersion": node["apiVersion"],
                "kind": node["kind"],
                "metadata": {"name": name},
                "status": status(node),
            }
            query = {"fieldManager": "thermocline-agent", "force": "true"}
            headers = {"Content-Type": "application/apply-patch+yaml"}
            async with session.patch(
                f"{_NODES}/{name}/status", params=query, data=json.dumps(body), headers=headers
            ) as said:
                said.raise_for_status()
            print(name, flush=True)

        # As a real agent's watch is of its node alone, so many would be thousands of watches: one tells all.
        timeout = aiohttp.ClientTimeout(total=None)
        async with session.get(
            _NODES, params={"watch": "true", "timeoutSeconds": "3600"}, timeout=timeout
        ) as watch:
            async for line in watch.content:
                event = json.loads(line)
                node = event["object"]
                generation = node["metadata"]["generation"]
                if (
                    event["type"] in ("ADDED", "MODIFIED")
                    and seen.get(node["metadata"]["name"]) != generation
                ):
                    seen[node["metadata"]["name"]] = generation
                    task = asyncio.create_task(answer(node))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)


def main(address: str, folder: Path) -> None:
    """Play until killed."""
    tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    tls.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    asyncio.run(play(f"https://{address}", tls))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
