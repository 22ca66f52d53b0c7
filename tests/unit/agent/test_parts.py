"""Which source and which engine are used, as they come, fail and go."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.agent.rounds import LRU, PAGES, plant, write
from thermocline_agent.frames import Frames
from thermocline_agent.parts import Parts
from thermocline_agent.probe import Capability
from thermocline_api.settings import Engine, Hotness, Source
from thermocline_kernel.host import Host

FRAMES = (Frames(0, PAGES),)


def capability(kind: Any, name: str, *, available: bool = True) -> Capability:
    return Capability(kind, name, available, "" if available else "NotInKernel", "" if available else "no")


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    host = plant(tmp_path)
    write(host, {5: ("work", LRU)})
    made = Parts(host, tmp_path / "feed.sock")
    made.capabilities = (
        capability("Source", "Damon", available=False),
        capability("Source", "IdlePage"),
        capability("Source", "Referenced"),
        capability("Engine", "PhysicalCall"),
        capability("Engine", "Damon"),
        capability("Engine", "MovePages"),
    )
    return made


def hotness(*sources: Source) -> Hotness:
    return Hotness(sources, 10.0, 1.0)


def test_the_first_source_that_is_there_and_starts_is_used(parts: Parts) -> None:
    wanted = hotness(Source.DAMON, Source.IDLE_PAGE, Source.REFERENCED)
    # This machine of fakes says that it has idle bits, and has none.
    assert parts.use_source(FRAMES, wanted, 0.0)
    assert parts.source is not None
    assert parts.source.name == "Referenced"
    assert parts.hindrance("Source", "Damon", 0.0) == ("NotInKernel", "no")
    assert parts.hindrance("Source", "IdlePage", 0.0)[0] == "Failed"  # type: ignore[index]
    assert not parts.use_source(FRAMES, wanted, 10.0)
    told = {each.name: each for each in parts.told(10.0) if each.kind == "Source"}
    assert (told["IdlePage"].available, told["IdlePage"].reason) == (False, "Failed")


def test_a_source_begins_anew_with_other_memory_or_another_interval(parts: Parts) -> None:
    wanted = hotness(Source.REFERENCED)
    assert parts.use_source(FRAMES, wanted, 0.0)
    assert not parts.use_source(FRAMES, wanted, 1.0)
    assert parts.use_source((Frames(0, 512),), wanted, 2.0)
    assert parts.use_source((Frames(0, 512),), Hotness((Source.REFERENCED,), 5.0, 1.0), 3.0)


def test_what_fails_is_left_alone_for_longer_each_time(parts: Parts) -> None:
    for times, pause in enumerate((30.0, 60.0, 120.0)):
        now = 1000.0 * times
        parts.failed("Engine", "PhysicalCall", "broken", now)
        assert parts.hindrance("Engine", "PhysicalCall", now + pause - 1) == ("Failed", "broken")
        assert parts.hindrance("Engine", "PhysicalCall", now + pause) is None
    parts.worked("Engine", "PhysicalCall")
    parts.failed("Engine", "PhysicalCall", "broken", 0.0)
    assert parts.hindrance("Engine", "PhysicalCall", 30.0) is None


def test_engines_follow_the_list_and_come_back(parts: Parts) -> None:
    wanted = [str(each) for each in Engine]
    parts.use_engine(wanted, frozenset({0}), 0.0)
    assert parts.engine is not None
    assert parts.engine.name == "PhysicalCall"
    parts.failed("Engine", "PhysicalCall", "broken", 0.0)
    parts.use_engine(wanted, frozenset({0}), 1.0)
    assert parts.engine.name == "Damon"
    parts.use_engine(wanted, frozenset({0}), 31.0)
    assert parts.engine.name == "PhysicalCall"
    parts.use_engine([], frozenset({0}), 31.0)
    assert parts.engine is None


def test_damon_does_not_run_beside_idle_bits(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thermocline_agent.sources.idle_page.page_idle.mark", lambda *_: None)
    parts.use_source(FRAMES, hotness(Source.IDLE_PAGE), 0.0)
    assert parts.hindrance("Engine", "Damon", 0.0)[0] == "IdlePageInUse"  # type: ignore[index]
    parts.use_engine(["Damon", "MovePages"], frozenset({0}), 0.0)
    assert parts.engine is not None
    assert parts.engine.name == "MovePages"


def test_idle_bits_are_left_to_damon_where_nothing_else_moves_pages(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thermocline_agent.sources.idle_page.page_idle.mark", lambda *_: None)
    parts.wanted = {"Source": ["IdlePage", "Referenced"], "Engine": ["PhysicalCall", "Damon"]}
    parts.use_source(FRAMES, hotness(Source.IDLE_PAGE, Source.REFERENCED), 0.0)
    assert parts.source is not None
    assert parts.source.name == "IdlePage"
    # One that fails now and then is still there; heat is not thrown away for it.
    parts.failed("Engine", "PhysicalCall", "broken", 0.0)
    assert not parts.use_source(FRAMES, hotness(Source.IDLE_PAGE, Source.REFERENCED), 1.0)
    parts.capabilities = tuple(
        capability(each.kind, each.name, available=each.name in ("Damon", "IdlePage", "Referenced"))
        for each in parts.capabilities
    )
    assert parts.use_source(FRAMES, hotness(Source.IDLE_PAGE, Source.REFERENCED), 2.0)
    assert parts.source.name == "Referenced"
    assert parts.hindrance("Source", "IdlePage", 2.0)[0] == "DamonOnly"  # type: ignore[index]
    parts.use_engine(["PhysicalCall", "Damon"], frozenset({0}), 2.0)
    assert parts.engine is not None
    assert parts.engine.name == "Damon"
    # A weak source that fails is no reason to see nothing.
    parts.failed("Source", "Referenced", "broken", 3.0)
    assert parts.hindrance("Source", "IdlePage", 4.0) is None


def test_idle_bits_are_left_to_others_damon(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thermocline_agent.sources.idle_page.page_idle.mark", lambda *_: None)
    wanted = hotness(Source.DAMON, Source.IDLE_PAGE, Source.REFERENCED)
    others = parts.capabilities
    parts.use_source(FRAMES, wanted, 0.0)
    assert parts.source is not None
    assert parts.source.name == "IdlePage"
    parts.capabilities = (
        Capability("Source", "Damon", available=False, reason="DamonBusy", message="others"),
        *others[1:],
    )
    parts.use_source(FRAMES, wanted, 10.0)
    assert parts.source.name == "Referenced"
    assert parts.hindrance("Source", "IdlePage", 10.0)[0] == "DamonBusy"  # type: ignore[index]
    told = {each.name: each.message for each in parts.told(10.0) if each.kind == "Source"}
    assert "end it, or list Referenced" in told["IdlePage"]


def test_a_feed_is_used_as_soon_as_something_is_connected(parts: Parts, host_socket: Path) -> None:
    wanted = hotness(Source.FEED, Source.REFERENCED)
    parts.feed_path = host_socket
    parts.use_source(FRAMES, wanted, 0.0)
    assert parts.source is not None
    assert parts.source.name == "Referenced"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sender:
        sender.connect(str(host_socket))
        wait_for(lambda: parts.senders == 1)
        assert parts.use_source(FRAMES, wanted, 10.0)
        assert parts.source.name == "Feed"
    wait_for(lambda: parts.senders == 0)
    assert parts.use_source(FRAMES, wanted, 20.0)
    assert parts.source.name == "Referenced"
    assert host_socket.exists()
    parts.use_source(FRAMES, hotness(Source.REFERENCED), 30.0)
    assert not host_socket.exists()
    parts.close()


@pytest.fixture
def host_socket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A path short enough for a socket."""
    return tmp_path_factory.mktemp("f") / "s"


def wait_for(holds: Any) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_was_never_probed_is_not_used(tmp_path: Path) -> None:
    parts = Parts(Host(tmp_path, tmp_path), tmp_path / "feed.sock")
    assert not parts.use_source(FRAMES, hotness(Source.REFERENCED), 0.0)
    assert parts.hindrance("Source", "Referenced", 0.0) == ("Unknown", "this machine has not been probed")
