"""Boot one node, run one command in it, and hand back what the command printed and how it ended.

Standard output, standard error and the report travel over three virtio ports, whose other ends are socket
pairs held here; the serial console carries the kernel's own words and goes to a file.
"""

from __future__ import annotations

import io
import math
import os
import re
import shlex
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from tests.lab import machine as machines
from tests.lab.build.part import LAB, Workshop
from tests.lab.cache import Cache, locked_folder
from tests.lab.errors import STATUS_NODE_FAILED, STATUS_NODE_TIMEOUT, NodeFailed
from tests.lab.machine import Disk, Files, Machine, Slow
from tests.lab.process import LIFELINE, confined, tail

PORTS = ("out", "err", "report")
GUEST_INIT = LAB / "guest" / "init"
# On a busy machine QEMU aborts now and then while a guest of two CPUs sets up its PCI devices:
# `iotlb_to_section: Assertion … failed`. The node's command has not begun by then: it is started again.
EMULATOR_ABORTED = b"iotlb_to_section: Assertion"
# On a busy host, too, the CPUs of a guest now and then wait for each other for ever before its first process. An
# idle host takes 3 s to that process, one with three such machines to each CPU 20 s, and Debian's kernel at a load of
# 25 more than 75 s: so it is a kernel that says nothing for so long, and not one that has not come so far, that hangs.
BOOT_SECONDS = 75
# guest/init says it to the kernel's log as soon as there is one.
FIRST_PROCESS = b"lab: the first process runs"
# A kernel that said one of these did not wait: that is a finding.
COMPLAINTS = (b"Kernel panic", b"BUG:", b"Oops", b"soft lockup", b"self-detected stall")
STARTS = 4
# Consoles of nodes that failed, the newest.
KEPT_CONSOLES = 20


@dataclass(frozen=True, slots=True)
class Report:
    """How a node's command ended: its exit status as a shell gives it, and the processes killed for memory."""

    status: int
    oom_kills: int

    @classmethod
    def parse(cls, line: str) -> Report | None:
        """Read the line that guest/init sends when the command has ended; None when it never came whole."""
        match = re.fullmatch(r"status=(\d+) oom_kills=(\d+)\n", line)
        return cls(int(match[1]), int(match[2])) if match else None


def run(
    workshop: Workshop,
    machine: Machine,
    command: Sequence[str],
    *,
    out: BinaryIO,
    err: BinaryIO,
    timeout_seconds: float,
) -> int:
    """Run `command` in a new node; what it prints goes to `out` and `err` as it comes. Returns its status.

    The time is that of all starts of a machine that hangs before its first process. Raises OSError when the output
    cannot be written, NodeFailed, with the console, when the node ends or the time is up before the command does,
    or LabError. When the kernel had to kill processes for want of memory,
    the console's end goes to `err` as well.
    """
    # Building them takes as long as it does.
    built = workshop.get(*parts(machine))
    deadline = time.monotonic() + timeout_seconds
    for _ in range(STARTS - 1):
        with suppress(_Lost):
            return _run(workshop.cache, built, machine, command, out, err, timeout_seconds, deadline)
    return _run(workshop.cache, built, machine, command, out, err, timeout_seconds, deadline)


class _Lost(NodeFailed):
    """The emulator gave up, or its guest's CPUs did, before the node's command had begun."""


def hung_in_boot(console: Path) -> bool:
    """Whether a kernel that had its time to boot has neither started a process nor complained."""
    said = console.read_bytes() if console.exists() else b""
    return FIRST_PROCESS not in said and not any(words in said for words in COMPLAINTS)


def _run(
    cache: Cache,
    built: Sequence[Path],
    machine: Machine,
    command: Sequence[str],
    out: BinaryIO,
    err: BinaryIO,
    timeout_seconds: float,
    deadline: float,
) -> int:
    kernel, rootfs, project, emulator = built
    with locked_folder(cache, "node") as folder:
        job = folder / "job.tar"
        write_job(job, job_files(machine, command))
        disks = [Disk(rootfs / "rootfs.ext4", "snapshot"), Disk(job), Disk(project / "project.ext4")]
        if machine.kernel == "stock":
            disks.append(Disk(kernel / "modules.ext4"))
        console = folder / "console"
        machine = replace(machine, disks=tuple(disks))
        with _started(machine, Files(emulator, kernel, console)) as ports:
            lost: list[OSError] = []
            copiers = [
                _copier(ports[name], sink, ports["report"], lost)
                for name, sink in (("out", out), ("err", err))
            ]
            try:
                if _hangs(machine, ports["report"], console, deadline):
                    sentence = f"the node hung for {BOOT_SECONDS} s before its first process"
                    raise _failed(sentence, STATUS_NODE_TIMEOUT, folder, cache, _Lost)
                report = Report.parse(_read_report(ports["report"], deadline))
            except TimeoutError as error:
                sentence = f"the node's command did not end within {timeout_seconds:g} s"
                raise _failed(sentence, STATUS_NODE_TIMEOUT, folder, cache) from error
            if lost:
                raise lost[0]
            for copier in copiers:
                # The guest closes its ends before it reports; what is on the way is a moment away.
                copier.join(max(1.0, deadline - time.monotonic()))
        if lost:
            raise lost[0]
        if report is None:
            sentence = "the node stopped before its command had ended"
            aborted = EMULATOR_ABORTED in (folder / "emulator.log").read_bytes() and hung_in_boot(console)
            kind = _Lost if aborted else NodeFailed
            raise _failed(sentence, STATUS_NODE_FAILED, folder, cache, kind)
        if report.oom_kills:
            err.write(f"lab: the node ran out of memory and killed a process:\n{_killed(console)}".encode())
            err.flush()
        # Whoever lost a process did not do what was asked, whatever it says itself.
        return report.status or (STATUS_NODE_FAILED if report.oom_kills else 0)


def _killed(console: Path) -> str:
    """What the kernel says of it, whatever else it has said since; the end of the console where it says nothing."""
    with console.open(encoding="utf-8", errors="replace", newline=None) as file:
        return "".join(line for line in file if "Out of memory: Killed process" in line) or tail(console)


def _failed(
    sentence: str, status: int, folder: Path, cache: Cache, kind: type[NodeFailed] = NodeFailed
) -> NodeFailed:
    """What to raise. The console outlives the node's folder, in the logs."""
    kept = cache.log(folder.name)
    words = [path.read_bytes() for name in ("console", "emulator.log") if (path := folder / name).exists()]
    kept.write_bytes(b"".join(words))
    for old in sorted(kept.parent.glob("node-*.log"), key=_age)[KEPT_CONSOLES:]:
        old.unlink(missing_ok=True)
    return kind(sentence, status, tail(kept), kept)


def _age(path: Path) -> float:
    """Seconds since a file was written; of one that another lab has just removed, as many as there are."""
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime
    return math.inf


def parts(machine: Machine) -> tuple[str, str, str, str]:
    """The parts that a node is put together from: kernel, root file system, packages, emulator."""
    return (machines.KERNELS[machine.kernel], "rootfs", "project", "emulator")


def job_files(machine: Machine, command: Sequence[str]) -> dict[str, bytes]:
    """What guest/init finds beside itself."""
    settings = {
        "ROLE": "job",
        "HOSTNAME": "node",
        "CXL": "1" if machine.slow is Slow.CXL else "",
        "SHARE": "1" if machine.share else "",
        "MODULES": machines.modules(machine),
    }
    return {
        "init": GUEST_INIT.read_bytes(),
        "settings": shell_settings(settings),
        "job": f"exec {shlex.join(command)}\n".encode(errors="surrogateescape"),
    }


def shell_settings(settings: Mapping[str, str]) -> bytes:
    """Shell assignments, quoted."""
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items()).encode()


def write_job(path: Path, files: Mapping[str, bytes]) -> None:
    """Pack the job's files into a tar archive that is a whole disk: QEMU wants full 512-byte sectors."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755
            archive.addfile(entry, io.BytesIO(content))


@contextmanager
def _started(machine: Machine, files: Files) -> Iterator[dict[str, socket.socket]]:
    """Our ends of the running emulator's ports. On the way out it is stopped."""
    pairs = {name: socket.socketpair() for name in PORTS}
    theirs = {name: pair[1] for name, pair in pairs.items()}
    files = replace(files, ports={name: end.fileno() for name, end in theirs.items()})
    emulated = subprocess.Popen(
        confined(machines.command_line(machine, files)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=files.console.with_name("emulator.log").open("wb"),
        pass_fds=[LIFELINE, *(end.fileno() for end in theirs.values())],
        env={**os.environ, **machines.environment(files)},
    )
    for end in theirs.values():
        end.close()
    ours = {name: pair[0] for name, pair in pairs.items()}
    try:
        yield ours
    finally:
        emulated.kill()
        emulated.wait()
        for end in ours.values():
            end.close()


def _hangs(machine: Machine, report: socket.socket, console: Path, deadline: float) -> bool:
    """Wait until there is a first process; returns whether the kernel hangs before it, with nothing more to say.

    KASAN and counted instructions make a boot as slow as they like, and one that has no time left is told as such.
    """
    if machine.kernel == "debug" or machine.icount:
        return False
    said, since = b"", time.monotonic()
    while hung_in_boot(console) and deadline - since >= BOOT_SECONDS:
        if (words := console.read_bytes() if console.exists() else b"") != said:
            said, since = words, time.monotonic()
        if time.monotonic() - since >= BOOT_SECONDS:
            return True
        report.settimeout(min(1, BOOT_SECONDS))
        with suppress(TimeoutError):
            report.recv(1, socket.MSG_PEEK)
            return False
    return False


def _read_report(port: socket.socket, deadline: float) -> str:
    """The report, or what there was of it when the emulator went away. Raises TimeoutError."""
    received = b""
    while not received.endswith(b"\n"):
        port.settimeout(max(0.001, deadline - time.monotonic()))
        piece = port.recv(4096)
        if not piece:
            break
        received += piece
    return received.decode(errors="replace")


def _copier(
    port: socket.socket,
    sink: BinaryIO,
    report: socket.socket,
    lost: list[OSError],
) -> threading.Thread:
    def copy() -> None:
        try:
            while piece := _receive(port):
                sink.write(piece)
                sink.flush()
        except OSError as error:
            # Output that is lost ends the run: whoever waits for the report sees the port close.
            lost.append(error)
            report.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    return thread


def _receive(port: socket.socket) -> bytes:
    try:
        return port.recv(1 << 16)
    except OSError:
        return b""
