"""File-system images for the nodes' disks, made without mounting anything."""

from __future__ import annotations

from pathlib import Path

from tests.lab import process

JOURNAL_MIB = 16


def make_image(
    folder: Path, image: Path, label: str, log: Path, *, room_mib: int = 16, written: bool = False
) -> None:
    """Make a sparse ext4 image of a folder with `room_mib` to spare. A node mounts it by its label.

    One that nodes write to has a journal: a node of a cluster loses its power and comes back.
    """
    used = int(process.output_of(["du", "-sm", folder]).split()[0])
    files = sum(1 for _ in folder.rglob("*"))
    # ext4 wants an inode a file, and a twentieth of the space for itself.
    size_mib = used + used // 20 + files // 1024 + room_mib + (JOURNAL_MIB if written else 0)
    journal = ["-J", f"size={JOURNAL_MIB}"] if written else ["-O", "^has_journal"]
    process.run(
        ["mke2fs", "-q", "-t", "ext4", "-L", label, "-N", str(files + 4096), "-m", "0", *journal,
         "-E", "lazy_itable_init=1", "-d", folder, image, f"{size_mib}M"],
        log=log,
    )  # fmt: skip
