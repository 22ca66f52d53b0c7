"""kopf's watches: what they bring goes into the cache, and nothing else is done.

Handlers are of on.event alone: any other kind would write annotations or finalizers to users' objects.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import kopf
from kubernetes import client

from thermocline_api.schema import GROUP, VERSION
from thermocline_operator import metrics
from thermocline_operator.apply import ApiError
from thermocline_operator.cache import Cache
from thermocline_operator.reading import MANAGED_BY
from thermocline_operator.state import Kind, Policy, TierNode

_log: Final = logging.getLogger(__name__)
_RESOURCES: Final = {
    Kind.POLICY: (GROUP, VERSION, "memorytierpolicies"),
    Kind.TIER_NODE: (GROUP, VERSION, "memorytiernodes"),
    Kind.NODE: ("", "v1", "nodes"),
    Kind.REVISION: ("apps", "v1", "controllerrevisions"),
}
_PAGE: Final = 500
# The API server ends a watch before the client gives it up for dead.
_SERVER_SECONDS: Final = 300
_CLIENT_SECONDS: Final = 330
_BEAT_SECONDS: Final = 5.0
_SERVED_SECONDS: Final = 1.0


@dataclass(slots=True)
class Watch:
    """What kopf watches, for a cache."""

    cache: Cache
    configure: Callable[[], client.Configuration]
    is_served: Callable[[Kind], bool]
    beat_at: float = field(default_factory=time.monotonic)
    _beating: asyncio.Task[None] | None = None

    def registry(self) -> kopf.OperatorRegistry:
        """The handlers."""
        registry = kopf.OperatorRegistry()
        kopf.on.startup(registry=registry)(self._start)
        kopf.on.login(registry=registry)(self._log_in)
        for kind, resource in _RESOURCES.items():
            kopf.on.event(*resource, registry=registry)(self._seen(kind))
        return registry

    def watchers(self) -> int:
        """How many kinds are watched: kopf has a task for each, which it gives this name."""
        names = [task.get_name() for task in asyncio.all_tasks()]
        return sum(name.startswith("watcher for ") for name in names)

    async def _start(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.watching.server_timeout = _SERVER_SECONDS
        settings.watching.client_timeout = _CLIENT_SECONDS
        settings.watching.chunk_size = _PAGE
        labels = ",".join(f"{key}={value}" for key, value in MANAGED_BY.items())
        settings.watching.label_selectors["controllerrevisions"] = labels
        self._beating = asyncio.create_task(self._beat())
        await self._await_kinds()

    async def _await_kinds(self) -> None:
        """Wait until the API server has all kinds: kopf looks for them once, and never watches what was not there."""
        told: list[Kind] = []
        while missing := [kind for kind in Kind if not await asyncio.to_thread(self._has, kind)]:
            if missing != told:
                _log.warning("waiting for an API server that serves %s", ", ".join(missing))
                told = missing
            await asyncio.sleep(_SERVED_SECONDS)

    def _has(self, kind: Kind) -> bool:
        try:
            return self.is_served(kind)
        except ApiError as err:
            _log.warning("not now: %s", err)
            return False

    async def _beat(self) -> None:
        while True:
            self.beat_at = time.monotonic()
            await asyncio.sleep(_BEAT_SECONDS)

    async def _log_in(self, **_: Any) -> kopf.ConnectionInfo:
        """Asked for again when the API server no longer takes a token: that of a pod is renewed every hour."""
        configuration = self.configure()
        header = configuration.get_api_key_with_prefix("BearerToken")
        *scheme, token = (header or "").split(" ")
        return kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            scheme=scheme[0] if scheme else None,
            token=token or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
        )

    def _seen(self, kind: Kind) -> Callable[..., Any]:
        async def seen(event: kopf.RawEvent, **_: Any) -> None:
            raw = event["object"]
            try:
                if event["type"] == "DELETED":
                    meta = raw["metadata"]
                    self.cache.remove(kind, meta["name"], version=int(meta["resourceVersion"]))
                elif self.cache.put(kind, raw):
                    _tell_problem(kind, raw["metadata"]["name"], self.cache)
            except (KeyError, ValueError) as err:
                metrics.FAILURES.labels("read").inc()
                _log.warning("an event could not be read: %s", err)

        return seen


def _tell_problem(kind: Kind, name: str, cache: Cache) -> None:
    """What is wrong with an object stands in its policy's status; a node need not have a policy."""
    entry = cache.known(kind, name)
    if entry is not None and isinstance(entry.value, Policy | TierNode) and entry.value.problem is not None:
        metrics.FAILURES.labels("read").inc()
        _log.warning("%s %s makes no sense: %s", kind, name, entry.value.problem)
