"""What a checkout uses is not taken from it by another."""

from __future__ import annotations

from pathlib import Path

from tests.commands import CHECKOUT, lab
from tests.lab import checkouts
from tests.lab.cache import Cache


def part(cache: Cache, name: str, key: str) -> Path:
    return cache.get(name, key, lambda into: (into / "x").touch())


def test_a_checkout_uses_what_it_used_last_by_each_name(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    old, new, disk = part(cache, "kernel", "1"), part(cache, "kernel", "2"), part(cache, "rootfs", "1")
    checkouts.note(cache, tmp_path, [old, disk])
    assert checkouts.users(cache) == {tmp_path: {old, disk}}
    checkouts.note(cache, tmp_path, [new])
    assert checkouts.users(cache) == {tmp_path: {new, disk}}


def test_a_checkout_that_is_gone_uses_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    gone = tmp_path / "gone"
    gone.mkdir()
    for checkout in (gone, tmp_path):
        checkouts.note(cache, checkout, [part(cache, "kernel", "1")])
    gone.rmdir()
    assert set(checkouts.users(cache)) == {tmp_path}
    checkouts.forget_those_gone(cache)
    assert len(list((cache.root / "users").iterdir())) == 1


def test_prune_removes_what_nobody_uses_and_says_what_it_leaves(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    # This checkout used it, and has changed since; another one still uses its own.
    outdated, others, nobodys = (part(cache, "kernel", key) for key in ("1", "2", "3"))
    checkouts.note(cache, CHECKOUT, [outdated])
    other = tmp_path / "other"
    other.mkdir()
    checkouts.note(cache, other, [others])
    (cache.root / "clusters/lab").mkdir(parents=True)
    (cache.root / "clusters/lab/plan.json").write_text('{"nodes": "dra')
    listed = lab("cache", env={"THERMOCLINE_CACHE": str(cache.root)}).text.splitlines()
    assert [line.split("  ")[-1] for line in listed] == ["not used", f"used by {other}", "not used"]
    pruned = lab("cache", "prune", env={"THERMOCLINE_CACHE": str(cache.root)})
    assert pruned.err == f"lab: removed {outdated.name}\nlab: removed {nobodys.name}\n"
    assert pruned.text.split() == ["1", "MiB", str(others), "used", "by", str(other)]
    assert cache.entries() == [others]
