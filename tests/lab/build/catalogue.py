"""All parts of the lab."""

from __future__ import annotations

from types import MappingProxyType

from tests.lab.build import golang, images, kernel, node_binaries, prometheus, rootfs, selftests, stock_kernel

_MODULES = (kernel, stock_kernel, golang, rootfs, images, node_binaries, selftests, prometheus)
PARTS = MappingProxyType({part.name: part for module in _MODULES for part in module.PARTS})
# The names that a person may say, in the order of `build --help`.
ASKED = tuple(part.name for part in PARTS.values() if part.asked)
