"""The operator as a process, and what it is judged by: what it wrote, as the API server's audit log has it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster.agents import API
from tests.cluster.apiserver import ApiServer

NAMESPACE = "thermocline"
# A rollout that takes seconds, and nodes for it.
FAST = {"canary": 1, "maxUnavailable": 2, "soak": "1s"}
NODES = ("n1", "n2", "n3", "n4", "n5")
# The collections that tests write to. By requests: kubectl takes seconds for all of them, before and after each test.
EVERYTHING = (
    f"{API}/memorytierpolicies",
    f"{API}/memorytiernodes",
    "/api/v1/nodes",
    f"/apis/apps/v1/namespaces/{NAMESPACE}/controllerrevisions",
    f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases",
    "/api/v1/namespaces/default/events",
)
# On a machine that does nothing else, a rollout takes two seconds.
PATIENCE_SECONDS = 120.0


@dataclass(slots=True)
class Objects:
    """An API server's objects, as a test writes and reads them."""

    server: ApiServer
    names: list[str] = field(default_factory=list)

    def add_nodes(self, *names: str, labels: dict[str, str] | None = None) -> None:
        """Write Node objects that are ready."""
        for name in names:
            body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels or {}}}
            answer = self.server.ask("POST", "/api/v1/nodes", json.dumps(body), kind="application/json")
            assert answer.code in (201, 409), answer.body
            self.set_ready(name)
            self.names.append(name)

    def settle(self, *names: str) -> None:
        """Add nodes; wait until each has an object, and its agent has reported."""
        self.add_nodes(*names)

        def is_settled() -> bool:
            found = self.tier_nodes()
            return all("status" in found.get(name, ()) for name in names)

        self.wait("every node reports", is_settled)

    def set_ready(self, name: str, *, ready: bool = True) -> None:
        """What a node's kubelet would report."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        condition = {
            "type": "Ready",
            "status": str(ready),
            "reason": "Test",
            "message": "",
            "lastTransitionTime": now,
        }
        body = json.dumps({"status": {"conditions": [condition]}})
        answer = self.server.ask(
            "PATCH", f"/api/v1/nodes/{name}/status", body, kind="application/strategic-merge-patch+json"
        )
        assert answer.code == 200, answer.body

    def policy(self, name: str, **spec: Any) -> None:
        """Apply a policy that enforces, unless it says otherwise."""
        spec = {"mode": "Enforce", "rules": [{"name": "everything"}], **spec}
        manifest = {
            "apiVersion": "thermocline.dev/v1alpha1",
            "kind": "MemoryTierPolicy",
            "metadata": {"name": name},
            "spec": spec,
        }
        applied = self.server.kubectl("apply", "-f", "-", text=json.dumps(manifest))
        assert applied.status == 0, applied.err

    def patch(self, name: str, spec: dict[str, Any]) -> None:
        """Kubectl patch mtp NAME --type merge."""
        done = self.server.kubectl("patch", "mtp", name, "--type", "merge", "-p", json.dumps({"spec": spec}))
        assert done.status == 0, done.err

    def status(self, name: str) -> dict[str, Any]:
        """A policy's status."""
        found: dict[str, Any] = self.server.ask("GET", f"{API}/memorytierpolicies/{name}").body.get(
            "status", {}
        )
        return found

    def condition(self, policy: str, kind: str) -> dict[str, Any]:
        """One of a policy's conditions."""
        conditions = self.status(policy).get("conditions", [])
        return next((each for each in conditions if each["type"] == kind), {})

    def tier_nodes(self) -> dict[str, Any]:
        """All MemoryTierNodes, by name."""
        return {each["metadata"]["name"]: each for each in self.items("memorytiernodes")}

    def items(self, plural: str) -> list[Any]:
        """All objects of one of our kinds."""
        found: list[Any] = self.server.ask("GET", f"{API}/{plural}").body["items"]
        return found

    def revisions(self) -> dict[str, str | None]:
        """The revision that each node was given."""
        return {name: each["spec"].get("revision") for name, each in self.tier_nodes().items()}

    def events(self, policy: str) -> list[str]:
        """The reasons of the events about a policy, oldest first."""
        items = self.server.ask("GET", "/apis/events.k8s.io/v1/namespaces/default/events").body["items"]
        mine = [each for each in items if each["regarding"].get("name") == policy]
        return [each["reason"] for each in sorted(mine, key=lambda each: each["eventTime"])]

    def wait(self, what: str, holds: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until something holds; AssertionError that shows how things are when it does not in time."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s\n{self.shown()}"
            time.sleep(0.2)

    def wait_ready(self, policy: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until all nodes of a policy apply what it says now."""

        def is_ready() -> bool:
            found = self.server.ask("GET", f"{API}/memorytierpolicies/{policy}").body
            status = found.get("status", {})
            told = status.get("observedGeneration"), status.get("phase")
            return told == (found["metadata"]["generation"], "Ready")

        self.wait(f"{policy} is ready", is_ready, seconds)

    def shown(self) -> str:
        """What a person would look at."""
        columns = "NAME:.metadata.name,GENERATION:.metadata.generation,OBSERVED:.status.observedGeneration"
        told = self.server.kubectl("get", "mtp,mtn", "-o", "wide").text
        return (
            told
            + self.server.kubectl(
                "get", "mtn", "-o", f"custom-columns={columns},REPORTS:.status.revision"
            ).text
        )

    def clear(self) -> None:
        """Remove everything that a test wrote."""
        for collection in EVERYTHING:
            answer = self.server.ask("DELETE", collection)
            assert answer.code == 200, answer.body
        self.names.clear()


@dataclass(slots=True)
class Audit:
    """What was asked of the API server since a moment."""

    path: Path
    _from: int = 0

    def mark(self) -> None:
        """Count from now on."""
        self._from = self.path.stat().st_size

    def requests(self, *agents: str) -> list[Any]:
        """Requests of the operator, its watches included, or of other user agents."""
        with self.path.open("rb") as log:
            log.seek(self._from)
            entries = [json.loads(line) for line in log.read().splitlines()]
        wanted = agents or ("thermocline-operator", "kopf")
        return [each for each in entries if each.get("userAgent", "").startswith(wanted)]

    def verbs(self, resource: str, subresource: str | None = None) -> Counter[str]:
        """How often which verb was used on a kind of object."""
        return Counter(
            each["verb"]
            for each in self.requests()
            if each["objectRef"]["resource"] == resource
            and each["objectRef"].get("subresource") == subresource
        )

    def writes_by_name(self, resource: str) -> Counter[str]:
        """How often each object was written, its status apart."""
        return Counter(
            each["objectRef"]["name"]
            for each in self.requests()
            if each["objectRef"]["resource"] == resource
            and "subresource" not in each["objectRef"]
            # What an operator had begun when it was killed was not done.
            and each["responseStatus"]["code"] < 300
            and each["verb"] in ("patch", "create", "update", "delete")
        )

    def lists(self) -> list[str]:
        """What was listed."""
        return [each["requestURI"] for each in self.requests() if each["verb"] == "list"]


@dataclass(slots=True)
class Operator:
    """A running operator."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """End it as a machine that loses power would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> int:
        """End it as the kubelet does."""
        self.process.terminate()
        return self.process.wait(60)


def start(
    kubeconfig: Path,
    log: Path,
    *words: str,
    module: str = "thermocline_operator",
    variables: Mapping[str, str] | None = None,
) -> Operator:
    """Start the operator, or a module that starts it."""
    argv = [sys.executable, "-m", module, "run", "--kubeconfig", str(kubeconfig),
            "--namespace", NAMESPACE, "--listen", "127.0.0.1:0", *words]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), **(variables or {})}
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    return Operator(process, log)


@contextmanager
def running(
    kubeconfig: Path,
    log: Path,
    words: Sequence[str] = (),
    *,
    module: str = "thermocline_operator",
    variables: Mapping[str, str] | None = None,
) -> Iterator[Operator]:
    """An operator for as long as the block runs."""
    operator = start(kubeconfig, log, *words, module=module, variables=variables)
    try:
        yield operator
    finally:
        if operator.process.poll() is None:
            operator.kill()
