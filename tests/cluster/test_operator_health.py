"""What a kubelet learns of an operator at /healthz: who stalls is told, and who only waits is healthy."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster import faults, operators
from tests.cluster.faults import AWAY, DRIP, Proxy
from tests.cluster.impatient import LONGEST_SECONDS
from tests.cluster.operators import FAST, NODES, Objects

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("played")]


@dataclass(frozen=True, slots=True)
class Probed:
    """An operator that acts, and where it is asked how it is."""

    port: int

    def ask(self, path: str = "/healthz") -> tuple[int, str]:
        """Status and text."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()


@pytest.fixture
def probed(objects: Objects, proxy: Proxy, tmp_path: Path) -> Iterator[Probed]:
    """An operator behind a proxy that has rolled a policy out."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    log, words = tmp_path / "operator.log", ("--listen", f"127.0.0.1:{port}")
    kubeconfig = proxy.kubeconfig(tmp_path / "kubeconfig")
    with operators.running(kubeconfig, log, words, module="tests.cluster.impatient"):
        objects.settle(*NODES)
        objects.policy("default", rollout=FAST)
        objects.wait_ready("default")
        yield Probed(port)
    print(log.read_text()[-8000:])


@pytest.mark.parametrize(("path", "who"), [("/memorytiernodes/", "the loop"), ("/leases", "the lease")])
def test_who_stalls_is_told_and_no_other(
    objects: Objects, proxy: Proxy, probed: Probed, path: str, who: str
) -> None:
    assert probed.ask() == (200, "ok\n")
    proxy.fault = lambda _, asked: DRIP if path in asked else None
    # Without an answer to this the loop does nothing else.
    objects.patch("default", {"hotness": {"interval": "30s"}})
    objects.wait("it is told", lambda: probed.ask()[0] == 503)
    assert probed.ask() == (503, f"no progress: {who}\n")
    assert probed.ask("/metrics")[0] == 200
    proxy.fault = faults.none
    objects.wait("it goes on", lambda: probed.ask() == (200, "ok\n"))
    objects.wait_ready("default")


def test_an_api_server_that_is_away_is_no_reason_to_restart(
    objects: Objects, proxy: Proxy, probed: Probed
) -> None:
    proxy.fault = lambda *_: AWAY
    proxy.drop()
    until = time.monotonic() + 3 * LONGEST_SECONDS
    while time.monotonic() < until:
        assert probed.ask() == (200, "ok\n")
        time.sleep(0.5)
    # By now it cannot know whether it still holds the lease.
    assert "thermocline_operator_acting 0.0" in probed.ask("/metrics")[1]
    proxy.fault = faults.none
    objects.patch("default", {"hotness": {"interval": "30s"}})
    objects.wait_ready("default")
