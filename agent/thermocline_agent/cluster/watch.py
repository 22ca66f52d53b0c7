"""Objects of one kind, kept current: listed once, then watched from there on.

A watch that ends, or breaks, goes on from the last version that it brought; only when that is no longer known (410),
a watch fell silent, or brought what is older than what was known, is there another list. Lists are read from etcd, so
what they say is true even when it is older (etcd restored from a copy); events are only believed when they are newer.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final, Protocol

from thermocline_agent.cluster.api import Api, ApiError, Expired, Listing, Resource, Silent
from thermocline_agent.cluster.backoff import Backoff
from thermocline_agent.cluster.objects import Raw, is_newer

_log: Final = logging.getLogger(__name__)


class Keeper(Protocol):
    """Who wants to know; called from the watch's thread.

    Where it raises AttributeError, KeyError, TypeError or ValueError it was told what is no object, and the objects are
    listed anew, later; so they are after an ApiError.
    """

    def replace(self, items: tuple[Raw, ...]) -> None:
        """All objects, as of now."""

    def put(self, item: Raw) -> None:
        """An object is new, or changed."""

    def remove(self, item: Raw) -> None:
        """An object is gone; as it was last."""

    def heard(self) -> None:
        """The API server said something, be it that nothing changed."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a watch lasts, and how long one may be silent. Servers send a bookmark about every minute."""

    server_seconds: int = 600
    silence_seconds: float = 150.0


@dataclass(slots=True)
class Watch:
    """One kind of objects. Runs in a thread of its own."""

    api: Api
    resource: Resource
    keeper: Keeper
    patience: Patience = field(default_factory=Patience)
    chance: Callable[[], float] = random.random
    lists: int = 0
    _version: str | None = None
    _backoff: Backoff = field(default_factory=Backoff)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self.run, name=f"watch {self.resource.path}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End soon. A watch that waits for its server ends with the process: its thread holds nothing else."""
        self._stopped.set()

    def run(self) -> None:
        """Keep current until stopped."""
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                if self._version is None:
                    self._list()
                self._watch(self._version or "")
            except (Expired, Silent) as err:
                # Both are told by a list; two in a row are a server that cannot keep up.
                _log.info("%s", err)
                self._version = None
                self._wait(err)
            except ApiError as err:
                _log.warning("%s", err)
                self._wait(err)
            except (AttributeError, KeyError, TypeError, ValueError) as err:
                _log.warning("%s brought what is no object: %r", self.resource.path, err)
                self._version = None
                self._wait(None)
            except Exception:  # noqa: BLE001 - a watch that ended would be an agent that hears nothing more
                _log.exception("the watch of %s failed: listing anew", self.resource.path)
                self._version = None
                self._wait(None)
            else:
                # A server that ends every watch at once is not asked as fast as it answers.
                if time.monotonic() - began < 1.0:
                    self._wait(None)

    def _list(self) -> None:
        found: Listing = self.api.list(self.resource)
        self.lists += 1
        self.keeper.replace(found.items)
        self.keeper.heard()
        self._version = found.version

    def _watch(self, version: str) -> None:
        events = self.api.watch(
            self.resource,
            version,
            server_seconds=self.patience.server_seconds,
            silence_seconds=self.patience.silence_seconds,
        )
        with closing(events):
            for event in events:
                if self._stopped.is_set():
                    return
                self._learn(event)
                self.keeper.heard()
                self._backoff = Backoff()

    def _learn(self, event: Raw) -> None:
        item = event["object"]
        version = str(item["metadata"]["resourceVersion"])
        if not is_newer(version, self._version):
            if version != self._version:
                raise Expired(f"{self.resource.path}: version {version} after {self._version}")
            return
        match event["type"]:
            case "ADDED" | "MODIFIED":
                self.keeper.put(item)
            case "DELETED":
                self.keeper.remove(item)
        self._version = version

    def _wait(self, err: ApiError | None) -> None:
        self._backoff = self._backoff.failed()
        asked = None if err is None else err.pause_seconds
        self._stopped.wait(self._backoff.pause_seconds(self.chance(), asked))
