"""Which checkouts of this machine use which parts of a cache, so that none takes from another what that has built.

users/DIGEST/checkout   a file with the checkout's folder in it
users/DIGEST/NAME       a symbolic link to the part of that name that the checkout used last
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.lab.cache import Cache, digest, part_name, remove_tree

FOLDER_FILE = "checkout"


def note(cache: Cache, checkout: Path, parts: Iterable[Path]) -> None:
    """Write down that a checkout uses these parts, in the place of those that it used by their names."""
    folder = cache.root / "users" / digest(str(checkout))
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / FOLDER_FILE).exists():
        (folder / FOLDER_FILE).write_text(str(checkout))
    for part in parts:
        link = folder / part_name(part)
        if not (link.is_symlink() and link.readlink() == part):
            _relink(link, part)


def _relink(link: Path, target: Path) -> None:
    # By a new link that takes the old one's name: another process of the checkout may be at it, too.
    with tempfile.TemporaryDirectory(dir=link.parent) as folder:
        new = Path(folder) / "link"
        new.symlink_to(target)
        new.rename(link)


def users(cache: Cache) -> dict[Path, frozenset[Path]]:
    """The checkouts that are still there, and the parts that each uses."""
    return {
        checkout: frozenset(link.readlink() for link in folder.iterdir() if link.is_symlink())
        for folder in _folders(cache)
        if (checkout := _checkout(folder)) is not None and checkout.is_dir()
    }


def forget_those_gone(cache: Cache) -> None:
    """Remove what was written down of checkouts that are not there any more."""
    for folder in _folders(cache):
        checkout = _checkout(folder)
        if checkout is not None and not checkout.is_dir():
            remove_tree(folder)


def _folders(cache: Cache) -> list[Path]:
    folder = cache.root / "users"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _checkout(folder: Path) -> Path | None:
    """The checkout; None when the process that writes it down has not come so far."""
    try:
        text = (folder / FOLDER_FILE).read_text()
    except FileNotFoundError:
        return None
    return Path(text) if text else None
