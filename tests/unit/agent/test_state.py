"""The state file and the lock: what a reader may believe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from thermocline_agent import runtime, state
from thermocline_agent.clock import Woken, signals_taken
from thermocline_agent.report import OwnerReport, Reasoned, Report, RoundReport
from thermocline_api.conditions import Condition, Status
from thermocline_api.node import Counters, NodeStatus
from thermocline_api.report import Totals

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REPORT = Report(
    AT,
    10.0,
    NodeStatus(
        policy="p",
        counters=Counters(AT, 3, Totals(promoted_bytes=4096)),
        conditions=(Condition("Migrating", Status.FALSE, "DryRun", "the policy's mode is DryRun", AT),),
    ),
    RoundReport(3, (Reasoned("work", "HOT", 100),), 100, 0, {"MOVED": 100}, ("PromoteBudget",), 0.5, 0.75),
    (
        OwnerReport(
            "work", "rule 'work' is the first whose cgroups match, by 'work'", "work", "Tier",
            fast_pages=(1, 0, 0, 0, 0, 0, 0, 2), slow_pages=(4, 0, 0, 8, 0, 0, 0, 16), promoted_pages=100,
            failed={"BUSY": 2}, last_moved_at=AT, last_reasons={"HOT": 100},
        ),
    ),
    ("something failed",),
)  # fmt: skip


def test_a_report_comes_back_as_it_was(tmp_path: Path) -> None:
    state.StateFile(tmp_path).publish(REPORT)
    found = state.read(tmp_path)
    assert found.report == REPORT
    assert found.age_seconds < 60
    assert not found.running
    assert found.sentence.startswith("no agent runs now")


def test_age_is_of_a_clock_that_nobody_sets(tmp_path: Path) -> None:
    data = state.as_json(REPORT, time.clock_gettime(time.CLOCK_BOOTTIME) - 100)
    runtime.state_file(tmp_path).write_text(json.dumps(data))
    with runtime.locked(tmp_path):
        found = state.read(tmp_path)
        assert found.running
        assert 100 <= found.age_seconds < 160
        assert "more than three intervals" in found.sentence
        with pytest.raises(runtime.AlreadyRunning, match=f"process {os.getpid()}"), runtime.locked(tmp_path):
            pass
    assert not state.read(tmp_path).running
    with runtime.locked(tmp_path):
        pass


def test_without_a_state_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(state.NoState, match="start one with"):
        state.read(tmp_path)
    with runtime.locked(tmp_path), pytest.raises(state.NoState, match="first round"):
        state.read(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 2}', '{"version": 1, "round": 7}'])
def test_what_is_no_state_is_refused(tmp_path: Path, text: str) -> None:
    runtime.state_file(tmp_path).write_text(text)
    with pytest.raises(state.NoState, match="another version"):
        state.read(tmp_path)


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(runtime.Unwritable, match="as root"), runtime.locked(tmp_path / "file/below"):
        pass


def test_a_state_that_cannot_be_written_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = state.StateFile(tmp_path / "missing")
    sink.publish(REPORT)
    sink.publish(REPORT)
    assert len(caplog.records) == 1


def test_signals_end_waits() -> None:
    with signals_taken() as clock:
        assert clock.wait(0.01) is Woken.ELAPSED
        os.kill(os.getpid(), signal.SIGHUP)
        assert clock.wait(60) is Woken.RELOAD
        assert not clock.ending()
        os.kill(os.getpid(), signal.SIGTERM)
        assert clock.wait(60) is Woken.END
        assert clock.ending()
        assert clock.wait(60) is Woken.END
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_that_another_thread_is_handed_ends_a_wait_too() -> None:
    program = (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(30,), daemon=True).start()\n"
        "from thermocline_agent.clock import signals_taken\n"
        "with signals_taken() as clock:\n"
        "    print('ready', flush=True)\n"
        "    print(clock.wait(30).value)\n"
    )
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "end\n"
    assert process.returncode == 0


def test_an_agent_that_leaves_nothing_removes_its_files_and_a_killed_ones(tmp_path: Path) -> None:
    with runtime.locked(tmp_path):
        state.StateFile(tmp_path).publish(REPORT)
    assert {path.name for path in tmp_path.iterdir()} == {"agent.lock", "state.json"}
    with runtime.locked(tmp_path, kept=False):
        assert state.read(tmp_path).running
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_file_was_removed_meanwhile_is_not_taken_for_the_machines(tmp_path: Path) -> None:
    """An agent that opened the file of one that then ended, removing it, would share the machine with the next."""
    opened = os.open
    ended = False

    def late(path: Path, flags: int, mode: int = 0o777) -> int:
        nonlocal ended
        file = opened(path, flags, mode)
        if not ended:
            ended = True
            path.unlink()
        return file

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", late)
        with runtime.locked(tmp_path):
            assert ended
            assert (tmp_path / "agent.lock").read_text() == f"{os.getpid()}\n"
            with pytest.raises(runtime.AlreadyRunning), runtime.locked(tmp_path):
                pass
