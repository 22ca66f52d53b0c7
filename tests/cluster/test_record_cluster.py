"""`record --node` against a real API server: it learns of pods, and writes nothing. The machine is a tree of fakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cluster.operators import Audit, Objects
from tests.cluster.test_agent_cluster import agent, give
from tests.unit.agent.benches import INTERVAL, made
from tests.unit.agent.rounds import HOT, PAGES, plant, write
from tests.unit.kernel import trees
from thermocline_agent.cluster.api import FIELD_MANAGER
from thermocline_agent.commands.record import Paced, Recording
from thermocline_agent.loop import until
from thermocline_agent.recorder import Recorder
from thermocline_agent.trial import tried
from thermocline_api.rule import Rule
from thermocline_api.selector import LabelSelector
from thermocline_api.settings import Mode, Settings

pytestmark = pytest.mark.cluster

HOTNESS = {"sources": ["Referenced"], "interval": "10s"}


def test_a_nodes_pods_are_recorded_by_name_and_nothing_is_written(
    objects: Objects, audit: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = objects.server
    give(objects, "n1", settings={"mode": "Enforce", "hotness": HOTNESS, "rules": [{"name": "everything"}]})
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db-0", "labels": {"app": "db"}},
           "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "none"}],
                    "automountServiceAccountToken": False}}  # fmt: skip
    server.kubectl("create", "serviceaccount", "default")
    applied = server.kubectl("apply", "-f", "-", "-o", "json", text=json.dumps(pod))
    uid = json.loads(applied.text)["metadata"]["uid"]
    try:
        host = plant(tmp_path)
        trees.plant(tmp_path, {f"sys/fs/cgroup/kubepods/burstable/pod{uid}/memory.max": "max\n"})
        write(host, dict.fromkeys(range(PAGES + 1024, PAGES + 1124), (f"kubepods/burstable/pod{uid}", HOT)))
        bench = made(host, monkeypatch)
        with agent(server.kubeconfig) as client:
            objects.wait("it follows, and knows the pod", lambda: client.current().revision and client.pods())
            audit.mark()
            recording = Recording(Recorder(INTERVAL, names=True), 4)
            bench.rounds.policy = Paced(client, None)
            bench.rounds.mode, bench.rounds.witness = Mode.OBSERVE, recording.witness
            until(bench.rounds, (), bench.time, lambda: None, recording.enough)
            written = [
                each for each in audit.requests(FIELD_MANAGER) if each["verb"] not in ("watch", "get", "list")
            ]
        assert written == []
        assert "status" not in objects.tier_nodes()["n1"]
        trace = recording.recorder.trace()
        assert trace is not None
        (owner,) = trace.owners
        assert trace.in_kubernetes
        assert (owner.namespace, owner.name, owner.labels) == ("default", "db-0", {"app": "db"})
        assert owner.namespace_labels == {"kubernetes.io/metadata.name": "default"}
        rules = (Rule("db", pod_selector=LabelSelector({"app": "db"})),)
        assert sum(tried(trace, Settings(rules=rules), {}).outcome.promoted) == 100
    finally:
        server.kubectl("delete", "pod", "db-0", "--force", "--grace-period=0", "--ignore-not-found")
