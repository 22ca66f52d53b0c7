"""What is installed: versions, licences, and what goes into the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata

import pytest

from tests import environment
from thermocline_api import __version__

CHECKOUT = environment.CHECKOUT
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
FILES = environment.CONSTRAINTS
BY_FILE = [[line for line in path.read_text().splitlines() if not line.startswith("#")] for path in FILES]
PINS = [pin for pins in BY_FILE for pin in pins]
PACKAGES = {"thermocline_api", "thermocline_kernel", "thermocline_agent", "thermocline_operator"}


def canonical(name: str) -> str:
    """A project's name as the index normalizes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def plain(requirement: str) -> str:
    """The name in a requirement."""
    return re.split(r"[^\w.-]", requirement)[0]


def test_every_pin_is_a_name_and_a_version() -> None:
    for line in PINS:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)
    for pins in BY_FILE:
        assert sorted(pins, key=lambda line: line.partition("==")[0]) == pins
    assert len({line.partition("==")[0] for line in PINS}) == len(PINS)


def test_constraints_name_no_address() -> None:
    for path in FILES:
        assert not re.search(r"://|@|--|www\.", path.read_text())


def test_what_runs_here_is_what_is_pinned() -> None:
    installed = {f"{canonical(each.name)}=={each.version}" for each in metadata.distributions()}
    own = {line for line in installed if line.partition("==")[0] in {"pip", "setuptools", "thermocline"}}
    assert sorted(installed - own) == sorted(PINS)


def test_every_dependency_and_the_build_tool_are_pinned() -> None:
    pinned = {line.partition("==")[0] for line in PINS}
    wanted = [*environment.requirements(), *PROJECT["build-system"]["requires"]]
    names = {canonical(plain(requirement)) for requirement in wanted}
    assert names <= pinned


def test_versions_agree() -> None:
    version = PROJECT["project"]["version"]
    assert __version__ == version
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    # What stands before the first stage is known in those that name it, and in no others.
    assert re.findall(r"^ARG VERSION=(\S+)$", dockerfile.partition("\nFROM ")[0], re.MULTILINE) == [version]
    stages = [each for each in re.split(r"^FROM ", dockerfile, flags=re.MULTILINE) if "image.version" in each]
    assert len(stages) == 2
    for stage in stages:
        assert "\nARG VERSION\n" in stage.partition("LABEL")[0]
        assert 'image.version="${VERSION}"' in stage


def test_every_dependency_has_its_reason() -> None:
    reasons = (CHECKOUT / "docs/contributing/dependencies.md").read_text()
    for requirement in (*environment.requirements(), *PROJECT["build-system"]["requires"]):
        assert f"| {plain(requirement)} |" in reasons


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built as the Dockerfile builds it, but from no copy."""
    folder = tmp_path_factory.mktemp("wheel")
    program = f"import hatchling.build as b; print(b.build_wheel({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    return zipfile.ZipFile(folder / done.stdout.strip())


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert tops == PACKAGES | {f"thermocline-{__version__}.dist-info"}
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(names)
    for package in PACKAGES:
        (folder,) = (
            CHECKOUT / root / package for root in environment.ROOTS if (CHECKOUT / root / package).is_dir()
        )
        expected = {f"{package}/{path.relative_to(folder)}" for path in folder.rglob("*.py")}
        assert expected == {name for name in names if name.startswith(f"{package}/") and name.endswith(".py")}


def test_the_wheel_holds_the_crds(wheel: zipfile.ZipFile) -> None:
    for crd in (CHECKOUT / "crds").glob("*.yaml"):
        assert wheel.read(f"thermocline_api/{crd.name}") == crd.read_bytes()


def test_the_wheel_says_its_licence_and_its_commands(wheel: zipfile.ZipFile) -> None:
    info = f"thermocline-{__version__}.dist-info"
    fields = wheel.read(f"{info}/METADATA").decode().splitlines()
    assert "License-Expression: Apache-2.0" in fields
    assert f"Version: {__version__}" in fields
    assert "Apache License" in wheel.read(f"{info}/licenses/LICENSE").decode()
    commands = wheel.read(f"{info}/entry_points.txt").decode()
    for who in ("agent", "operator"):
        assert f"thermocline-{who} = thermocline_{who}.cli:main" in commands


def test_each_image_has_only_its_own_dependencies() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert PROJECT["project"]["dependencies"] == []
    assert "kopf" not in extras["agent"]
    assert "numpy" not in extras["operator"]


@pytest.mark.parametrize("name", ["agent", "operator", "build"])
def test_what_an_image_installs_is_pinned_and_each_file_of_it_has_a_hash(name: str) -> None:
    lines = (CHECKOUT / f"images/{name}.txt").read_text().replace("\\\n", " ").splitlines()
    found = {}
    for line in lines:
        pin, *hashes = line.split()
        assert hashes, line
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes), line
        found[pin.partition("==")[0]] = pin
    assert set(found.values()) <= set(BY_FILE[0]), "renew it, as docs/contributing/dependencies.md says"
    wanted = PROJECT["project"]["optional-dependencies"].get(name, PROJECT["build-system"]["requires"])
    assert {canonical(plain(each)) for each in wanted} <= set(found)
