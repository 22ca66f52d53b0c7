"""The layout of this checkout: what shadows nothing, and what runs before anything is installed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ROOTS = ("crds", "kernel", "agent", "operator")
# They run before there is an environment, with the standard library alone.
BARE = [
    CHECKOUT / "tests/__init__.py",
    CHECKOUT / "tests/environment.py",
    *(CHECKOUT / "tests/lab").rglob("*.py"),
]


@pytest.mark.parametrize("folder", [".", "tests", "tests/unit"])
@pytest.mark.parametrize("path", ["", ":".join(ROOTS)])
def test_operator_is_the_standard_librarys(folder: str, path: str) -> None:
    program = "import json, operator; print(operator.__file__)"
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=CHECKOUT / folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(sysconfig.get_path("stdlib"))


def test_nothing_on_the_module_path_shadows_the_standard_library() -> None:
    for folder in (CHECKOUT, *(CHECKOUT / root for root in ROOTS)):
        modules = {path.stem for path in folder.glob("*.py")}
        packages = {path.parent.name for path in folder.glob("*/__init__.py")}
        assert not (modules | packages) & sys.stdlib_module_names, folder


def test_folders_named_as_what_they_hold_are_no_packages() -> None:
    for folder in (*ROOTS, *(f"tests/unit/{root}" for root in ROOTS)):
        assert not (CHECKOUT / folder / "__init__.py").exists()


def test_each_package_is_typed() -> None:
    for root in ROOTS:
        (package,) = (path.parent for path in (CHECKOUT / root).glob("*/__init__.py"))
        assert (package / "py.typed").is_file()


@pytest.mark.parametrize("path", BARE, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_the_lab_imports_the_standard_library_and_itself(path: Path) -> None:
    foreign = [
        name
        for name in imported(ast.parse(path.read_text()))
        if name.partition(".")[0] not in sys.stdlib_module_names
        and not f"{name}.".startswith(("tests.lab.", "tests.environment."))
    ]
    assert foreign == []


def imported(tree: ast.Module) -> Iterator[str]:
    """The modules that a module names in its imports, wherever they stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide what is imported"
            # What follows `import` may be a module too.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
