"""All parts of the lab."""

from __future__ import annotations

from types import MappingProxyType

from tests.lab.build import kernel, node_binaries, rootfs, stock_kernel

PARTS = MappingProxyType({part.name: part for part in (*kernel.PARTS, *stock_kernel.PARTS, *rootfs.PARTS, *node_binaries.PARTS)})
# The names that a person may say, in the order of `build --help`.
ASKED = tuple(part.name for part in PARTS.values() if part.asked)
