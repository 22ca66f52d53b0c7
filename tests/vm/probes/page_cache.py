"""Runs in a node: reads files into page cache on node 1 and prints their digests and where they lie, as JSON."""

from __future__ import annotations

import ctypes
import hashlib
import json
from pathlib import Path

SYS_SET_MEMPOLICY = 238
MPOL_BIND = 2
NODE = 1
ENOUGH_KIB = 8 << 10


def cached_kib() -> int:
    """File pages on node 1."""
    lines = Path(f"/sys/devices/system/node/node{NODE}/meminfo").read_text().splitlines()
    return next(int(line.split()[3]) for line in lines if "FilePages:" in line)


libc = ctypes.CDLL(None, use_errno=True)
nodes = ctypes.c_ulong(1 << NODE)
if libc.syscall(SYS_SET_MEMPOLICY, MPOL_BIND, ctypes.byref(nodes), 8 * ctypes.sizeof(nodes)):
    raise OSError(ctypes.get_errno(), "set_mempolicy")
before = cached_kib()
shared = hashlib.sha256(Path("/share/file").read_bytes()).hexdigest()
# From the node's disk, in requests of any size. The processor reads this memory slowly: no more than it takes.
for path in sorted(Path("/usr/lib/x86_64-linux-gnu").glob("*.so*")):
    if cached_kib() - before >= ENOUGH_KIB:
        break
    path.read_bytes()
print(json.dumps({"shared": shared, "cached_kib": cached_kib() - before}))
