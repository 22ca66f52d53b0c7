"""The operator on bad days: a proxy before a real API server spoils what it asks for."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.cluster import faults, operators
from tests.cluster.agents import Agents
from tests.cluster.faults import AWAY, CUT, EMPTY, EXPIRED, FAILED, OLD, SHORT, SILENT, SLOW, Fault, Proxy
from tests.cluster.operators import FAST, NODES, Audit, Objects

pytestmark = pytest.mark.cluster

PLURALS = ("memorytierpolicies", "memorytiernodes", "nodes", "controllerrevisions")


def is_list(method: str, path: str, plural: str) -> bool:
    """Whether a request lists a kind, by whatever client."""
    return method == "GET" and path.partition("?")[0].endswith(f"/{plural}") and "watch=true" not in path


def is_watch(path: str, plural: str) -> bool:
    return path.partition("?")[0].endswith(f"/{plural}") and "watch=true" in path


@pytest.mark.usefixtures("played")
@pytest.mark.parametrize("plural", PLURALS)
@pytest.mark.parametrize("how", [EMPTY, SHORT])
def test_a_listing_that_lacks_something_takes_nothing_away(
    objects: Objects, proxy: Proxy, audit: Audit, tmp_path: Path, plural: str, how: str
) -> None:
    kubeconfig = proxy.kubeconfig(tmp_path / "kubeconfig")
    words = ("--identity", "the-same")
    with operators.running(kubeconfig, tmp_path / "before.log", words):
        objects.settle(*NODES)
        objects.policy("default", rollout=FAST)
        objects.wait_ready("default")
    before = objects.tier_nodes()
    audit.mark()
    proxy.fault = lambda method, path: how if is_list(method, path, plural) else None
    with operators.running(kubeconfig, tmp_path / "operator.log", words):
        objects.wait("it acts", lambda: "acting" in (tmp_path / "operator.log").read_text())
        time.sleep(3)
        assert proxy.faults >= 2
        after = objects.tier_nodes()
        assert {name: each["spec"] for name, each in after.items()} == {
            name: each["spec"] for name, each in before.items()
        }
        assert audit.writes_by_name("memorytiernodes") == {}
        assert audit.writes_by_name("controllerrevisions") == {}
        # What the listing lacked is known by now, or asked for.
        proxy.fault = faults.none
        objects.patch("default", {"hotness": {"interval": "30s"}})
        objects.wait("the new revision is everywhere", lambda: {
            each["spec"]["settings"]["hotness"]["interval"] for each in objects.tier_nodes().values()
        } == {"30s"})  # fmt: skip


def at_random(share: float, what: int | str) -> Fault:
    """A fault that happens now and then, but for watches."""
    chance = random.Random(3)  # noqa: S311 - not for secrets
    return lambda _, path: what if "watch=true" not in path and chance.random() < share else None


@pytest.mark.parametrize(("share", "what"), [(0.3, 429), (0.3, 500), (0.3, AWAY), (0.3, CUT), (0.2, 410)])
def test_a_rollout_gets_through_what_fails_now_and_then(
    objects: Objects,
    played: Agents,
    proxy: Proxy,
    audit: Audit,
    tmp_path: Path,
    share: float,
    what: int | str,
) -> None:
    with operators.running(proxy.kubeconfig(tmp_path / "kubeconfig"), tmp_path / "operator.log"):
        objects.settle(*NODES)
        audit.mark()
        proxy.fault = at_random(share, what)
        objects.policy("default", rollout=FAST)
        objects.wait_ready("default")
    assert proxy.faults
    assert set(objects.revisions().values()) == {objects.status("default")["revisions"]["target"]}
    assert set(played.seen) == set(NODES)
    # A write whose answer was lost is made again, and changes nothing but the note of when.
    assert set(audit.writes_by_name("memorytiernodes")) == set(NODES)


@pytest.mark.usefixtures("played")
def test_while_the_api_server_is_away_nothing_is_lost(objects: Objects, proxy: Proxy, tmp_path: Path) -> None:
    with operators.running(proxy.kubeconfig(tmp_path / "kubeconfig"), tmp_path / "operator.log") as operator:
        objects.settle(*NODES)
        objects.policy("default", rollout=FAST)
        objects.wait("it began", lambda: any(objects.revisions().values()))
        proxy.fault = lambda *_: AWAY
        time.sleep(8)
        assert operator.process.poll() is None
        proxy.fault = faults.none
        objects.wait_ready("default")


@pytest.mark.usefixtures("played")
def test_an_operator_that_is_there_before_its_kinds_waits_for_them(
    objects: Objects, proxy: Proxy, tmp_path: Path
) -> None:
    objects.policy("default", rollout=FAST)
    proxy.fault = lambda _, path: 404 if "thermocline.dev" in path else None
    log = tmp_path / "operator.log"
    with operators.running(proxy.kubeconfig(tmp_path / "kubeconfig"), log) as operator:
        wanted = "waiting for an API server that serves MemoryTierPolicy, MemoryTierNode"
        objects.wait("it tells what it waits for", lambda: wanted in log.read_text())
        time.sleep(3)
        assert operator.process.poll() is None
        proxy.fault = faults.none
        objects.settle(*NODES)
        objects.wait_ready("default")


def test_no_wave_begins_on_what_a_silent_watch_does_not_tell(
    objects: Objects, played: Agents, proxy: Proxy, audit: Audit, tmp_path: Path
) -> None:
    with operators.running(proxy.kubeconfig(tmp_path / "kubeconfig"), tmp_path / "operator.log"):
        objects.settle(*NODES)
        audit.mark()
        objects.policy("default", rollout={**FAST, "soak": "10s"})
        objects.wait(
            "it soaks", lambda: objects.condition("default", "Progressing").get("reason") == "Soaking"
        )
        (canary,) = audit.writes_by_name("memorytiernodes")
        # From now on it hears of nothing that nodes report.
        proxy.fault = lambda _, path: SILENT if is_watch(path, "memorytiernodes") else None
        proxy.drop()
        played.trips = dict.fromkeys(NODES, ("100Mi", "PingPong"))
        played.report(canary)
        # It reads the canary before a wave, and so learns of it; not that the canary has gone back.
        objects.wait("it is given up", lambda: "RollingBack" in objects.events("default"))
        assert f"PingPong on {canary}" in objects.condition("default", "Progressing")["message"]
    assert audit.writes_by_name("memorytiernodes") == {canary: 2}


@pytest.mark.usefixtures("played")
def test_watches_that_expire_are_begun_anew(objects: Objects, proxy: Proxy, tmp_path: Path) -> None:
    with operators.running(proxy.kubeconfig(tmp_path / "kubeconfig"), tmp_path / "operator.log"):
        objects.settle(*NODES)
        chance = random.Random(5)  # noqa: S311 - not for secrets
        proxy.fault = lambda _, path: EXPIRED if "watch=true" in path and chance.random() < 0.5 else None
        proxy.drop()
        objects.policy("default", rollout=FAST)
        for _ in range(5):
            time.sleep(1)
            proxy.drop()
        objects.wait("watches expired", lambda: proxy.faults >= 2)
        objects.wait_ready("default")
        assert set(objects.revisions().values()) == {objects.status("default")["revisions"]["target"]}


@pytest.mark.usefixtures("played")
def test_an_operator_whose_watch_fails_ends_and_the_next_goes_on(
    objects: Objects, proxy: Proxy, audit: Audit, tmp_path: Path
) -> None:
    kubeconfig, words = proxy.kubeconfig(tmp_path / "kubeconfig"), ("--identity", "the-same")
    log = tmp_path / "operator.log"
    with operators.running(kubeconfig, log, words) as operator:
        objects.settle(*NODES)
        audit.mark()
        objects.policy("default", rollout=FAST)
        objects.wait("it began", lambda: any(objects.revisions().values()))
        proxy.fault = lambda _, path: FAILED if is_watch(path, "memorytiernodes") else None
        proxy.drop()
        # What it would not hear of any more is not guessed: its kubelet starts another.
        assert operator.process.wait(60) == 1
    assert "the watches ended" in log.read_text()
    proxy.fault = faults.none
    with operators.running(kubeconfig, log, words):
        objects.wait_ready("default")
    assert audit.writes_by_name("memorytiernodes") == dict.fromkeys(NODES, 1)


@pytest.mark.usefixtures("played")
def test_writes_that_are_answered_too_late_are_no_other_writes(
    objects: Objects, proxy: Proxy, audit: Audit, tmp_path: Path
) -> None:
    with operators.running(proxy.kubeconfig(tmp_path / "kubeconfig"), tmp_path / "operator.log"):
        objects.settle(*NODES)
        audit.mark()
        chance = random.Random(7)  # noqa: S311 - not for secrets
        proxy.fault = lambda method, _: SLOW if method == "PATCH" and chance.random() < 0.2 else None
        objects.policy("default", rollout=FAST)
        objects.wait_ready("default", 300)
    assert proxy.faults
    assert set(audit.writes_by_name("memorytiernodes")) == set(NODES)
    assert set(objects.revisions().values()) == {objects.status("default")["revisions"]["target"]}


@pytest.mark.usefixtures("played")
def test_who_slept_past_its_lease_writes_no_more(
    objects: Objects, proxy: Proxy, audit: Audit, tmp_path: Path
) -> None:
    written: list[str] = []

    def witness(method: str, path: str) -> None:
        if method != "GET" and "/leases" not in path:
            written.append(f"{method} {path}")

    proxy.fault = witness
    through_proxy = proxy.kubeconfig(tmp_path / "kubeconfig")
    with operators.running(through_proxy, tmp_path / "first.log", ("--identity", "first")) as first:
        objects.settle(*NODES)
        objects.policy("default", rollout=FAST)
        objects.wait_ready("default")
        assert written, "the first acts, and is seen"
        first.process.send_signal(signal.SIGSTOP)
        with operators.running(objects.server.kubeconfig, tmp_path / "second.log", ("--identity", "second")):
            objects.wait("the other acts", lambda: "acting" in (tmp_path / "second.log").read_text())
            audit.mark()
            written.clear()
            # What the first would write, if it went by what it knew.
            objects.patch("default", {"hotness": {"interval": "30s"}})
            first.process.send_signal(signal.SIGCONT)
            objects.wait_ready("default")
            time.sleep(10)
        assert first.process.poll() is None
        assert written == []
    assert audit.writes_by_name("memorytiernodes") == dict.fromkeys(NODES, 1)


@pytest.mark.usefixtures("played")
def test_a_hundred_policies_at_once(objects: Objects, audit: Audit, tmp_path: Path) -> None:
    with operators.running(objects.server.kubeconfig, tmp_path / "operator.log"):
        objects.settle(*NODES)
        audit.mark()
        for number in range(100):
            objects.policy(f"p{number:03}", priority=number, rollout=FAST)
        objects.wait_ready("p099")
        objects.wait("all others are superseded", lambda: {
            each["metadata"]["name"]: each.get("status", {}).get("phase")
            for each in objects.items("memorytierpolicies")
        } == {f"p{number:03}": "Ready" if number == 99 else "Superseded" for number in range(100)})  # fmt: skip
    assert {each["spec"]["policy"] for each in objects.tier_nodes().values()} == {"p099"}


@pytest.mark.usefixtures("played")
def test_an_operator_that_lived_through_a_restored_etcd_ends(
    objects: Objects, proxy: Proxy, audit: Audit, tmp_path: Path
) -> None:
    log = tmp_path / "operator.log"
    with operators.running(proxy.kubeconfig(tmp_path / "kubeconfig"), log) as operator:
        objects.settle(*NODES)
        audit.mark()
        proxy.fault = lambda method, path: OLD if method == "PUT" and "/leases/" in path else None
        assert operator.process.wait(60) == 1
    assert "etcd was restored" in log.read_text()
    assert audit.writes_by_name("memorytiernodes") == {}
