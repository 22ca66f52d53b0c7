"""Watches: what is asked of an API server that answers, is silent, forgets or refuses, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import cast

import pytest

from thermocline_agent.cluster.api import Api, ApiError, Expired, Listing, Resource, Silent
from thermocline_agent.cluster.objects import Raw
from thermocline_agent.cluster.watch import Watch

Told = Listing | list[Raw | ApiError]


@dataclass
class Script:
    """An Api that answers as it is told: lists and watches, each once; at the end of the last the watch is stopped."""

    answers: list[Told]
    asked: list[str] = field(default_factory=list)
    on_end: Callable[[], None] = lambda: None

    def list(self, _resource: Resource) -> Listing:
        self.asked.append("list")
        found = self.answers.pop(0)
        assert isinstance(found, Listing), "it was to be watched"
        return found

    def watch(self, _resource: Resource, version: str, **_: object) -> Generator[Raw, None, None]:
        self.asked.append(version)
        found = self.answers.pop(0)
        assert not isinstance(found, Listing), "it was to be listed"
        for each in found:
            if isinstance(each, ApiError):
                raise each
            yield each
        if not self.answers:
            self.on_end()


@dataclass
class Seen:
    """A Keeper that remembers."""

    said: list[str] = field(default_factory=list)

    def replace(self, items: tuple[Raw, ...]) -> None:
        self.said.append(f"all {[each['metadata']['name'] for each in items]}")

    def put(self, item: Raw) -> None:
        self.said.append(f"put {item['metadata']['name']}")

    def remove(self, item: Raw) -> None:
        self.said.append(f"remove {item['metadata']['name']}")

    def heard(self) -> None:
        self.said.append("heard")


def event(kind: str, version: int, name: str = "n1") -> Raw:
    return {"type": kind, "object": {"metadata": {"name": name, "resourceVersion": str(version)}}}


def item(name: str) -> Raw:
    return {"metadata": {"name": name}}


@pytest.mark.parametrize(
    ("answers", "asked", "said"),
    [
        (
            [
                Listing((item("n1"),), "5"),
                [event("MODIFIED", 6), event("BOOKMARK", 9)],
                [event("DELETED", 10)],
            ],
            ["list", "5", "9"],
            ["all ['n1']", "heard", "put n1", "heard", "heard", "remove n1", "heard"],
        ),
        (
            [Listing((), "5"), [ApiError("cut")], [event("BOOKMARK", 5), event("ADDED", 7)]],
            ["list", "5", "5"],
            ["all []", "heard", "heard", "put n1", "heard"],
        ),
        (
            [Listing((), "5"), [Expired("410")], Listing((item("n1"),), "20"), [event("BOOKMARK", 21)]],
            ["list", "5", "list", "20"],
            ["all []", "heard", "all ['n1']", "heard", "heard"],
        ),
        (
            [Listing((), "5"), [Silent("nothing")], Listing((), "6"), []],
            ["list", "5", "list", "6"],
            ["all []", "heard", "all []", "heard"],
        ),
        # An API server of before, or etcd restored from a copy: neither is believed before a list says the same.
        (
            [
                Listing((item("n1"),), "50"),
                [event("MODIFIED", 30)],
                Listing((item("n1"),), "31"),
                [event("MODIFIED", 32)],
            ],
            ["list", "50", "list", "31"],
            ["all ['n1']", "heard", "all ['n1']", "heard", "put n1", "heard"],
        ),
        (
            [
                Listing((), "50"),
                [{"type": "MODIFIED", "object": ["x"]}],
                Listing((), "51"),
                [{"object": {}}],
                Listing((), "52"),
                [],
            ],
            ["list", "50", "list", "51", "list", "52"],
            ["all []", "heard"] * 3,
        ),
    ],
    ids=["goes on", "broken", "expired", "silent", "back in time", "no object"],
)
def test_a_watch_goes_on_or_lists_anew(answers: list[Told], asked: list[str], said: list[str]) -> None:
    script, seen = Script(list(answers)), Seen()
    watch = Watch(cast("Api", script), Resource("/x"), seen, chance=lambda: 0.0)
    script.on_end = watch.stop
    watch.run()
    assert (script.asked, seen.said) == (asked, said)
