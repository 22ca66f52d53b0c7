"""What the tests of this folder share: a cluster, and an API server without one, with agents and an operator."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import agents, faults, operators
from tests.cluster.agents import Agents
from tests.cluster.apiserver import ApiServer, running_api_server
from tests.cluster.faults import Proxy
from tests.cluster.operators import NAMESPACE, Audit, Objects, Operator
from tests.cluster.running import OWN, Cluster
from tests.lab.build import catalogue
from tests.lab.build.part import Workshop
from tests.lab.cache import Cache, default_root


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of all three kinds of node, under a name of its own: whoever uses the lab goes on using it.

    Emulated nodes that do nothing take half a CPU: they end with the module that needs them.
    """
    running = Cluster(f"tests-{OWN}")
    running.lab("cluster", "down")
    try:
        # As a person starts it; make lab is tested by whoever uses the cluster.
        assert f"\nTHERMOCLINE_LAB={running.name} python3 -m tests.lab kubectl get nodes\n" in running.make(
            "lab"
        )
        yield running
    finally:
        running.make("lab-down")


@pytest.fixture(scope="session")
def helm() -> Path:
    """The lab's helm."""
    workshop = Workshop(Cache(default_root()), catalogue.PARTS)
    (folder,) = workshop.get("helm")
    return folder / "bin/helm"


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """Etcd and an API server that has our CRDs, without nodes: up in a few seconds."""
    # Each process that runs tests has its own: what a test writes is seen by no other.
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    with running_api_server(f"apiserver-{OWN}-{worker}") as running:
        yield running


@pytest.fixture
def objects(api_server: ApiServer) -> Iterator[Objects]:
    """An API server without any objects of ours, and again when the test has ended."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    made = api_server.ask("POST", "/api/v1/namespaces", json.dumps(namespace), kind="application/json")
    assert made.code in (201, 409), made.body
    found = Objects(api_server)
    found.clear()
    yield found
    found.clear()


@pytest.fixture
def played(objects: Objects) -> Iterator[Agents]:
    """Agents of all nodes."""
    with agents.playing(objects.server) as found:
        yield found


@pytest.fixture
def operator(objects: Objects, tmp_path: Path) -> Iterator[Operator]:
    """A running operator; what it said is shown when the test fails."""
    with operators.running(objects.server.kubeconfig, tmp_path / "operator.log") as found:
        yield found
    print((tmp_path / "operator.log").read_text()[-8000:])


@pytest.fixture
def audit(objects: Objects) -> Audit:
    """What is asked of the API server from now on."""
    found = Audit(objects.server.audit_log)
    found.mark()
    return found


@pytest.fixture
def proxy(objects: Objects) -> Iterator[Proxy]:
    """A proxy before the API server."""
    with faults.proxying(objects.server) as found:
        yield found
