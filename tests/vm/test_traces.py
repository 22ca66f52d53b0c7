"""A trace of a real kernel: recorded in a node, and replayed on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.vm.test_agent import MEMORY, SERVICE, WORK, policy, share, told
from thermocline_agent import trace_file
from thermocline_agent.cli import main
from thermocline_agent.extent import Tier
from thermocline_agent.recorded import Recorded
from thermocline_agent.settings import PAGE_BYTES

pytestmark = pytest.mark.vm
__all__ = ("share",)

MIB = 1 << 20
# A hot region of 16 MiB in slow memory, one of 8 MiB in huge pages, and 16 MiB in fast memory that are never used.
PROGRAMS = {"work/app": "1:16:100", "work/huge": "1:8:100h", "service/idle": "0:16:0"}
ROUNDS = 4


def recorded(share: Path, *words: str, rounds: int = ROUNDS) -> Any:
    """What became of `record`, which may take until it ends by itself."""
    return told(
        share, f"--kernel patched --slow-ram 128M {MEMORY}", programs=PROGRAMS,
        policy=policy([WORK, SERVICE], hotness={"sources": ["IdlePage"]}), command="record",
        arguments=["--rounds", str(rounds), "--interval", "3s", *words], seconds=300, wanted={"work/app": [2.0]},
    )  # fmt: skip


@pytest.fixture(scope="module")
def node(share: Path) -> Any:
    return recorded(share, "-o", "/share/node.npz")


def test_a_node_is_recorded_and_nothing_moves(share: Path, node: Any) -> None:
    assert node["status"] == 0, node["log"]
    assert node["before"] == node["after"] == {"work/app": [0.0], "work/huge": [0.0], "service/idle": [1.0]}
    assert f"/share/node.npz: {ROUNDS} rounds" in node["log"]
    assert "the names above are not in it" in node["log"]
    trace = trace_file.read(share / "node.npz")
    assert len(trace.moments) == ROUNDS
    assert {each.source for each in trace.moments} == {"IdlePage"}
    assert {each.tier for each in trace.nodes} == set(Tier)
    content = (share / "node.npz").read_bytes()
    assert b"service" not in content
    assert trace.owners
    assert all(each.path is None for each in trace.owners)
    machine = Recorded(trace)
    for moment in trace.moments:
        machine.advance(moment)
    # Whole huge pages, of one owner each.
    huge = machine.owner[machine.order == 9]
    assert len(huge) >= 8 * MIB / PAGE_BYTES
    assert len(huge) % 512 == 0
    assert numbers(node["log"])["work/huge"] in huge


def numbers(log: str) -> dict[str, int]:
    """Who has which number, as `record` prints it."""
    found = {}
    for line in log.splitlines():
        words = line.split()
        if len(words) == 3 and words[0].isdigit() and words[1].isdigit():
            found[words[2]] = int(words[0])
    return found


def test_the_host_replays_it(
    share: Path, node: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hot region rises and the idle one sinks, as they do on a node (test_agent.py)."""
    chosen = tmp_path / "policy.json"
    chosen.write_text(json.dumps(policy([WORK, SERVICE], interval="3s")))
    words = ["backtest", "--policy", str(chosen), str(share / "node.npz"), "--json"]
    assert main(words) == 0
    (unnamed,) = json.loads(capsys.readouterr().out)["traces"][0]["policies"]
    assert unnamed["promotedBytes"] == unnamed["demotedBytes"] == 0
    assert "selects by names or labels, which the trace does not have" in unnamed["notes"][0]
    of = numbers(node["log"])
    mapped = [f"--owner-rule={of[path]}=work" for path in ("work/app", "work/huge")]
    mapped.append(f"--owner-rule={of['service/idle']}=service")
    assert main([*words, *mapped]) == 0
    (trace,) = json.loads(capsys.readouterr().out)["traces"]
    (mine,) = trace["policies"]
    rules = {each["rule"]: each for each in mine["rules"]}
    assert rules["work"]["promotedBytes"] >= 0.98 * 24 * MIB
    assert rules["service"]["demotedBytes"] >= 0.98 * 16 * MIB
    assert rules["work"]["fastHit"] > 0.3
    last = mine["rounds"][-1]
    assert last["fastHit"] > last["recordedFastHit"]
