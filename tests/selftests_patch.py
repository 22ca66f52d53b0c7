"""Keeps the patch that brings the system call's own tests into a kernel tree equal to kernel/selftests.

    python3 -m tests.selftests_patch        write the patch anew, after a change in kernel/selftests

The patch's message, and what it changes in files that the kernel has already, stay as they are.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

from tests.lab.build.kernel import patches
from tests.lab.build.selftests import PLACE, SELFTESTS


def the_patch(series: list[Path]) -> Path:
    """The one of these patches that adds the tests."""
    (found,) = (patch for patch in series if f"+++ b/{PLACE}/Makefile\n" in patch.read_text())
    return found


def renewed(patch: str, files: dict[str, str]) -> str:
    """The text of the patch with these files, by their names, in place of those that it had in PLACE."""
    head, *diffs = re.split(r"^(?=diff --git )", patch, flags=re.MULTILINE)
    kept = [diff for diff in diffs if f" b/{PLACE}/" not in diff.partition("\n")[0]]
    return "".join((head, *kept, *(_added(name, files[name]) for name in sorted(files))))


def _added(name: str, text: str) -> str:
    """How git shows a new file."""
    content = text.encode()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324  it is git's name for it
    lines = text.splitlines()
    assert text.endswith("\n"), f"{name} has no newline at its end: add one"
    return (
        f"diff --git a/{PLACE}/{name} b/{PLACE}/{name}\nnew file mode 100644\nindex 000000000000..{blob[:12]}\n"
        f"--- /dev/null\n+++ b/{PLACE}/{name}\n@@ -0,0 +1{f',{len(lines)}' if len(lines) > 1 else ''} @@\n"
        + "".join(f"+{line}\n" for line in lines)
    )


def files() -> dict[str, str]:
    """The files of kernel/selftests, by name."""
    return {path.name: path.read_text() for path in SELFTESTS.iterdir()}


def main() -> int:
    """Write the patch anew."""
    patch = the_patch(patches())
    patch.write_text(renewed(patch.read_text(), files()))
    print(patch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
