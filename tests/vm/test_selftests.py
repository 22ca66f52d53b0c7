"""The system call's own tests (kernel/selftests) and its fuzzer, in nodes with slow memory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.commands import node
from tests.selftests import Run, build, script, together

pytestmark = pytest.mark.vm

FUZZ_CALLS = 100_000
# Each access to emulated CXL memory leaves the translated code: ten times as slow, and the calls are the same.
SLOW = "--slow-ram 512M"
# daxctl looks for modules, and in these kernels nothing is one.
DEVICE_MODE = """
for state in /sys/devices/system/node/node1/memory*/state; do echo offline > $state || exit 1; done
echo dax0.0 > /sys/bus/dax/drivers/kmem/unbind && echo dax0.0 > /sys/bus/dax/drivers/device_dax/new_id || exit 1
"""


@pytest.fixture(scope="module")
def binaries() -> Path:
    """The folder of the built tests."""
    return build()


def run(binaries: Path, command: str, options: str, timeout_seconds: int = 900) -> Run:
    ended = node("sh", "-c", command, options=options, share=binaries, timeout_seconds=timeout_seconds)
    return Run.parse(ended.text)


def assert_all_passed(run: Run, tests: set[str]) -> None:
    """These ran, every planned test passed, none was left out, and the kernel had nothing to complain of."""
    assert set(run.output) == tests
    assert run.failures() == []
    assert run.complaints() == [], run.kernel_log[-8000:]
    assert "Linux version" in run.kernel_log, "the kernel's log is not whole"


def assert_fuzzed(binaries: Path, options: str, calls: int, *, seed: int) -> None:
    seconds = calls // 10
    command = script({"fuzz"}, options=f"-n {calls} -s {seed}", seconds=seconds)
    fuzzed = run(binaries, command, f"{SLOW} {options}", seconds + 300)
    assert_all_passed(fuzzed, {"fuzz"})
    assert f"# {calls} calls, " in fuzzed.output["fuzz"]


def test_the_patched_kernel_passes_every_selftest(binaries: Path) -> None:
    tests = together("patched")
    assert_all_passed(run(binaries, script(tests), SLOW), tests)


def test_memory_of_a_device_is_left_alone(binaries: Path) -> None:
    """With its memory in device mode the node has a NUMA node less, and struct pages that are nobody's."""
    assert_all_passed(run(binaries, DEVICE_MODE + script({"device"}), "--cxl 256M"), {"device"})


def test_random_calls_damage_nothing(binaries: Path) -> None:
    assert_fuzzed(binaries, "", FUZZ_CALLS, seed=1)


def test_the_fuzzer_finds_memory_that_is_spoilt(binaries: Path) -> None:
    """What it checks can fail: some bytes are changed on purpose, and it says which pages."""
    spoilt = run(binaries, script({"fuzz"}, options="-n 2000 -s 1 -x"), SLOW)
    assert spoilt.status["fuzz"] == 1
    assert "# anonymous: page 0 is damaged\n" in spoilt.output["fuzz"]
    assert re.search(r"^not ok 2 .* none damaged$", spoilt.output["fuzz"], re.MULTILINE)


@pytest.mark.long
def test_the_debug_kernel_passes_every_selftest(binaries: Path) -> None:
    """KASAN, lockdep and checks of mm/ watch, and each allocation of a call fails once."""
    tests = together("debug")
    told = run(binaries, script(tests, seconds=1800), f"--kernel debug {SLOW} --memory 2G", 5 * 3600)
    assert_all_passed(told, tests)


@pytest.mark.long
def test_random_calls_damage_nothing_on_the_debug_kernel(binaries: Path) -> None:
    assert_fuzzed(binaries, "--kernel debug --memory 2G", FUZZ_CALLS, seed=2)
