"""The system call's own tests (kernel/selftests) in a node: how they are run, and what counts as a success.

    python3 -m tests.selftests [--kernel debug] [--log FILE] run [PROGRAM…]
    python3 -m tests.selftests [--kernel debug] [--log FILE] fuzz [--calls 10000000] [--seed 1]

runs programs (all that can run beside each other), or the fuzzer, for as long as it takes, shows what they print and
keeps it in FILE, the kernel's log at its end.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tests.commands import CHECKOUT, LAB, lab
from tests.lab.build.selftests import SELFTESTS

# They need what only a node of their own has: memory in device mode, a kernel that fails on purpose, time.
ELSEWHERE = {"device", "injection", "fuzz"}
# What the kernel says of a defect of its own.
COMPLAINT = re.compile(
    r"BUG:|WARNING:|Call Trace|Oops|UBSAN:|possible circular locking|suspicious RCU|blocked for more than|Bad page"
)
# The programs are copied first: a page of a running one would be a round trip to the lab's machine.
SCRIPT = """
cp -r /share /tmp/tests && cd /tmp/tests || exit 1
for test in {tests}; do
  echo "== $test"; timeout {seconds} ./$test {options} 2>&1; echo "== ended $?"
done
echo '== dmesg'; dmesg
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What a node's tests printed, by program, how each ended, and the kernel's log."""

    output: dict[str, str]
    status: dict[str, int]
    kernel_log: str

    @classmethod
    def parse(cls, text: str) -> Run:
        """Read what SCRIPT prints."""
        told, _, kernel_log = text.partition("== dmesg\n")
        found = re.findall(r"^== (\w+)\n(.*?)^== ended (\d+)$", told, re.MULTILINE | re.DOTALL)
        return cls(
            {name: output for name, output, _ in found},
            {name: int(status) for name, _, status in found},
            kernel_log,
        )

    def failures(self) -> list[str]:
        """For each program that did not pass every test that it planned, skips included, what it said."""
        failed = []
        for name, output in self.output.items():
            plan = re.search(r"^1\.\.(\d+)$", output, re.MULTILINE)
            passed = re.findall(r"^ok \d+ (?!.*# (?:SKIP|XFAIL|XPASS)).*$", output, re.MULTILINE)
            if self.status[name] or plan is None or not passed or len(passed) != int(plan[1]):
                failed.append(f"{name}: status {self.status[name]}\n{amiss(output)}")
        return failed

    def complaints(self) -> list[str]:
        """Lines of the kernel's log that tell of a defect."""
        return [line for line in self.kernel_log.splitlines() if COMPLAINT.search(line)]


def amiss(output: str) -> str:
    """The lines of a program's output that do not tell of a success."""
    dull = re.compile(r"ok \d+ (?!.*# SKIP)|#  RUN|# +OK ")
    return "\n".join(line for line in output.splitlines() if not dull.match(line))


def programs() -> set[str]:
    """The tests that there are, by the names of their programs."""
    makefile = (SELFTESTS / "Makefile").read_text()
    return {
        name
        for line in re.findall(r"^TEST_GEN_PROGS [:+]= (.*)$", makefile, re.MULTILINE)
        for name in line.split()
    }


def script(tests: Iterable[str], *, options: str = "", seconds: int = 300) -> str:
    """A shell program that runs these tests in a node, with the same options, and prints what Run.parse reads."""
    return SCRIPT.format(tests=" ".join(sorted(tests)), options=options, seconds=seconds)


def build() -> Path:
    """The folder of the programs, which is built if it is not there."""
    built = lab("build", "selftests")
    name, _, path = built.text.strip().partition("\t")
    assert name == "selftests"
    return Path(path)


def together(kernel: str) -> set[str]:
    """The programs that one node of a kernel can run one after the other."""
    return programs() - ELSEWHERE | ({"injection"} if kernel == "debug" else set())


def main() -> int:
    """Run what is asked for; the status says whether it and the kernel had nothing to complain of."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.selftests")
    parser.add_argument("--kernel", default="debug", choices=["patched", "debug"], help="default debug")
    parser.add_argument("--log", type=Path, help="keep what is printed in this file")
    parser.add_argument("--hours", type=float, default=48, help="give each program this long, default 48")
    commands = parser.add_subparsers(dest="command", required=True)
    some = commands.add_parser("run", help="programs of kernel/selftests")
    some.add_argument("programs", nargs="*", metavar="PROGRAM", help="default: all that one node can run")
    fuzz = commands.add_parser("fuzz", help="random calls beside a workload that checks its memory")
    fuzz.add_argument("--calls", type=int, default=10_000_000, help="default ten million")
    fuzz.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    seconds = int(arguments.hours * 3600)
    if arguments.command == "fuzz":
        tests, options = {"fuzz"}, f"-n {arguments.calls} -s {arguments.seed}"
    else:
        tests, options = set(arguments.programs) or together(arguments.kernel), ""
        if unknown := tests - together(arguments.kernel):
            known = ", ".join(sorted(together(arguments.kernel)))
            parser.error(f"one node cannot run {', '.join(sorted(unknown))} beside others; it can {known}")
    command = script(tests, options=options, seconds=seconds)
    with (arguments.log or Path(os.devnull)).open("w") as log:
        print("#", shlex.join(["python3", "-m", "tests.selftests", *sys.argv[1:]]), file=log)
        printed = _printed(arguments.kernel, command, seconds * len(tests), log)
    run = Run.parse(printed)
    for told in (*run.failures(), *(f"kernel: {complaint}" for complaint in run.complaints())):
        print(told, file=sys.stderr)
    return 1 if set(run.output) != tests or run.failures() or run.complaints() else 0


def _printed(kernel: str, command: str, seconds: int, log: TextIO) -> str:
    """What a node prints while it runs a command, shown and kept as it comes."""
    node = [
        *LAB, "node", "run", "--kernel", kernel, "--slow-ram", "512M", "--memory", "2G", "--share", str(build()),
        "--timeout", str(seconds + 600), "--", "sh", "-c", command,
    ]  # fmt: skip
    printed = ""
    with subprocess.Popen(node, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, errors="replace") as running:
        assert running.stdout is not None
        for line in running.stdout:
            print(line, end="", flush=True)
            print(line, end="", file=log, flush=True)
            printed += line
    return printed


if __name__ == "__main__":
    sys.exit(main())
