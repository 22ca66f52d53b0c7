"""Agents of nodes, played: they watch MemoryTierNodes and report as real agents do, by server-side apply."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.cluster.apiserver import ApiServer

API = "/apis/thermocline.dev/v1alpha1"
APPLY = "application/apply-patch+yaml"


@dataclass(slots=True)
class Agents:
    """All agents of a cluster. Who is in `silent` does not answer; `trips` is what happens to whom, from when on.

    `trips` says, by node, in which of a policy's modes of bandwidth its ping-pong guard trips: settings with
    that promoteBandwidth are bad for it.
    """

    server: ApiServer
    silent: set[str] = field(default_factory=set)
    trips: dict[str, tuple[str, str]] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)
    writes: int = 0
    _since: dict[str, tuple[bool, str]] = field(default_factory=dict)
    _told: dict[str, tuple[str, int]] = field(default_factory=dict)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _socket: socket.socket | None = None

    def report(self, name: str) -> None:
        """Write a node's status, as of what its agent last saw."""
        node = self.seen.get(name)
        if node is None or name in self.silent:
            return
        body = {
            "apiVersion": "thermocline.dev/v1alpha1",
            "kind": "MemoryTierNode",
            "metadata": {"name": name},
            "status": self._status(name, node),
        }
        path = f"{API}/memorytiernodes/{name}/status?fieldManager=thermocline-agent&force=true"
        answer = self.server.ask("PATCH", path, json.dumps(body), kind=APPLY)
        assert answer.code in (200, 404), answer.body
        self.writes += 1

    def _status(self, name: str, node: Mapping[str, Any]) -> dict[str, Any]:
        spec = node["spec"]
        settings = spec.get("settings", {})
        bandwidth = settings.get("migration", {}).get("promoteBandwidth")
        reason = self.trips.get(name, ("", ""))
        tripped = bool(settings) and reason[0] == bandwidth
        guard = self._condition(name, tripped, reason[1] if tripped else "Quiet")
        mode = "Paused" if spec.get("paused") else settings.get("mode", "Observe")
        status = {
            "observedGeneration": node["metadata"]["generation"],
            "mode": mode,
            "podsMatched": 2,
            "counters": {"promotedBytes": 4096, "demotedBytes": 0, "failedPages": 0, "fastHitPercent": 90},
            "conditions": [guard],
        }
        return status | {key: spec[key] for key in ("policy", "revision") if key in spec}

    def _condition(self, name: str, tripped: bool, reason: str) -> dict[str, Any]:
        before, since = self._since.get(name, (None, ""))
        if before is not tripped:
            since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            self._since[name] = (tripped, since)
        return {
            "type": "GuardTripped", "status": str(tripped), "reason": reason, "message": "",
            "lastTransitionTime": since,
        }  # fmt: skip

    def run(self) -> None:
        """Watch until stopped."""
        while not self._stopped.is_set():
            try:
                with closing(self._events()) as events:
                    for event in events:
                        self._learn(event)
            except (OSError, http.client.HTTPException, ValueError):
                self._stopped.wait(0.2)

    def stop(self) -> None:
        """End the watch."""
        self._stopped.set()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _events(self) -> Generator[Any, None, None]:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.server.port, context=self.server.tls, timeout=130
        )
        connection.request("GET", f"{API}/memorytiernodes?watch=true&timeoutSeconds=120")
        self._socket = connection.sock
        with closing(connection), connection.getresponse() as response:
            while line := response.readline():
                yield json.loads(line)

    def _learn(self, event: Mapping[str, Any]) -> None:
        node = event["object"]
        if event["type"] not in ("ADDED", "MODIFIED"):
            return
        name = node["metadata"]["name"]
        self.seen[name] = node
        generation = node["metadata"]["generation"]
        if self._told.get(name) != (node["metadata"]["uid"], generation):
            self.report(name)
            # Not before: what could not be written is written when the watch has begun again.
            self._told[name] = node["metadata"]["uid"], generation


@contextmanager
def playing(server: ApiServer) -> Iterator[Agents]:
    """Agents for every node, for as long as the block runs."""
    agents = Agents(server)
    thread = threading.Thread(target=agents.run, name="agents", daemon=True)
    thread.start()
    try:
        yield agents
    finally:
        agents.stop()
        thread.join(10)
