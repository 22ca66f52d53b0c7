"""The patch with the tests of the system call has the text of kernel/selftests."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.lab.build.kernel import patches
from tests.lab.build.selftests import PLACE
from tests.selftests_patch import files, renewed, the_patch


def test_the_patch_is_what_the_folder_is() -> None:
    text = the_patch(patches()).read_text()
    assert text == renewed(text, files()), "run `python3 -m tests.selftests_patch` and commit what it writes"


def test_git_makes_the_folder_of_the_patch(tmp_path: Path) -> None:
    """What the comparison rests on: the text that is compared is a patch, and whole."""
    subprocess.run(
        ["git", "apply", f"--include={PLACE}/*", the_patch(patches())],
        cwd=tmp_path, check=True, env={"GIT_CEILING_DIRECTORIES": str(tmp_path.parent), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert {path.name: path.read_text() for path in (tmp_path / PLACE).iterdir()} == files()


def test_the_kernels_own_files_and_the_message_are_kept() -> None:
    patch = (
        "Subject: tests\n\n---\ndiff --git a/MAINTAINERS b/MAINTAINERS\n@@ -1 +1,2 @@\n a\n+b\n"
        f"diff --git a/{PLACE}/old.c b/{PLACE}/old.c\n@@ -0,0 +1 @@\n+x\n"
    )
    new = renewed(patch, {"b.c": "one\n", "a.h": "two\nthree\n"})
    head = patch.partition(f"diff --git a/{PLACE}")[0]
    assert new.startswith(head)
    assert "old.c" not in new
    assert new.index("a.h") < new.index("b.c")
    assert new.endswith("@@ -0,0 +1 @@\n+one\n")
