"""The environment's key and its scripts; making one for real is what every run of the tests does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import environment
from tests.lab.cache import Cache
from tests.lab.errors import BuildFailed


def test_every_extra_is_asked_for() -> None:
    wanted = environment.requirements()
    assert wanted == sorted(set(wanted))
    assert {"kopf", "numpy", "pytest"} <= set(wanted)


def test_this_checkout_comes_first_on_the_module_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    variables = environment.variables(Path("/env"))
    assert variables["PYTHONPATH"].split(":") == [
        str(environment.CHECKOUT / root) for root in (".", *environment.ROOTS)
    ]
    assert variables["PATH"].startswith("/env/bin:")


def test_what_cannot_be_installed_leaves_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "requirements", lambda: ["no such requirement!"])
    cache = Cache(tmp_path)
    with pytest.raises(BuildFailed, match="check the network"):
        environment.environment(cache)
    assert cache.entries() == []


def test_an_environment_is_made_once_and_its_scripts_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "requirements", lambda: ["--dry-run", "--no-index", "pip"])
    cache = Cache(tmp_path)
    made = environment.environment(cache)
    assert environment.environment(cache) == made
    told = subprocess.run([made / "bin/pip", "--version"], capture_output=True, text=True, check=True).stdout
    assert str(made) in told


def test_what_the_machine_refuses_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cases: tuple[tuple[dict[str, str], str], ...] = (
        (
            {"THERMOCLINE_CACHE": str(tmp_path / "file")},
            f"environment: {tmp_path}/file/parts: Not a directory\n",
        ),
        (
            {},
            "environment: there is no command 'no-such-command', neither in the environment nor on the PATH\n",
        ),
    )
    for variables, sentence in cases:
        argv = [sys.executable, "-m", "tests.environment", "run", "no-such-command"]
        done = subprocess.run(
            argv,
            cwd=environment.CHECKOUT,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (2, sentence)


def test_a_python_that_is_too_old_is_told_so() -> None:
    program = "import sys; sys.version_info = (3, 9, 2); import tests.lab"
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=environment.CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Python 3.11 or newer is needed, and this is 3.9: ")
    assert done.stderr.count("\n") == 1


def test_a_wrong_word_is_a_usage_error() -> None:
    for words in (["walk"], ["run"]):
        argv = [sys.executable, "-m", "tests.environment", *words]
        done = subprocess.run(argv, cwd=environment.CHECKOUT, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("usage: ")
