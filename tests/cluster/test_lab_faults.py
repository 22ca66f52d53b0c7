"""A cluster whose lab is killed, at any moment: what it left is found and removed, and nothing else is touched."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.running import OWN
from tests.commands import CHECKOUT, LAB, lab
from tests.lab.cache import default_root, remove_tree
from tests.lab.cluster import member, network
from tests.lab.cluster.boot import Boot
from tests.lab.cluster.plan import Plan, members
from tests.lab.errors import LabError
from tests.lab.node import BOOT_SECONDS, FIRST_PROCESS

pytestmark = pytest.mark.cluster

NAME = f"faults-{OWN}"
HOME = default_root() / "clusters" / NAME
PLAN = Plan(NAME, HOME, ())
NAMESPACE = network.NAMESPACES / PLAN.namespace
# Something that `up` has done by the time that it is killed, from the first to the last.
MILESTONES: dict[str, Callable[[], bool]] = {
    "its folder": HOME.exists,
    "its namespace": NAMESPACE.exists,
    "a node": (HOME / "patched" / "pid").exists,
    "an API server": (HOME / "logs" / "kube-apiserver.log").exists,
    "the way to it": (HOME / "kubeconfig").exists,
}

# Makes the namespace of a cluster, and a process in it that names the cluster's folder.
ONE_PROCESS = """
import sys
from pathlib import Path
from tests.lab.cluster import network
from tests.lab.cluster.plan import Plan
plan = Plan(sys.argv[1], Path(sys.argv[2]), ())
network.create(plan)
network.start(plan, ["sh", "-c", "sleep 1000; true", plan.home], plan.home / "log")
"""


@contextmanager
def starting() -> Iterator[subprocess.Popen[bytes]]:
    """A lab that is starting a cluster."""
    words = [*LAB, "cluster", "up", "--nodes", "patched", "--name", NAME]
    with subprocess.Popen(words, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def somebody_elses() -> Iterator[None]:
    """A namespace, and a process in it, that no lab made."""
    name = f"thermocline-not-{OWN}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    stranger = subprocess.Popen(["ip", "netns", "exec", name, "sleep", "1000"])
    try:
        yield
        assert stranger.poll() is None
        assert (network.NAMESPACES / name).exists()
    finally:
        stranger.kill()
        stranger.wait()
        subprocess.run(["ip", "netns", "del", name], check=True)


def left() -> list[str]:
    """What there is of the cluster: processes that name its folder, its namespace, mounts, its folder."""
    found = [str(path) for path in (HOME, NAMESPACE) if path.exists()]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if PLAN.namespace in line]
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue  # it has just ended
        if str(HOME).encode() in words:
            found.append(words.replace(b"\0", b" ").decode(errors="replace"))
    return found


def emulator() -> int:
    """The PID of the only node's machine."""
    return int((HOME / "patched" / "pid").read_text())


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def _nothing_before_and_after() -> Iterator[None]:
    lab("cluster", "down", "--name", NAME)
    assert left() == []
    with somebody_elses():
        yield
    assert left() == []


@pytest.mark.parametrize("milestone", MILESTONES)
def test_down_removes_what_a_killed_up_left(milestone: str) -> None:
    with starting() as process:
        wait_for(MILESTONES[milestone])
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert left()
    assert lab("cluster", "down", "--name", NAME).status == 0


def test_an_interrupted_up_leaves_no_process() -> None:
    with starting() as process:
        wait_for((HOME / "patched" / "pid").exists)
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=30)
    assert process.returncode == 130
    assert complaint.endswith(b"lab: interrupted\n")
    # Logs and consoles stay for whoever looks into it.
    assert left() == [str(HOME)]
    assert lab("cluster", "down", "--name", NAME).status == 0


def start_one_process() -> None:
    """A cluster that is no more than its folder, its namespace, and a process in it that is no child of ours."""
    HOME.mkdir(parents=True)
    subprocess.run([sys.executable, "-c", ONE_PROCESS, NAME, HOME], cwd=CHECKOUT, check=True)
    assert any(each.startswith("sh -c sleep") for each in left())


def test_a_cluster_whose_folder_is_gone_is_told_and_can_be_ended() -> None:
    start_one_process()
    remove_tree(HOME)
    for words in (["kubectl", "get", "nodes"], ["cluster", "status"], ["cluster", "restart", "patched"]):
        ended = lab(*words, env={"THERMOCLINE_LAB": NAME})
        assert ended.status == 2
        assert ended.err == (
            f"lab: cluster '{NAME}' runs, but its folder {HOME} is gone: "
            f"end it by `python3 -m tests.lab cluster down --name {NAME}`\n"
        )
    ended = lab("cluster", "down", "--name", NAME)
    assert (ended.status, ended.err) == (0, "")


def test_a_down_that_is_interrupted_is_finished_by_the_next() -> None:
    moments = random.Random(5)  # noqa: S311  no secret
    for _ in range(5):
        start_one_process()
        words = [*LAB, "cluster", "down", "--name", NAME]
        with subprocess.Popen(words, cwd=CHECKOUT, stderr=subprocess.DEVNULL) as process:
            time.sleep(moments.uniform(0, 1))
            process.send_signal(signal.SIGINT)
        # Python itself ends by the signal when it has not come to the lab's own lines.
        assert process.returncode in {0, 130, -signal.SIGINT}
        assert lab("cluster", "down", "--name", NAME).status == 0
        assert left() == []


def test_a_new_up_replaces_what_a_killed_one_left() -> None:
    with starting() as process:
        wait_for((HOME / "patched" / "pid").exists)
        process.send_signal(signal.SIGKILL)
    assert len(left()) > 2
    up = lab("cluster", "up", "--nodes", "patched", "--name", NAME)
    assert up.status == 0, up.err
    assert f"THERMOCLINE_LAB={NAME} python3 -m tests.lab kubectl get nodes" in up.text
    assert (
        lab("kubectl", "get", "nodes", "-o", "name", env={"THERMOCLINE_LAB": NAME}).text == "node/patched\n"
    )
    assert lab("cluster", "down", "--name", NAME).status == 0


def test_a_node_whose_machine_ends_is_told_at_once() -> None:
    with starting() as process:
        wait_for((HOME / "kubeconfig").exists)
        os.kill(emulator(), signal.SIGKILL)
        _, complaint = process.communicate(timeout=30)
    assert process.returncode == 2
    assert b"lab: the machine of node patched ended:" in complaint
    assert lab("cluster", "down", "--name", NAME).status == 0


def test_a_machine_that_the_emulator_lost_is_switched_on_again() -> None:
    with starting() as process:
        wait_for((HOME / "kubeconfig").exists)
        with (HOME / "patched" / "emulator.log").open("wb") as log:
            log.write(b"qemu-system-x86_64: iotlb_to_section: Assertion `index < size' failed.\n")
        os.kill(emulator(), signal.SIGKILL)
        _, complaint = process.communicate(timeout=300)
    assert process.returncode == 0, complaint.decode()
    assert b"lab: node patched: its machine ended; switched on again\n" in complaint
    assert lab("cluster", "down", "--name", NAME).status == 0


def test_a_machine_that_hangs_before_its_first_process_is_switched_on_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The hang is no fault that can be had for the asking: here the machine is a file that says nothing."""
    (node,) = members("patched")
    home = tmp_path / "patched"
    home.mkdir()
    done: list[str] = []
    monkeypatch.setattr(member, "is_running", lambda _plan, _member: True)
    monkeypatch.setattr(member, "kill", lambda _plan, _member: done.append("off"))
    monkeypatch.setattr(member, "start", lambda _plan, _member: done.append("on"))
    booting = Boot(Plan("hangs", tmp_path, (node,)), node)
    (home / "console").write_text("[    0.028000] tsc: Unable to calibrate against PIT\n")
    booting.look(booting.begun + BOOT_SECONDS - 1)
    assert done == []
    # It has said something since: it is slow.
    (home / "console").write_text("[    0.028000] tsc: Unable to calibrate against PIT\n[    1.2] pci_bus\n")
    booting.look(booting.begun + BOOT_SECONDS + 1)
    assert done == []
    booting.look(booting.begun + BOOT_SECONDS + 1)
    assert done == ["off", "on"]
    (home / "console").write_bytes(FIRST_PROCESS)
    booting.look(booting.begun + BOOT_SECONDS + 1)
    (home / "console").write_bytes(FIRST_PROCESS + b"\nKernel panic - not syncing: Attempted to kill init!\n")
    booting.look(booting.begun + 10 * BOOT_SECONDS)
    assert done == ["off", "on"]
    (home / "console").write_text("Kernel panic - not syncing: no working init found\n")
    complaining = Boot(Plan("hangs", tmp_path, (node,)), node)
    complaining.look(complaining.begun)
    with pytest.raises(LabError, match=r"node patched hung for .* before its first process:\nKernel panic"):
        complaining.look(complaining.begun + BOOT_SECONDS + 1)
    assert done == ["off", "on"]


def test_two_labs_at_once_do_not_start_one_cluster() -> None:
    with starting():
        wait_for(HOME.exists)
        second = lab("cluster", "up", "--nodes", "patched", "--name", NAME)
        assert second.status == 2
        assert second.err == (
            f"lab: another lab is starting or ending cluster '{NAME}': wait for it, or give another --name\n"
        )
    assert lab("cluster", "down", "--name", NAME).status == 0


def test_a_cluster_that_is_not_there_is_told() -> None:
    for words in (
        ["kubectl", "get", "nodes"],
        ["helm", "list"],
        ["console", "patched"],
        ["cluster", "status"],
    ):
        ended = lab(*words, env={"THERMOCLINE_LAB": NAME})
        assert ended.status == 2
        assert ended.err == (
            f"lab: there is no cluster '{NAME}': start it by `python3 -m tests.lab cluster up --name {NAME}`\n"
        )
    assert lab("cluster", "down", "--name", NAME).status == 0
