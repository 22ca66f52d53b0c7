"""A policy in a file that changes, breaks and comes back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from thermocline_agent.assignment import Assignment
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


class Wound:
    """Clocks that a test winds; each look at them is two seconds after the one before."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.step = 2.0

    def __call__(self) -> float:
        self.seconds += self.step
        return self.seconds


def opened(file: Path) -> PolicyFile:
    """Read, and looked at every two seconds. By the clock on the wall all is from the future."""
    return PolicyFile.open(file, monotonic=Wound(), wall=lambda: 0.0)


def settled(policy: PolicyFile) -> Assignment:
    """What is told when the file has been looked at twice."""
    policy.current()
    return policy.current()


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
    policy = opened(file)
    file.write_text(GOOD.replace("mode: Enforce", "mode: Enforce, paused: true"))
    assert settled(policy).paused


def test_half_a_file_is_not_taken(file: Path) -> None:
    clock = Wound()
    policy = PolicyFile.open(file, monotonic=clock, wall=lambda: file.stat().st_mtime + 0.5)
    clock.step = 0.0
    whole = GOOD.replace("rules: [{name", "rules: [{name: first, cgroups: [a]}, {name")
    rules = whole.replace("spec: {mode: Enforce, rules: [", "spec:\n  mode: Enforce\n  rules:\n  - ")
    rules = rules.replace("}, {name: all", "}\n  - {name: all").replace("}]}", "}")
    cut = rules[: rules.index("  - {name: all")]
    for text in (cut, rules):
        file.write_text(text)
        clock.seconds += 0.6
        found = policy.current()
        assert found.settings is not None
        assert [rule.name for rule in found.settings.rules] == ["all"]
    clock.seconds += 1.1
    found = policy.current()
    assert found.settings is not None
    assert [rule.name for rule in found.settings.rules] == ["first", "all"]


def test_one_that_was_written_a_second_ago_is_taken_at_the_first_look(file: Path) -> None:
    policy = PolicyFile.open(file, monotonic=lambda: 5.0, wall=lambda: file.stat().st_mtime + 1.5)
    file.write_text(GOOD.replace("Enforce", "Observe"))
    settings = policy.current().settings
    assert settings is not None
    assert settings.mode is Mode.OBSERVE


@pytest.mark.parametrize(
    "text", ["", GOOD[:90], GOOD.replace("Enforce", "Everything"), "\x00", "a: [", GOOD * 2]
)
def test_an_invalid_one_is_not_taken_and_said(file: Path, text: str) -> None:
    policy = opened(file)
    before = policy.current()
    file.write_text(text)
    found = settled(policy)
    assert (found.settings, found.policy) == (before.settings, "lone")
    assert found.problem is not None
    assert found.problem.startswith("the policy from before stays in force")
    assert policy.current().problem == found.problem
    file.write_text(GOOD)
    os.utime(file, (1, 1))
    assert settled(policy).problem is None


def test_one_that_is_gone_stays_in_force(file: Path) -> None:
    policy = opened(file)
    file.unlink()
    found = settled(policy)
    assert found.settings is not None
    assert found.problem is not None


def test_reload_reads_what_looks_unchanged(file: Path) -> None:
    policy = opened(file)
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
        opened(file)
