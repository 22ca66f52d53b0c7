"""What the chart gives the agent's container, and what is lost with each of it, on each kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import CHECKOUT, node_python

pytestmark = pytest.mark.vm

PROBES = Path(__file__).with_name("probes")
CHART = CHECKOUT / "charts/thermocline"
GIVEN = yaml.safe_load((CHART / "values.yaml").read_text())["agent"]["capabilities"]
IDLE_BYTES = 8 << 20


@pytest.fixture(scope="module", params=["patched", "stock"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    """The kernel, and what probes/privileges.py prints there."""
    share = tmp_path_factory.mktemp("share")
    gcc = ["gcc", "-std=gnu11", "-O2", "-static", "-no-pie", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*gcc, "-o", share / "regions", PROBES / "regions.c"], check=True)
    done = node_python(
        PROBES / "privileges.py", ",".join(GIVEN),
        options=f"--kernel {request.param} --slow-ram 128M --memory 512M", share=share, timeout_seconds=900,
    )  # fmt: skip
    return request.param, done.json


def missing(case: Any) -> dict[str, str]:
    """Why a source or an engine is not there, by its kind and name."""
    told = case["status"]["capabilities"]
    return {f"{each['kind']} {each['name']}": each["reason"] for each in told if not each["available"]}


def moved(case: Any) -> bool:
    """Whether the idle service has sunk; AssertionError when it has in part."""
    assert case["before"] * 4096 >= IDLE_BYTES
    assert case["after"] in (0, case["before"]), case["run"]["err"]
    return bool(case["after"] == 0)


def test_what_is_given_is_enough(found: tuple[str, Any]) -> None:
    kernel, cases = found
    assert moved(cases["all"]), cases["all"]["run"]["err"]
    assert cases["all"]["run"]["status"] == 0
    assert cases["all"]["status"]["engine"] == {"patched": "PhysicalCall", "stock": "Damon"}[kernel]
    # Neither has anything to do with rights: nobody pushes, and this CPU does not sample.
    lacks = {
        "Source Feed": "NoSender",
        "Source PerfMem": "NoMemoryEvents",
        "Engine MovePages": "ProcessesHidden",
    }
    if kernel == "stock":
        lacks |= {"Source IdlePage": "NotInKernel", "Engine PhysicalCall": "SystemCallMissing"}
    assert missing(cases["all"]) == lacks


def test_without_a_capability_what_needs_it_is_missing_and_says_so(found: tuple[str, Any]) -> None:
    kernel, cases = found
    lost = {name for name in cases if name.removeprefix("without ") in GIVEN}
    assert lost == {"without SYS_ADMIN"}
    if kernel == "patched":
        assert missing(cases["without SYS_ADMIN"])["Engine PhysicalCall"] == "NotPermitted"
    # Of what there is here the call is all that it is for: agent.capabilities can leave it out where no kernel has it.
    assert cases["without SYS_ADMIN"]["status"]["engine"] == "Damon"
    assert moved(cases["without SYS_ADMIN"])


def test_without_a_mount_nothing_is_guessed(found: tuple[str, Any]) -> None:
    kernel, cases = found
    told = missing(cases["without mm"])
    assert (told["Source Damon"], told["Engine Damon"]) == ("Failed", "Failed")
    assert "Source IdlePage" in told
    # The call needs no file: only whose page it is, and heat from page flags.
    assert moved(cases["without mm"]) is (kernel == "patched")
    assert not moved(cases["without cgroups"]), "whose a page is, nobody knows: it stays"
    assert not moved(cases["without run"])
    assert cases["without run"]["run"]["status"] == 2
    assert "/run/thermocline cannot be used" in cases["without run"]["run"]["err"]
