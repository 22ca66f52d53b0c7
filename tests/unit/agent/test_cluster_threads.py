"""The threads that watch and write go on after what nobody expected."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from thermocline_agent.cluster.api import Api, Listing, Resource
from thermocline_agent.cluster.watch import Watch
from thermocline_agent.cluster.writer import Writer
from thermocline_api.node import NodeStatus


class Server:
    """Answers well, but for the first time."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = threading.Event()

    def list(self, _: Resource) -> Listing:
        self._ask()
        return Listing((), "1")

    def apply(self, *_: Any) -> dict[str, Any]:
        self._ask()
        return {}

    def watch(self, *_: Any, **__: Any) -> Iterator[Any]:
        yield from ()

    def _ask(self) -> None:
        self.asked += 1
        if self.asked == 1:
            raise RuntimeError("nobody expected this")
        self.answered.set()


class Keeper:
    """Hears that there is nothing."""

    def replace(self, items: tuple[Any, ...]) -> None:
        assert items == ()

    def put(self, item: Any) -> None: ...

    def remove(self, item: Any) -> None: ...

    def heard(self) -> None: ...


def test_a_watch_says_so_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    watch = Watch(cast("Api", server), Resource("/things"), Keeper(), chance=lambda: 0.0)
    watch.start()
    try:
        assert server.answered.wait(30)
    finally:
        watch.stop()
    assert "the watch of /things failed: listing anew" in caplog.text


def test_a_writer_says_so_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    writer = Writer(cast("Api", server), "/things/n1", "n1", clock=lambda: 0.0, chance=lambda: 0.0)
    writer.start()
    writer.meet("uid", NodeStatus())
    writer.publish(NodeStatus(policy="p"))
    try:
        assert server.answered.wait(30)
    finally:
        writer.close()
    assert "the status could not be written" in caplog.text
