"""The operator on machines whose clock is set while it runs: nothing that it does goes by the time of day."""

from __future__ import annotations

import contextlib
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.cluster import operators
from tests.cluster.clocks import SettableClock
from tests.cluster.faults import Proxy
from tests.cluster.operators import FAST, NAMESPACE, NODES, Audit, Objects

pytestmark = pytest.mark.cluster

SOAK_SECONDS = 12
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/thermocline-operator"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text.upper())


@pytest.mark.usefixtures("played")
@pytest.mark.parametrize("days", [1, -1])
def test_a_clock_that_is_set_begins_no_wave_and_loses_no_lease(
    objects: Objects, proxy: Proxy, audit: Audit, tmp_path: Path, days: int
) -> None:
    # By the proxy, so that no certificate is judged by these clocks.
    kubeconfig = proxy.kubeconfig(tmp_path / "kubeconfig")
    clock, other = SettableClock(tmp_path / "clock"), SettableClock(tmp_path / "other")
    clock.set(0)
    other.set(-days)
    one, two = tmp_path / "one.log", tmp_path / "two.log"
    with (
        operators.running(kubeconfig, one, ("--identity", "one"), variables=clock.variables),
        contextlib.ExitStack() as stack,
    ):
        objects.wait("it acts", lambda: "acting" in one.read_text())
        waiting = operators.running(kubeconfig, two, ("--identity", "two"), variables=other.variables)
        stack.enter_context(waiting)
        objects.settle(*NODES)
        audit.mark()
        objects.policy("default", rollout={**FAST, "soak": f"{SOAK_SECONDS}s"})
        objects.wait(
            "it soaks", lambda: objects.condition("default", "Progressing").get("reason") == "Soaking"
        )
        clock.set(days)
        other.set(2 * days)
        renewed = objects.server.ask("GET", LEASE).body["spec"]["renewTime"]
        objects.wait("the lease is renewed by that clock", lambda: abs(
            at(objects.server.ask("GET", LEASE).body["spec"]["renewTime"]) - at(renewed)
        ) > timedelta(hours=12))  # fmt: skip
        objects.wait_ready("default")
        clock.set(0)
        objects.patch("default", {"hotness": {"interval": "30s"}})
        # Longer than others wait for a lease that is not renewed.
        time.sleep(35)
        objects.wait_ready("default")
    assert audit.writes_by_name("memorytiernodes") == dict.fromkeys(NODES, 2)
    given = [
        at(each["requestReceivedTimestamp"])
        for each in audit.requests()
        if each["verb"] == "patch" and each["objectRef"]["resource"] == "memorytiernodes"
    ]
    for canary, wave in ((given[0], given[1]), (given[len(NODES)], given[len(NODES) + 1])):
        assert wave - canary >= timedelta(seconds=SOAK_SECONDS)
    lease = objects.server.ask("GET", LEASE).body["spec"]
    assert lease["leaseTransitions"] == 0
    assert one.read_text().count("acting, with") == 1
    assert "acting, with" not in two.read_text()
