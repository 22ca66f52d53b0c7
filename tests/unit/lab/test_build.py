"""Keys, order and words of the parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.build import debian, golang, kernel, stock_kernel
from tests.lab.build.part import Part, Workshop
from tests.lab.cache import Cache
from tests.lab.errors import LabError

DEB822 = """\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb deb-src
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main
"""
ONE_LINE = """\
# deb http://commented.example/debian trixie main
deb [signed-by=/usr/share/k.gpg arch=amd64] http://mirror.example/debian trixie main
deb-src http://mirror.example/debian trixie main
deb http://security.example/debian-security trixie-security main
deb http://other.example/apt stable-ish main
"""


@pytest.mark.parametrize(("name", "text"), [("debian.sources", DEB822), ("debian.list", ONE_LINE)])
def test_the_machines_mirror_is_found_in_either_format(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / name).write_text(text)
    (tmp_path / "sources.list.d" / "third.list").write_text(
        "deb http://third.example/apt cloud-bookworm main\n"
    )
    mirror = debian.machine_mirror(tmp_path)
    assert mirror == debian.Mirror("http://mirror.example/debian", "http://security.example/debian-security")
    assert all(" trixie" in line for line in mirror.sources())


def test_no_mirror_says_what_to_add(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="add both to"):
        debian.machine_mirror(tmp_path)


def test_a_kernel_is_not_built_anew_for_documents_and_tests(tmp_path: Path) -> None:
    changes = {
        "call": ["mm/migrate.c", "MAINTAINERS"],
        "documents": ["Documentation/admin-guide/mm/index.rst", "MAINTAINERS"],
        "tests": ["tools/testing/selftests/Makefile"],
        "tools": ["tools/include/uapi/linux/mempolicy.h"],
    }
    for name, paths in changes.items():
        (tmp_path / name).write_text("".join(f"--- a/{path}\n+++ b/{path}\n" for path in paths))
    series = [tmp_path / name for name in changes]
    assert [patch.name for patch in kernel.compiled(series)] == ["call", "tools"]


@pytest.mark.parametrize(
    "text",
    [
        "--- linux.orig/mm/x.c\n+++ linux/mm/x.c\n",
        "--- a/mm/x.c\n+++ /dev/null\n",
        "--- /dev/null\n+++ b/mm/x.c\n",
        "no patch that we understand\n",
    ],
)
def test_a_patch_of_any_form_is_taken_to_change_the_kernel(tmp_path: Path, text: str) -> None:
    patch = tmp_path / "0001.patch"
    patch.write_text(text)
    assert kernel.compiled([patch]) == [patch]


def test_options_that_fell_away_are_found() -> None:
    fragment = (
        "# a comment\nCONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\n# CONFIG_D is not set\nCONFIG_E=8\n"
    )
    config = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_D=y\nCONFIG_E=8\n"
    assert kernel.lost_options(fragment, config) == ["CONFIG_B=y", "# CONFIG_D is not set"]
    assert kernel.lost_options(fragment, "CONFIG_A=y\nCONFIG_B=y\nCONFIG_E=8\n") == []


def test_patches_apply_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("0002-b.patch", "0001-a.patch", "0010-c.patch", "cover.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in kernel.patches(tmp_path)] == [
        "0001-a.patch",
        "0002-b.patch",
        "0010-c.patch",
    ]


def test_modules_are_loaded_after_those_they_need() -> None:
    dep = (
        "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko\n"
        "kernel/fs/jbd2/jbd2.ko:\nkernel/lib/crc16.ko:\n"
        "kernel/drivers/virtio-blk.ko: kernel/lib/crc16.ko\n"
    )
    order = stock_kernel.load_order(dep, ("ext4", "virtio_blk", "built_in"))
    assert order == [
        "kernel/lib/crc16.ko", "kernel/fs/jbd2/jbd2.ko", "kernel/fs/ext4/ext4.ko", "kernel/drivers/virtio-blk.ko",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26)), ("go version go1.9 x", (1, 9)), ("devel", (0, 0))],
)
def test_go_versions(text: str, version: tuple[int, int]) -> None:
    assert golang.parse_version(text) == version


def test_kubernetes_version_is_the_modules() -> None:
    assert golang.kubernetes_version((golang.MODULES / "kubernetes/go.mod").read_text()).startswith("v1.36.")
    with pytest.raises(LabError, match="put it back"):
        golang.kubernetes_version("module x\n")


def _workshop(tmp_path: Path, built: list[str]) -> Workshop:
    def part(name: str, word: str, *needs: str) -> Part:
        return Part(name, 1, lambda: (word,), lambda _workshop, _into: built.append(name), needs)

    parts = (part("a", "1"), part("b", "1", "a"), part("c", "1", "b"), part("d", "1"))
    return Workshop(Cache(tmp_path), {p.name: p for p in parts})


def test_needs_are_built_first_and_once(tmp_path: Path) -> None:
    built: list[str] = []
    workshop = _workshop(tmp_path, built)
    workshop.get("c", "d")
    assert sorted(built) == ["a", "b", "c", "d"]
    assert built.index("a") < built.index("b") < built.index("c")
    workshop.get("c", "d")
    assert len(built) == 4
    assert workshop.missing(["c"]) == []


def test_a_change_below_changes_every_key_above(tmp_path: Path) -> None:
    def keys(word: str) -> dict[str, str]:
        parts = {
            "a": Part("a", 1, lambda: (word,), lambda _workshop, _into: None),
            "b": Part("b", 1, lambda: ("x",), lambda _workshop, _into: None, ("a",)),
        }
        workshop = Workshop(Cache(tmp_path), parts)
        return {name: workshop.key(name) for name in parts}

    before, after = keys("1"), keys("2")
    assert before["a"] != after["a"]
    assert before["b"] != after["b"]
    assert keys("1") == before


def test_an_unknown_part_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="name some of a, b, c, d"):
        _workshop(tmp_path, []).get("kernle")
