"""The probe on a tree that stands for a machine that has nothing, and what is printed of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.agent import test_inventory
from tests.unit.kernel import trees
from tests.unit.kernel.test_damon import ROOT, kdamond
from thermocline_agent.cli import main
from thermocline_agent.commands import probe as command
from thermocline_agent.probe import Probe, probe
from thermocline_api import node as api
from thermocline_api.node import NodeStatus
from thermocline_kernel.damon import MARK_US, Action
from thermocline_kernel.host import Host
from thermocline_kernel.kpage import PageFlag


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Two tiers, owners of pages, and no source but page flags."""
    made = trees.host(tmp_path)
    trees.plant(tmp_path, test_inventory.FILES)
    (made.proc / "kpageflags").write_bytes(trees.words([PageFlag.LRU] * 32))
    (made.proc / "kpagecgroup").write_bytes(trees.words([0] * 32))
    (made.sys / "kernel/mm").mkdir(parents=True)
    return made


def reasons(found: Probe) -> dict[str, str]:
    return {f"{each.kind} {each.name}": each.reason for each in found.capabilities}


def test_each_thing_missing_has_a_reason(host: Host) -> None:
    found = probe(host)
    told = reasons(found)
    assert {name: told[name] for name in told if name != "Engine MovePages"} == {
        "Source Feed": "NoSender",
        "Source PerfMem": "NoMemoryEvents",
        "Source Damon": "NotInKernel",
        "Source IdlePage": "NotInKernel",
        "Source Referenced": "",
        "Engine PhysicalCall": "SystemCallMissing",
        "Engine Damon": "NotInKernel",
    }
    messages = {each.name: each.message for each in found.capabilities if each.kind == "Source"}
    assert "CONFIG_IDLE_PAGE_TRACKING" in messages["IdlePage"]
    assert "CONFIG_DAMON_PADDR" in messages["Damon"]
    assert found.problem is None
    assert found.kernel_tiering == ()


@pytest.mark.parametrize(("text", "told"), [("0x0007", "not how often"), ("0x0000", "anonymous"), ("on", "")])
def test_generations_make_flags_say_less(host: Host, text: str, told: str) -> None:
    trees.plant(host.sys, {"kernel/mm/lru_gen/enabled": f"{text}\n"})
    (found,) = (each for each in probe(host).capabilities if each.name == "Referenced")
    assert (found.available, told in found.message) == (bool(told), True)


def test_a_sender_makes_the_feed_available(host: Host) -> None:
    assert reasons(probe(host, feed_senders=1))["Source Feed"] == ""


def test_no_engine_without_owners(host: Host) -> None:
    (host.proc / "kpagecgroup").unlink()
    told = reasons(probe(host))
    assert {told[name] for name in told if name.startswith("Engine")} == {"OwnersUnknown"}
    (host.proc / "kpagecgroup").write_bytes(b"")
    told = reasons(probe(host))
    assert {told[name] for name in told if name.startswith("Engine")} == {"NotUnderstood"}


def test_a_machine_that_cannot_be_read_is_told(host: Host) -> None:
    (host.proc / "zoneinfo").write_text("garbage\n")
    trees.plant(host.proc, {"sys/kernel/numa_balancing": "many\n"})
    found = probe(host)
    assert found.topology is None
    assert found.problem is not None
    assert "zoneinfo:1" in found.problem
    assert found.kernel_tiering is None
    assert not command.is_enough(found)
    text = "\n".join(command.table(found))
    assert "zoneinfo:1" in text
    assert "unknown: " in text
    json.dumps(command.as_json(found))


def test_damon_that_a_module_holds_is_busy(host: Host) -> None:
    trees.plant(host.sys, {"module/damon_reclaim/parameters/enabled": "Y\n"})
    found = probe(host)
    assert reasons(found)["Source Damon"] == "DamonBusy"
    assert "write N to" in next(each.message for each in found.capabilities if each.name == "Damon")
    assert "DAMON_RECLAIM" in "\n".join(command.table(found))


def test_damon_that_our_agent_has_is_as_the_agent_found_it(host: Host) -> None:
    trees.plant(host.sys, {f"{ROOT}/nr_kdamonds": "1\n"} | kdamond(0, MARK_US, "on"))
    files = {path: path.read_text() for path in host.sys.rglob("*") if path.is_file()}
    told = reasons(probe(host))
    assert (told["Source Damon"], told["Engine Damon"]) == ("", "NotAsked")
    # DAMON of kernels before 6.11.
    told = reasons(probe(host, damon_actions=frozenset({Action.STAT})))
    assert (told["Source Damon"], told["Engine Damon"]) == ("", "NotInKernel")
    assert reasons(probe(host, damon_actions=frozenset(Action)))["Engine Damon"] == ""
    assert {path: path.read_text() for path in host.sys.rglob("*") if path.is_file()} == files


def test_the_table_and_the_json_say_the_same(host: Host) -> None:
    found = probe(host)
    text = "\n".join(command.table(found))
    told = command.as_json(found)
    assert text.startswith("TIERS, by the kernel's memory tiers\n  node 0        fast 128 MiB, 1 MiB free\n")
    assert "  node 1        slow 128 MiB, 1 MiB free, movable\n" in text
    assert [(node["id"], node["tier"], node["movable"]) for node in told["nodes"]] == [
        (0, "Fast", False), (1, "Slow", True)
    ]  # fmt: skip
    for each in told["sources"] + told["engines"]:
        assert each["message"] in text
        assert each["available"] == (each["reason"] == "")


def test_one_tier_is_told(host: Host) -> None:
    trees.plant(
        host.sys,
        {
            "devices/system/node/node1/cpulist": "2-3\n",
            "devices/virtual/memory_tiering/memory_tier4/nodelist": "0-1\n",
        },
    )
    slow = host.sys / "devices/virtual/memory_tiering/memory_tier8"
    (slow / "nodelist").unlink()
    slow.rmdir()
    found = probe(host)
    assert found.problem is not None
    assert "daxctl reconfigure-device --mode=system-ram" in found.problem
    assert f"NoSlowTier: {found.problem}" in "\n".join(command.table(found))
    assert not command.is_enough(found)


def test_what_a_running_agent_has_is_told_as_it_says(host: Host) -> None:
    trees.plant(host.sys, {f"{ROOT}/nr_kdamonds": "1\n"} | kdamond(0, MARK_US, "on"))
    found = probe(host)
    status = NodeStatus(
        capabilities=(
            api.Capability(api.CapabilityKind("Source"), "Feed", available=True, message="2 connected"),
            api.Capability(api.CapabilityKind("Engine"), "Damon", available=False, reason="NotInKernel"),
            # What can be asked is not taken from anybody.
            api.Capability(api.CapabilityKind("Source"), "Referenced", available=False, reason="Failed"),
        )
    )
    told = command.beside(found, status)
    changed = {
        f"{new.kind} {new.name}": (new.available, new.reason, new.message)
        for old, new in zip(found.capabilities, told.capabilities, strict=True)
        if new != old
    }
    assert changed == {
        "Source Feed": (True, "", "as the agent says that runs here: 2 connected"),
        "Engine Damon": (False, "NotInKernel", "as the agent says that runs here: NotInKernel"),
    }
    assert command.beside(found, NodeStatus()) == found


def test_the_command_prints_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["probe", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert status in (0, 1)
    assert [each["name"] for each in told["engines"]] == ["PhysicalCall", "Damon", "MovePages"]
    assert main(["probe"]) == status
    assert capsys.readouterr().out.startswith("TIERS")
