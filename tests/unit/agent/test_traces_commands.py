"""`backtest` and `record` as they are typed."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.environment import CHECKOUT
from tests.traces import FOLDER
from tests.unit.agent.benches import SETTINGS, START, Bench, made
from tests.unit.agent.rounds import Policy, plant, write
from tests.unit.agent.test_policy_file import GOOD
from thermocline_agent import recorder, runtime
from thermocline_agent.cli import main
from thermocline_agent.commands.record import NoPolicy, Paced, Recording, drafted
from thermocline_agent.loop import until
from thermocline_agent.probe import Capability
from thermocline_agent.recorder import Recorder
from thermocline_api.settings import Mode, Settings

PLAIN, SHARES = str(FOLDER / "plain.yaml"), str(FOLDER / "shares.yaml")
TENANTS, CHURN = str(FOLDER / "tenants.npz"), str(FOLDER / "churn.npz")


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A command has the log go to its standard error, which pytest closes."""
    before = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = before


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    host = plant(tmp_path)
    write(host, START)
    return made(host, monkeypatch)


def test_two_policies_side_by_side(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "compared.svg"
    words = ["backtest", "--policy", PLAIN, "--policy", SHARES, TENANTS, CHURN, "--svg", str(picture)]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{TENANTS}: 20 rounds, one every 10 s, seen by access bits; owners: 4"
    assert lines[1].split() == [
        "POLICY",
        "FAST",
        "HITS",
        "2ND",
        "HALF",
        "PROMOTED",
        "DEMOTED",
        "NO",
        "ROOM",
        "PING-PONG",
    ]
    assert [line.split()[0] for line in lines[2:5]] == ["(as", "plain", "shares"]
    (batch,) = (line.split() for line in lines if line.startswith("batch "))
    assert batch[1] == "1"
    assert any(
        line.startswith("shares: no rule governs owners 1, 2, 3: 'named' may be the one") for line in lines
    )
    drawn = ET.parse(picture).getroot()  # noqa: S314 - it is ours
    texts = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {TENANTS, CHURN} <= set(texts)
    assert sum(str(text).startswith("as recorded: ") for text in texts) == 2
    # Each of two policies and what was recorded, on each of two traces.
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}polyline"))) == 6


def shown() -> list[tuple[str, str]]:
    """The commands of docs/traces.md with what they print."""
    page = (CHECKOUT / "docs/traces.md").read_text()
    return re.findall(r"^```\n\$ thermocline-agent (backtest .*)\n((?:.|\n)*?)^```$", page, re.MULTILINE)


def test_the_manual_shows_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(FOLDER, tmp_path / "traces")
    monkeypatch.chdir(tmp_path / "traces")
    assert len(shown()) == 3
    for command, printed in shown():
        assert main(command.split()) == 0
        assert capsys.readouterr().out == printed


def test_json_says_what_the_table_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", "--policy", SHARES, TENANTS]) == 0
    table = capsys.readouterr().out
    assert main(["backtest", "--policy", SHARES, TENANTS, "--json"]) == 0
    (trace,) = json.loads(capsys.readouterr().out)["traces"]
    (policy,) = trace["policies"]
    assert f"{100 * policy['fastHit']:.1f} %" in table
    assert f"{policy['promotedBytes'] / (1 << 20):.1f} MiB" in table
    assert len(policy["rounds"]) == trace["rounds"] == 20
    assert sum(each["promotedBytes"] for each in policy["rounds"]) == policy["promotedBytes"]
    assert sum(each["promotedBytes"] for each in policy["rules"]) == policy["promotedBytes"]
    rules = {each["rule"]: each for each in policy["rules"]}
    assert set(rules) == {"tenants", "batch", "named", "others", None}
    assert rules["tenants"]["owners"] == 3
    # The policy's shares hold.
    assert rules["tenants"]["fastBytes"] >= 0.2 * rules["tenants"]["residentBytes"]
    assert rules["batch"]["fastBytes"] <= 0.15 * rules["batch"]["residentBytes"]


def test_it_says_the_same_in_another_process_offline_and_without_privileges(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["backtest", "--policy", PLAIN, "--policy", SHARES, TENANTS, CHURN, "--json"]
    assert main(words) == 0
    here = capsys.readouterr().out
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "7"}
    # In a network namespace where nothing is up, and without any capability.
    apart = ["unshare", "--net", "setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    if os.geteuid() != 0:
        apart = ["unshare", "--user", "--net"]
    argv = [
        sys.executable,
        "-c",
        "import sys; from thermocline_agent.cli import main; sys.exit(main())",
        *words,
    ]
    done = subprocess.run([*apart, *argv], capture_output=True, text=True, check=False, env=environment)
    assert done.stderr == ""
    assert done.stdout == here


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--policy", PLAIN, "nowhere.npz"], "nowhere.npz: cannot be read: No such file"),
        (["--policy", PLAIN, PLAIN], f"{PLAIN}: is no trace, or one that was cut short"),
        (["--policy", TENANTS, TENANTS], f"{TENANTS}: is no text in UTF-8"),
        (["--policy", "nowhere.yaml", TENANTS], "nowhere.yaml: cannot be read"),
        (["--policy", PLAIN] * 5 + [TENANTS], "5 policies are too many to compare: name up to 4"),
        (["--policy", PLAIN] * 3 + [TENANTS], f"{PLAIN} is named twice"),
        (["--policy", PLAIN, TENANTS, "--owner-rule", "9=pods"], "no trace has an owner 9; they have up to 4"),
        (["--policy", PLAIN, TENANTS, "--owner-rule", "1=x"], "no policy has such a rule: services, pods"),
        (["--policy", PLAIN, TENANTS, "--svg", "/nowhere/x.svg"], "/nowhere/x.svg: cannot be written"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_in_a_line(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", *words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert sentence in told.err
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "1", "=x", "0=x", "a=x", "-1=x", "1=", "²=x"])
def test_an_owner_and_its_rule_are_written_as_shown(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["backtest", "--policy", PLAIN, f"--owner-rule={text}", TENANTS])
    assert caught.value.code == 2
    assert "write an owner's number and a rule's name" in capsys.readouterr().err


def test_policies_of_one_name_are_told_apart(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(Path(PLAIN).read_text())
    assert main(["backtest", "--policy", PLAIN, "--policy", str(other), TENANTS, "--json"]) == 0
    (trace,) = json.loads(capsys.readouterr().out)["traces"]
    assert [each["policy"] for each in trace["policies"]] == ["plain", f"plain ({other})"]


def test_record_says_what_it_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy, output, folder = tmp_path / "policy.yaml", tmp_path / "x.npz", str(tmp_path / "run")
    words = ["record", "--policy", str(policy), "-o", str(output), "--runtime-dir", folder]
    policy.write_text(GOOD.replace("Enforce", "Everything"))
    assert main(words) == 2
    assert 'spec.mode: Unsupported value: "Everything"' in capsys.readouterr().err
    policy.write_text(GOOD)
    with runtime.locked(tmp_path / "run"):
        assert main(words) == 2
    assert "an agent runs on this machine already" in capsys.readouterr().err
    assert main([*words[:3], "-o", "/nowhere/x.npz", "--runtime-dir", folder]) == 2
    assert "/nowhere/x.npz: cannot be written: No such file or directory" in capsys.readouterr().err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["policy.yaml", "run"]
    with pytest.raises(SystemExit):
        main([*words, "--rounds", "0"])
    assert "write a number of rounds, such as 60" in capsys.readouterr().err


def test_rounds_are_recorded_until_there_are_enough(bench: Bench) -> None:
    recording = Recording(Recorder(10.0, names=False), 3)
    bench.rounds.mode, bench.rounds.witness = Mode.OBSERVE, recording.witness
    until(bench.rounds, (bench,), bench.time, lambda: None, recording.enough)
    assert len(recording.recorder) == 3
    assert recording.ended is None
    assert len(bench.told) == 4
    assert bench.engine.asked == []


def test_it_gives_up_where_nothing_is_to_be_had(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.rounds.parts.capabilities = (
        Capability("Source", "Referenced", False, "NotInKernel", "this kernel has none"),
    )
    recording = Recording(Recorder(10.0, names=False), 3)
    bench.rounds.mode, bench.rounds.witness = Mode.OBSERVE, recording.witness
    until(bench.rounds, (bench,), bench.time, lambda: None, recording.enough)
    assert recording.ended == "nothing can be recorded here"
    assert len(bench.told) == 1
    assert "this kernel has none" in capsys.readouterr().err


def test_it_ends_with_what_it_has_when_its_source_fails_for_good(bench: Bench) -> None:
    recording = Recording(Recorder(10.0, names=False), 99)
    bench.rounds.mode, bench.rounds.witness = Mode.OBSERVE, recording.witness

    class Failing:
        def publish(self, _: object) -> None:
            if len(recording.recorder) == 2:
                (bench.host.proc / "kpageflags").unlink(missing_ok=True)

        def close(self) -> None:
            pass

    until(bench.rounds, (Failing(),), bench.time, lambda: None, recording.enough)
    assert recording.ended == "nothing was seen in 10 rounds"
    assert len(recording.recorder) == 2


def test_one_that_is_told_to_end_has_what_was_recorded_by_then(bench: Bench) -> None:
    recording = Recording(Recorder(10.0, names=False), 99)
    bench.rounds.mode, bench.rounds.witness = Mode.OBSERVE, recording.witness
    bench.time.ends_at = bench.time.seconds + 25
    until(bench.rounds, (), bench.time, lambda: None, recording.enough)
    assert len(recording.recorder) == 2
    assert recording.ended is None


def test_a_trace_that_is_full_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MOST_RUNS", 12)
    recording = Recording(Recorder(10.0, names=False), 99)
    bench.rounds.mode, bench.rounds.witness = Mode.OBSERVE, recording.witness
    until(bench.rounds, (bench,), bench.time, lambda: None, recording.enough)
    # In the first round three runs of pages appear; in each there are two that are hot, and all is covered.
    assert len(recording.recorder) == 3
    assert recording.ended == "3 rounds are all that a trace can have of so much memory in use"


def test_a_draft_becomes_the_file_only_when_it_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "x.npz"
    with drafted(target) as draft:
        draft.file.write(b"1")
    assert list(tmp_path.iterdir()) == []
    with drafted(target) as draft:
        draft.file.write(b"12")
        draft.keep()
        assert draft.kept_bytes == 2
    assert [each.name for each in tmp_path.iterdir()] == ["x.npz"]
    assert target.read_bytes() == b"12"


def test_the_interval_of_the_command_line_goes_before_the_policys() -> None:
    policy = Policy(SETTINGS)
    assert Paced(policy, None).current().settings == SETTINGS
    found = Paced(policy, 2.5).current().settings
    assert found is not None
    assert found.hotness.interval_seconds == 2.5
    assert found.rules == SETTINGS.rules
    assert Paced(NoPolicy(), None).current().settings == Settings()
    assert NoPolicy().pods() is None
    assert Paced(Policy(None), None).current().settings == Settings()
