"""Debian's Prometheus reads what a real operator and the agent's code tell, and judges alerts and dashboard."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import monitoring
from tests.cluster import operators
from tests.cluster.agents import Agents
from tests.cluster.operators import Objects
from tests.commands import CHECKOUT
from tests.lab.build import catalogue
from tests.lab.build.part import Workshop
from tests.lab.cache import Cache, default_root
from tests.unit.agent.benches import START, made
from tests.unit.agent.rounds import plant, write
from thermocline_agent.exporter import Exporter

pytestmark = pytest.mark.cluster

# Two readings, for rates; a second each on a machine that does nothing else.
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="session")
def commands() -> Path:
    """The folder of prometheus and promtool."""
    (folder,) = Workshop(Cache(default_root()), catalogue.PARTS).get("prometheus")
    return folder / "bin"


@pytest.mark.parametrize(
    "words", [("check", "rules", monitoring.RULES), ("test", "rules", CHECKOUT / "tests/cluster/alerts_test.yaml")],
    ids=["check", "test"],
)  # fmt: skip
def test_promtool_finds_nothing_wrong_with_the_rules(commands: Path, words: tuple[str | Path, ...]) -> None:
    done = subprocess.run([commands / "promtool", *words], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert b"SUCCESS" in done.stdout


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus."""

    port: int

    def ask(self, path: str, **words: str) -> Any:
        """What its API answers; AssertionError when it has errors or remarks."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                answer = json.loads(response.read())
        except urllib.error.HTTPError as err:
            pytest.fail(f"{words}: {err.read().decode()}")
        assert answer["status"] == "success", answer
        assert not answer.get("warnings"), answer
        assert not answer.get("infos"), answer
        return answer["data"]

    def is_ready(self) -> bool:
        """Whether it answers queries yet."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=30):
                return True
        except (ConnectionError, urllib.error.URLError):
            return False

    def rules(self) -> list[Any]:
        """The rules that it has loaded, and what came of them."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def series(self, query: str) -> list[Any]:
        """The series that a query gives now."""
        found: list[Any] = self.ask("query", query=query)["result"]
        return found


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


@contextmanager
def running(command: Path, folder: Path, targets: dict[str, int]) -> Iterator[Prometheus]:
    """A Prometheus with the rules that reads the targets, ports by job, every second."""
    configuration = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(monitoring.RULES)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            for job, port in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    found = Prometheus(free_port())
    argv: list[str | Path] = [
        command, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{found.port}",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield found
        except BaseException:
            print((folder / "log").read_text()[-4000:])
            raise
        finally:
            process.kill()
            process.wait()


def wait_until_read(prometheus: Prometheus, jobs: int) -> None:
    """Wait until each target was read three times, and the rules were evaluated."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not prometheus.is_ready():
        assert time.monotonic() < deadline, "it does not start"
        time.sleep(0.2)
    while True:
        read = prometheus.series("count_over_time(up[5m]) >= 3 and on (job) up == 1")
        rules = prometheus.rules()
        if len(read) == jobs and rules and all(rule["health"] != "unknown" for rule in rules):
            return
        assert time.monotonic() < deadline, read
        time.sleep(0.5)


@pytest.fixture
def agent_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Where the agent's exporter tells of rounds of the agent's code on a machine of fakes, up to one that moves."""
    (tmp_path / "machine").mkdir()
    host = plant(tmp_path / "machine")
    write(host, START)
    bench = made(host, monkeypatch)
    exporter, port = Exporter(), free_port()
    exporter.serve(f"127.0.0.1:{port}")
    for _ in range(10):
        report = bench.run()
        exporter.publish(report)
        if report.last.planned:
            return port
    pytest.fail("no round moved anything")


def test_every_query_and_every_rule_is_answered_from_what_is_exported(
    commands: Path, objects: Objects, played: Agents, agent_port: int, tmp_path: Path
) -> None:
    del played
    operator_port = free_port()
    listen = ("--listen", f"127.0.0.1:{operator_port}")
    targets = {"thermocline-agent": agent_port, "thermocline-operator": operator_port}
    with operators.running(objects.server.kubeconfig, tmp_path / "operator.log", listen):
        objects.settle("n1", "n2")
        objects.policy("default", rollout=operators.FAST)
        objects.wait_ready("default")
        with running(commands / "prometheus", tmp_path, targets) as prometheus:
            wait_until_read(prometheus, len(targets))
            empty = [
                query.where for query in monitoring.dashboard_queries() if not prometheus.series(query.text)
            ]
            assert empty == []
            for query in monitoring.alert_queries():
                prometheus.series(query.text)
                for selector in query.selectors:
                    assert prometheus.series(selector), f"{query.where}: {selector}"
            rules = prometheus.rules()
            assert [rule["name"] for rule in rules] == [alert["alert"] for alert in monitoring.alerts()]
            for rule in rules:
                assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule
            # The rounds above have a clock of their own, long ago; all else is well.
            waiting = {rule["name"]: rule["state"] for rule in rules if rule["state"] != "inactive"}
            assert waiting == {"ThermoclineAgentStuck": "pending"}
            counted = prometheus.series('thermocline_policy_nodes{policy="default", state="ready"}')
            assert [each["value"][1] for each in counted] == ["2"]

            # What is gone is told no more: an alert on it would never end.
            assert objects.server.kubectl("delete", "mtp", "default").status == 0
            objects.wait(
                "a policy that is gone has no nodes",
                lambda: not prometheus.series('thermocline_policy_nodes{policy="default"}'),
            )
