"""The kernels: what they were configured with, and what a running node then offers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import lab, node, node_python
from tests.lab.build import catalogue
from tests.lab.build.kernel import FRAGMENTS, lost_options
from tests.lab.build.part import Workshop
from tests.lab.cache import Cache, default_root
from tests.vm.probes.features import FEATURES

pytestmark = pytest.mark.vm

PROBE = Path(__file__).with_name("probes") / "features.py"


@pytest.mark.parametrize(
    ("part", "fragments"), [("kernel", ["node.config"]), ("kernel-debug", ["node.config", "debug.config"])]
)
def test_no_option_of_the_fragments_fell_away(part: str, fragments: list[str]) -> None:
    built = lab("build", part)
    assert built.status == 0, built.err
    folder = Workshop(Cache(default_root()), catalogue.PARTS).path(part)
    assert built.out.decode() == f"{part}\t{folder}\n"
    config = (folder / "config").read_text()
    for fragment in fragments:
        assert lost_options((FRAGMENTS / fragment).read_text(), config) == []


def test_the_patched_kernel_does_what_the_project_relies_on() -> None:
    found = node_python(PROBE, options="--cxl 256M").json
    assert {name for name, works in found.items() if not works} == set()
    assert set(found) == set(FEATURES)


def test_the_debug_kernel_checks_memory_and_locks() -> None:
    files = [
        "/proc/lockdep_stats",
        "/proc/sys/kernel/hung_task_timeout_secs",
        "/sys/kernel/debug/fail_page_alloc/probability",
    ]
    told = node(
        "sh", "-c", f"dmesg; ls {' '.join(files)}", options="--kernel debug --no-slow"
    ).text.splitlines()
    assert told[-3:] == files
    assert any("KernelAddressSanitizer initialized" in line for line in told)
