"""A node that has fast memory alone: the kernel tells of one node, and the agent says why it leaves it alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import Ended, node_commands
from tests.vm.test_agent import WORK, policy

pytestmark = pytest.mark.vm

PROBE = Path(__file__).with_name("probes") / "memory.py"


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """One boot for all: none of these changes anything."""
    share = tmp_path_factory.mktemp("share")
    (share / "policy.json").write_text(json.dumps(policy([WORK])))
    commands = {
        "memory": ["python3", "-c", PROBE.read_text()],
        "probe": ["thermocline-agent", "probe"],
        "run": ["thermocline-agent", "run", "--policy", "/share/policy.json", "--once"],
        "record": ["thermocline-agent", "record", "-o", "/run/x.npz"],
    }
    return node_commands(commands, options="--no-slow", share=share)


def test_there_is_one_node(ended: dict[str, Ended]) -> None:
    told = ended["memory"].json
    assert list(told["nodes"]) == ["0"]
    assert told["tiers"] == [[0]]


def test_the_probe_says_so(ended: dict[str, Ended]) -> None:
    done = ended["probe"]
    assert done.status == 1, done.err
    assert "\n  NoSlowTier: no node is slow memory by " in done.out.decode()
    assert "node 1" not in done.out.decode()


def test_it_is_left_alone(ended: dict[str, Ended]) -> None:
    done = ended["run"]
    assert done.status == 0, done.err
    assert "NoSlowTier" in done.out.decode() + done.err


def test_there_is_nothing_to_record(ended: dict[str, Ended]) -> None:
    done = ended["record"]
    assert done.status == 1, done.err
    assert "NoSlowTier" in done.err + done.out.decode()
    assert "nothing can be recorded here" in done.err + done.out.decode()
