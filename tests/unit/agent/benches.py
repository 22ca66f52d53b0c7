"""An agent on a machine of fakes, round by round, and what a test turns there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from tests.unit.agent.rounds import HOT, LRU, PAGES, Policy, Pretender, Time
from thermocline_agent.manifest import schema
from thermocline_agent.parts import Parts
from thermocline_agent.probe import Capability
from thermocline_agent.report import Report
from thermocline_agent.rounds import Rounds
from thermocline_api.codec import encode
from thermocline_api.conditions import Status, find
from thermocline_api.node import NodeCondition
from thermocline_api.rule import Rule
from thermocline_api.settings import Hotness, Migration, Mode, Settings, Source
from thermocline_kernel.host import Host

INTERVAL = 10.0
SETTINGS = Settings(
    mode=Mode.ENFORCE,
    hotness=Hotness((Source.REFERENCED,), INTERVAL, 64.0),
    migration=Migration(promote_bytes_per_second=1 << 30, demote_bytes_per_second=1 << 30),
    rules=(Rule("work", cgroups=("work",), cold_after_seconds=20),),
)
# Hot pages in slow memory, cold ones in fast memory, and another's.
HOT_PAGES = range(PAGES + 1024, PAGES + 1124)
START = {
    **dict.fromkeys(HOT_PAGES, ("work", HOT)),
    **dict.fromkeys(range(2048, 2148), ("work", LRU)),
    **dict.fromkeys(range(PAGES + 4096, PAGES + 4196), ("other", HOT)),
}


@dataclass
class Bench:
    """A machine, its agent, and what a test turns."""

    host: Host
    policy: Policy
    time: Time
    rounds: Rounds
    engine: Pretender
    told: list[Report] = field(default_factory=list)

    def run(self, count: int = 1) -> Report:
        for _ in range(count):
            self.told.append(self.rounds.run())
            told = encode(self.told[-1].status)
            assert schema("MemoryTierNode").check_status(told) == ()
            assert len(json.dumps(told)) < 4096
            self.time.seconds += INTERVAL
        return self.told[-1]

    def publish(self, report: Report) -> None:
        self.told.append(report)

    def close(self) -> None:
        pass


def made(host: Host, monkeypatch: pytest.MonkeyPatch) -> Bench:
    policy, time = Policy(SETTINGS), Time()
    parts = Parts(host, host.proc / "feed.sock")
    engine = Pretender(host)
    monkeypatch.setattr(Parts, "_made_engine", lambda *_: engine)
    rounds = Rounds(host, policy, time, parts)
    # Whether call and DAMON are there is this machine's affair, and no fake's.
    parts.capabilities = (
        Capability("Source", "Referenced", True, "", ""),
        Capability("Engine", "PhysicalCall", False, "SystemCallMissing", "this kernel has none"),
        Capability("Engine", "Damon", False, "NotInKernel", "no"),
        Capability("Engine", "MovePages", True, "", ""),
    )
    rounds._probed_at = time.seconds + 1e9
    return Bench(host, policy, time, rounds, engine)


def status(report: Report, kind: NodeCondition) -> tuple[Status, str]:
    found = find(report.status.conditions, kind)
    assert found is not None
    return found.status, found.reason
