"""Parts appear whole or not at all, are built once, and only left-overs are swept."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.lab.cache import Cache, default_root, digest, locked_folder


def test_a_part_is_built_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    built: list[Path] = []

    def build(into: Path) -> None:
        built.append(into)
        (into / "file").write_text("content")

    first = cache.get("kernel", "0123", build)
    assert cache.get("kernel", "0123", build) == first
    assert (first / "file").read_text() == "content"
    assert len(built) == 1


def test_two_at_once_build_it_once(tmp_path: Path) -> None:
    built: list[str] = []
    waited: list[str] = []

    def build(into: Path) -> None:
        built.append(into.name)
        time.sleep(0.2)

    def get() -> None:
        Cache(tmp_path).get("kernel", "0123", build, waiting=lambda: waited.append("x"))

    threads = [threading.Thread(target=get) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert len(waited) == 2


def test_a_build_that_fails_leaves_no_part_and_the_next_one_starts_afresh(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def fail(into: Path) -> None:
        (into / "half").touch()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cache.get("kernel", "0123", fail)
    assert cache.entries() == list((tmp_path / "tmp").iterdir()) == []

    def build(into: Path) -> None:
        assert list(into.iterdir()) == []

    assert cache.get("kernel", "0123", build).exists()
    assert list((tmp_path / "tmp").iterdir()) == []


KILLED = """
import sys, time
from pathlib import Path
from tests.lab.cache import Cache
def build(into):
    (into / "half").touch()
    print("building", flush=True)
    time.sleep(60)
Cache(Path(sys.argv[1])).get("kernel", "0123", build)
"""


def test_a_killed_build_blocks_nobody(tmp_path: Path) -> None:
    victim = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE)
    assert victim.stdout is not None
    assert victim.stdout.readline() == b"building\n"
    victim.kill()
    victim.wait()
    victim.stdout.close()
    path = Cache(tmp_path).get("kernel", "0123", lambda into: (into / "whole").touch())
    assert [file.name for file in path.iterdir()] == ["whole"]


def test_prune_keeps_what_is_used(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    old = cache.get("kernel-debug", "0000", lambda into: (into / "x").touch())
    new = cache.get("kernel-debug", "1111", lambda into: (into / "x").touch())
    (tmp_path / "tmp" / "rootfs-2222").mkdir()
    assert cache.prune(frozenset({new})) == [old]
    assert cache.entries() == [new]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_key_depends_on_names_modes_and_content(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / "a"
    file.write_text("1")
    keys = {digest(folder)}
    file.write_text("2")
    keys.add(digest(folder))
    file.chmod(0o755)
    keys.add(digest(folder))
    file.rename(folder / "b")
    keys.add(digest(folder))
    keys.add(digest(folder, "word"))
    assert len(keys) == 5
    assert digest("ab", "c") != digest("a", "bc")


def test_a_running_nodes_folder_is_left_alone_and_a_dead_ones_is_swept(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    dead = tmp_path / "run" / "node-dead"
    dead.mkdir()
    with locked_folder(cache, "node") as first:
        assert not dead.exists()
        with locked_folder(cache, "node"):
            assert first.exists()
    assert list((tmp_path / "run").iterdir()) == []


def test_the_cache_follows_the_xdg_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THERMOCLINE_CACHE", "/somewhere")
    assert default_root() == Path("/somewhere")
    monkeypatch.delenv("THERMOCLINE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_root() == Path("/cache/thermocline")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_root() == Path("/home/me/.cache/thermocline")
