"""What the agent's command says of itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from thermocline_agent.cli import main
from thermocline_api import __version__


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"thermocline-agent {__version__}\n"


@pytest.mark.parametrize("command", ["run", "heat", "explain", "probe", "validate", "record", "backtest"])
def test_every_command_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"examples:\n  thermocline-agent {command}" in capsys.readouterr().out


def test_without_a_command_it_prints_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("usage: thermocline-agent")


def test_what_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["frobnicate"])
    assert caught.value.code == 2
    assert "frobnicate" in capsys.readouterr().err


def test_it_runs_as_a_module() -> None:
    argv = [sys.executable, "-m", "thermocline_agent"]
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: thermocline-agent")
