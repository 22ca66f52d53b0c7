"""The system call's own tests, which are C programs in the form of the kernel's selftests.

    selftests-tree  tools/testing/selftests/, mm/gup_test.h: what the kernel's own tests are built against
    selftests       a static program for each test of kernel/selftests, which runs in any node

They are built in their place in a kernel tree, by the same Makefile as there; the tree has nothing else in it.
"""

from __future__ import annotations

import inspect
import os
import shutil
from pathlib import Path

from tests.lab import process
from tests.lab.build.kernel import patches
from tests.lab.build.part import CHECKOUT, Part, Workshop
from tests.lab.errors import BuildFailed

SELFTESTS = CHECKOUT / "kernel" / "selftests"
# Where kernel/selftests is in a kernel tree.
PLACE = "tools/testing/selftests/mm/move_phy_pages"
HEADER = "include/uapi/linux/move_phy_pages.h"
MEMBERS = (
    "tools/testing/selftests/kselftest.h", "tools/testing/selftests/kselftest_harness.h",
    "tools/testing/selftests/lib.mk", "mm/gup_test.h",
)  # fmt: skip


def header_patches() -> list[Path]:
    """The patches that make the header that user space includes."""
    return [patch for patch in patches() if f"+++ b/{HEADER}\n" in patch.read_text()]


def write_header(include: Path, log: Path) -> None:
    """Write linux/move_phy_pages.h, as the patches have it, below a folder. Raises BuildFailed."""
    tree = include / "tree"
    tree.mkdir(parents=True)
    # A repository around the cache would be taken for the one that the patches are for.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(include)}
    try:
        process.run(
            ["git", "apply", f"--include={HEADER}", *header_patches()], log=log, cwd=tree, env=environment
        )
        (include / "linux").mkdir(exist_ok=True)
        shutil.copy(tree / HEADER, include / "linux")
    except (BuildFailed, FileNotFoundError) as err:
        raise BuildFailed(f"kernel/patches do not make {HEADER}: let one of them add it", log) from err
    shutil.rmtree(tree)


def _fetch_tree(workshop: Workshop, into: Path) -> None:
    archive = workshop.path("kernel-source") / "usr/src/linux-source-6.12.tar.xz"
    members = [f"linux-source-6.12/{member}" for member in MEMBERS]
    process.run(
        ["tar", "-C", into, "--strip-components=1", "-xf", archive, *members],
        log=workshop.log("selftests-tree"),
    )  # fmt: skip


def _build(workshop: Workshop, into: Path) -> None:
    log = workshop.log("selftests")
    tree = into / "tree"
    shutil.copytree(workshop.path("selftests-tree"), tree)
    shutil.copytree(SELFTESTS, tree / PLACE)
    write_header(tree / "usr/include", log)
    process.run(
        ["make", "-C", tree / PLACE, f"OUTPUT={into}", "USERCFLAGS=-Werror", "USERLDFLAGS=-static"], log=log
    )
    shutil.rmtree(tree)


PARTS = (
    Part(
        "selftests-tree",
        20,
        inputs=lambda: MEMBERS,
        build=_fetch_tree,
        needs=("kernel-source",),
        asked=False,
    ),
    Part(
        "selftests",
        15,
        inputs=lambda: (SELFTESTS, *header_patches(), inspect.getsource(_build)),
        build=_build,
        needs=("selftests-tree",),
    ),
)
