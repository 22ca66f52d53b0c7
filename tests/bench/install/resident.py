"""Runs on a node of a cluster: what processes of ours have of memory, and of CPUs while nothing happens.

    resident.py SECONDS

Prints a sample a line, as tests.bench.samples reads them: kibibytes of resident memory now and at most, and the
nanoseconds of CPU that were used within the given seconds.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from thermocline_kernel import process_stat
from thermocline_kernel.host import Host

NAMES = ("agent", "operator")


def ours() -> dict[str, int]:
    """The process of each of ours that runs here."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        for name in NAMES:
            if any(word.endswith(f"/thermocline-{name}".encode()) for word in words) and b"run" in words:
                found[name] = int(folder.name)
    return found


def main() -> None:
    """Look twice."""
    host, found = Host(), ours()
    before = {name: process_stat.read(host, pid).cpu_seconds for name, pid in found.items()}
    time.sleep(float(sys.argv[1]))
    for name, pid in found.items():
        used = process_stat.read(host, pid).cpu_seconds - before[name]
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        print("resident_kib", name, 0, status["VmRSS"].split()[0])
        print("peak_kib", name, 0, status["VmHWM"].split()[0])
        print("cpu_ns", name, 0, int(used * 1e9))


if __name__ == "__main__":
    main()
