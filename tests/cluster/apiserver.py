"""A real API server and its etcd, without nodes, in a network namespace of their own."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.commands import CHECKOUT, Ended
from tests.lab import host
from tests.lab.build import catalogue
from tests.lab.build.part import Workshop
from tests.lab.cache import Cache, default_root, remove_tree
from tests.lab.cluster import cluster, control_plane, network, pki, relay
from tests.lab.cluster.plan import API_PORT, Plan
from tests.lab.process import tail

CRDS = sorted((CHECKOUT / "crds").glob("*.yaml"))
# Four seconds on a machine that does nothing else.
READY_SECONDS = 180


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said: the status of HTTP, and an object, a Status for what it refused."""

    code: int
    body: Any


@dataclass(frozen=True, slots=True)
class ApiServer:
    """A running API server, and how its administrator reaches it."""

    port: int
    tls: ssl.SSLContext
    kubectl_words: tuple[str, ...]
    kubeconfig: Path
    audit_log: Path

    def kubectl(self, *words: str | Path, text: str = "") -> Ended:
        """Run kubectl, `text` on its standard input."""
        done = subprocess.run(
            [*self.kubectl_words, *words], input=text.encode(), capture_output=True, timeout=60, check=False
        )
        return Ended(done.returncode, done.stdout, done.stderr.decode(errors="replace"))

    def ask(
        self,
        method: str,
        path: str,
        body: str = "",
        *,
        kind: str = "application/yaml",
        accept: str = "application/json",
    ) -> Answer:
        """One request; `kind` is the type of its body."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=30)
        try:
            headers: Mapping[str, str] = {"Content-Type": kind, "Accept": accept}
            connection.request(method, path, body.encode(), headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        return Answer(response.status, json.loads(text) if text.startswith("{") else text)


@contextmanager
def running_api_server(name: str) -> Iterator[ApiServer]:
    """Start it, with our CRDs; ended when the block ends. Whatever a killed test left of it is removed first."""
    host.require_lab_host()
    cache = Cache(default_root())
    host.install_packages(cache)
    Workshop(cache, catalogue.PARTS).get("kubernetes")
    plan = _plan(name)
    with cache.locked(f"cluster-{name}"):
        _remove(plan)
        try:
            # By a process that ends at once: what it starts has then no parent here that would have to wait for it.
            started = subprocess.run(
                [sys.executable, "-m", "tests.cluster.apiserver", name],
                cwd=CHECKOUT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert started.returncode == 0, started.stderr
            server = connect(plan, int(started.stdout))
            for crd in CRDS:
                _add(server, crd)
            yield server
        finally:
            _remove(plan)


def start(name: str) -> int:
    """Start etcd and the API server; returns the port on this machine's 127.0.0.1."""
    plan = _plan(name)
    folder = plan.home / "pki"
    plan.home.parent.mkdir(exist_ok=True)
    plan.home.mkdir(mode=0o700)
    pki.make_authority(folder)
    for identity in pki.CONTROL_PLANE:
        pki.issue(folder, identity)
    network.create(plan)
    control_plane.start(plan, plan.parts["kubernetes"] / "bin", ("etcd", "kube-apiserver"))
    port = relay.start(plan, API_PORT)
    plan.kubeconfig.write_text(pki.kubeconfig(folder, pki.ADMIN, f"https://127.0.0.1:{port}"))
    return port


def _plan(name: str) -> Plan:
    cache = Cache(default_root())
    parts = {"kubernetes": Workshop(cache, catalogue.PARTS).path("kubernetes")}
    return Plan(name, cluster.home_of(cache, name), (), parts)


def connect(plan: Plan, port: int) -> ApiServer:
    """The API server of a plan, once it answers."""
    folder = plan.home / "pki"
    tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    tls.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    audit_log = plan.home / "logs" / "audit.log"
    server = ApiServer(port, tls, tuple(cluster.kubectl(plan, ())), plan.kubeconfig, audit_log)
    log = plan.home / "logs" / "kube-apiserver.log"
    _wait(lambda: server.ask("GET", "/readyz").code == 200, lambda: f"no API server:\n{tail(log)}")
    return server


def _add(server: ApiServer, crd: Path) -> None:
    """Add a CRD and wait until its objects are served."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    added = server.ask("POST", f"{path}?fieldValidation=Strict", crd.read_text())
    assert added.code == 201, added.body
    name = added.body["metadata"]["name"]
    plural = name.partition(".")[0]

    def is_served() -> bool:
        return server.ask("GET", f"/apis/thermocline.dev/v1alpha1/{plural}").code == 200

    _wait(
        is_served, lambda: f"{name} is not served: {server.ask('GET', f'{path}/{name}').body.get('status')}"
    )


def _wait(is_done: Callable[[], bool], complaint: Callable[[], str]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            if is_done():
                return
        except (OSError, http.client.HTTPException):
            pass
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.2)


def _remove(plan: Plan) -> None:
    network.remove(plan)
    if plan.home.exists():
        remove_tree(plan.home)


if __name__ == "__main__":
    print(start(sys.argv[1]))
