"""What the chart gives the agent's container, and what is lost with each of it, on each kernel."""

from __future__ import annotations

import json
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
    told = json.loads(case["probe"]["out"])
    return {
        f"{kind} {each['name']}": each["reason"]
        for kind in ("sources", "engines")
        for each in told[kind]
        if not each["available"]
    }
