"""A policy in a file that changes, breaks and comes back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from thermocline_agent.manifest import Malformed, Unreadable
from thermocline_agent.policy_file import PolicyFile
from thermocline_api.problem import InvalidManifest
from thermocline_api.settings import Mode

GOOD = """\
apiVersion: thermocline.dev/v1alpha1
kind: MemoryTierPolicy
metadata: {name: lone}
spec: {mode: Enforce, rules: [{name: all, cgroups: ["**"]}]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(GOOD)
    return path


def test_it_is_read_and_has_no_pods(file: Path) -> None:
    policy = PolicyFile.open(file)
    found = policy.current()
    assert found.settings is not None
    assert (found.policy, found.settings.mode, found.paused, found.problem) == (
        "lone",
        Mode.ENFORCE,
        False,
        None,
    )
    assert policy.pods() is None


def test_a_changed_file_is_read_again(file: Path) -> None:
    policy = PolicyFile.open(file)
    file.write_text(GOOD.replace("mode: Enforce", "mode: Enforce, paused: true"))
    assert policy.current().paused


@pytest.mark.parametrize(
    "text", ["", GOOD[:90], GOOD.replace("Enforce", "Everything"), "\x00", "a: [", GOOD * 2]
)
def test_an_invalid_one_is_not_taken_and_said(file: Path, text: str) -> None:
    policy = PolicyFile.open(file)
    before = policy.current()
    file.write_text(text)
    found = policy.current()
    assert (found.settings, found.policy) == (before.settings, "lone")
    assert found.problem is not None
    assert found.problem.startswith("the policy from before stays in force")
    assert policy.current().problem == found.problem
    file.write_text(GOOD)
    os.utime(file, (1, 1))
    assert policy.current().problem is None


def test_one_that_is_gone_stays_in_force(file: Path) -> None:
    policy = PolicyFile.open(file)
    file.unlink()
    found = policy.current()
    assert found.settings is not None
    assert found.problem is not None


def test_reload_reads_what_looks_unchanged(file: Path) -> None:
    policy = PolicyFile.open(file)
    times = file.stat().st_mtime_ns
    file.write_text(GOOD.replace("Enforce", "Observe"))
    os.utime(file, ns=(times, times))
    policy.current()
    policy.reload()
    settings = policy.current().settings
    assert settings is not None
    assert settings.mode is Mode.OBSERVE


@pytest.mark.parametrize(
    ("text", "error"),
    [("a: [", Malformed), (GOOD.replace("Enforce", "Everything"), InvalidManifest), (None, Unreadable)],
)
def test_the_first_one_must_be_valid(file: Path, text: str | None, error: type[Exception]) -> None:
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with pytest.raises(error):
        PolicyFile.open(file)
