"""Names of images, as the files that decide on them say."""

from __future__ import annotations

import pytest

from tests.lab.build import images
from tests.lab.errors import LabError


def test_the_stand_in_is_named_as_the_dockerfiles_base() -> None:
    assert images.base_name(images.DOCKERFILE.read_text()).startswith("docker.io/library/python:")
    with pytest.raises(LabError, match="ARG BASE="):
        images.base_name("FROM scratch\n")


@pytest.mark.parametrize(
    "line", ["      sandbox = 'registry.example/pause:1.0'", '  sandbox_image = "registry.example/pause:1.0"']
)
def test_the_sandbox_is_what_containerd_says(line: str) -> None:
    assert images.sandbox_name(f"version = 3\n{line}\n") == "registry.example/pause:1.0"
    with pytest.raises(LabError, match="names no sandbox image"):
        images.sandbox_name("version = 3\n")
