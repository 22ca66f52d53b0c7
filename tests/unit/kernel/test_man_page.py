"""The manual page of the system call: sound, complete, and with an example that compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.lab.build.kernel import patches
from tests.lab.build.selftests import write_header

CHECKOUT = Path(__file__).resolve().parents[3]
PAGE = CHECKOUT / "kernel" / "man" / "move_phy_pages.2"
# What stands for a character in the source of a page.
ESCAPES = {r"\-": "-", r"\&": "", r"\[rs]": "\\", r"\e": "\\"}
ERRNO = "E[A-Z0-9]+"


def example(page: str) -> tuple[str, str]:
    """The name and the text of the program in a page, marked as man-pages marks them."""
    found = re.search(
        r'^\.\\" SRC BEGIN \((\S+)\)\n\.EX\n(.*?)^\.EE\n\.\\" SRC END$', page, re.MULTILINE | re.DOTALL
    )
    assert found is not None
    program = re.sub(r"\\(?:-|&|e|\[rs\])", lambda escape: ESCAPES[escape[0]], found[2])
    assert not re.search(r"\\\[|\\f|^\.", program, re.MULTILINE), (
        "an escape or a macro that this test does not know"
    )
    return found[1], program


def test_mandoc_has_nothing_to_warn_of() -> None:
    assert shutil.which("mandoc"), "mandoc is not installed: `python3 -m tests.lab build` installs it"
    lint = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", PAGE], capture_output=True, text=True, check=False
    )
    assert (lint.returncode, lint.stdout, lint.stderr) == (0, "", "")


def test_the_example_compiles_and_says_what_is_missing(tmp_path: Path) -> None:
    name, program = example(PAGE.read_text())
    (tmp_path / name).write_text(program)
    write_header(tmp_path / "include", tmp_path / "log")
    subprocess.run(
        ["gcc", "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-isystem", tmp_path / "include",
         "-o", tmp_path / "example", tmp_path / name],
        check=True,
    )  # fmt: skip
    usage = subprocess.run([tmp_path / "example"], capture_output=True, text=True, check=False)
    assert usage.returncode == 1
    assert usage.stderr == f"usage: {tmp_path}/example ADDRESS [NODE]\n"


def test_the_page_and_the_kernels_document_name_the_same_errors_and_statuses() -> None:
    page = PAGE.read_text()
    sections = dict(re.findall(r"^\.S[HS] (.*?)\n(.*?)(?=^\.S[HS] |\Z)", page, re.MULTILINE | re.DOTALL))
    statuses = set(re.findall(rf"^\.B \\-({ERRNO})$", sections["Status"], re.MULTILINE))
    errors = set(re.findall(rf"^\.B ({ERRNO})$", sections["ERRORS"], re.MULTILINE))
    (document,) = (
        p.read_text() for p in patches() if "+++ b/Documentation/admin-guide/mm/move_phy" in p.read_text()
    )
    assert statuses == set(re.findall(rf"^\+-({ERRNO}) +\S", document, re.MULTILINE))
    # What a kernel without the call answers is no business of the call's.
    assert errors - {"ENOSYS"} == set(re.findall(rf"^\+({ERRNO}) +\S", document, re.MULTILINE))
