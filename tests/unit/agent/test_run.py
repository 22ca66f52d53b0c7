"""`run`: what ends it before it begins."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.unit.agent.test_policy_file import GOOD
from thermocline_agent import runtime
from thermocline_agent.cli import main


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    (tmp_path / "policy.yaml").write_text(GOOD)
    return [
        "run",
        "--once",
        "--policy",
        str(tmp_path / "policy.yaml"),
        "--runtime-dir",
        str(tmp_path / "run"),
    ]


def test_an_invalid_policy_is_said_in_the_api_servers_words(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policy.yaml").write_text(GOOD.replace("Enforce", "Everything"))
    assert main(words) == 2
    assert 'spec.mode: Unsupported value: "Everything"' in capsys.readouterr().err


def test_a_second_agent_names_the_first(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with runtime.locked(tmp_path / "run"):
        assert main(words) == 2
    assert "an agent runs on this machine already" in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main([*words, "--metrics", f"127.0.0.1:{taken.getsockname()[1]}"]) == 2
    assert "cannot be listened on" in capsys.readouterr().err
