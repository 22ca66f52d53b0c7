"""The operator as a process: kopf's watches in the main thread, the loop and the lease's keeper beside it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import kopf
import yaml

from thermocline_api.schema import Schema, crd_text
from thermocline_operator import metrics
from thermocline_operator.apply import Api, ApiError, configure
from thermocline_operator.cache import Cache, Unreadable
from thermocline_operator.clock import Clock
from thermocline_operator.lease import EtcdRestored, Lease
from thermocline_operator.loop import Loop
from thermocline_operator.reconcile import NotActing, Reconciler
from thermocline_operator.serve import serving
from thermocline_operator.state import Kind
from thermocline_operator.watch import Watch

_log: Final = logging.getLogger(__name__)
# A decision may need what the one before has written: a revision, then nodes.
_ONCE_ROUNDS: Final = 5
_END_SECONDS: Final = 30.0
_WATCHES_END_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    namespace: str
    identity: str
    kubeconfig: Path | None = None
    listen: tuple[str, int] = ("", 8080)


class Failed(Exception):
    """The operator ended because it could not go on."""


@dataclass(slots=True)
class _Ending:
    """Ends the watches, and knows why. A flag of threading would keep a thread of asyncio's waiting for ever."""

    why: Exception | None = None
    _flag: asyncio.Event | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    def flag(self) -> asyncio.Event:
        """What kopf waits for; asked for inside of its event loop."""
        self._loop, self._flag = asyncio.get_running_loop(), asyncio.Event()
        return self._flag

    def on_lease_error(self, err: Exception) -> None:
        """What became of a renewal."""
        metrics.FAILURES.labels("lease").inc()
        _log.warning("the lease could not be renewed: %s", err)
        if isinstance(err, EtcdRestored):
            # Nothing that is known is of this time: begin again, with a listing.
            self.why = err
            if self._loop is not None and self._flag is not None:
                self._loop.call_soon_threadsafe(self._flag.set)


def policy_schema() -> Schema:
    """The schema that policies are judged by."""
    return Schema.of(yaml.safe_load(crd_text(Kind.POLICY)))


def run(options: Options) -> None:
    """Run until SIGTERM. Raises Failed when something else ended it, and ApiError without a way to an API server."""
    configuration = configure(options.kubeconfig)
    cache = Cache(policy_schema())
    api = Api(configuration, options.namespace)
    lease = Lease(api, options.identity)
    reconciler = Reconciler(api, cache, lease, Clock())
    loop = Loop(reconciler)
    cache.on_change = loop.dirty.set
    watch = Watch(cache, lambda: configure(options.kubeconfig), api.is_served)
    ending = _Ending()
    keeper = _Keeper(lease, ending)
    beats = {
        "the loop": lambda: loop.beat_at,
        "the lease": lambda: keeper.beat_at,
        "watches": lambda: watch.beat_at,
    }
    try:
        with serving(options.listen, beats), _thread(keeper.run, keeper.stop), _thread(loop.run, loop.stop):
            try:
                # Not by asyncio.run, which would wait for the watches that kopf could not end.
                asyncio.new_event_loop().run_until_complete(watch_kinds(watch, options, ending))
            except Exception as err:
                raise Failed(f"the watches ended: {err!r}") from err
    finally:
        reconciler.close()
        _release(lease)
    if ending.why is not None:
        raise Failed(str(ending.why)) from ending.why


async def watch_kinds(watch: Watch, options: Options, ending: _Ending) -> None:
    """Watch until told to end. Raises what ended a watch, and RuntimeError when kopf does not end after that.

    When one watch has failed kopf ends the others before it says so, and one that was about to ask again may have
    missed it: then nothing is watched any more, or not all, and kopf waits for ever.
    """
    # Without an identity kopf makes one of the user's name, and a pod's user need not have any. Its type is private.
    identity: Any = options.identity
    operator = asyncio.ensure_future(
        kopf.operator(
            registry=watch.registry(),
            identity=identity,
            namespaces=[options.namespace],
            standalone=True,
            stop_flag=ending.flag(),
        )
    )
    # As many as there ever were: one may have failed before all have begun.
    most, complete_at = 0, time.monotonic()
    while not (await asyncio.wait({operator}, timeout=_LOOK_SECONDS))[0]:
        watchers = watch.watchers()
        most = max(most, watchers)
        if watchers == most and watchers in (0, len(Kind)):
            complete_at = time.monotonic()
        elif time.monotonic() - complete_at > _WATCHES_END_SECONDS:
            raise RuntimeError("a watch has ended, and kopf has not: the log says why")
    operator.result()


def run_once(options: Options) -> int:
    """List, decide, write, and end; returns how many writes there were. Raises Failed, and ApiError."""
    api = Api(configure(options.kubeconfig), options.namespace)
    lease = Lease(api, options.identity)
    if not lease.renew():
        raise Failed(
            f"another operator holds the lease in namespace {options.namespace}: end it, or wait for it to expire"
        )
    cache = Cache(policy_schema())
    reconciler = Reconciler(api, cache, lease, Clock())
    keeper = _Keeper(lease, _Ending())
    try:
        # In a large cluster a pass takes longer than a lease that is not renewed.
        with _thread(keeper.run, keeper.stop):
            reconciler.clock.set(api.time())
            _list(api, cache)
            return _reconcile_once(reconciler)
    finally:
        reconciler.close()
        _release(lease)


def _list(api: Api, cache: Cache) -> None:
    for kind in Kind:
        for raw in api.objects(kind):
            try:
                cache.put(kind, raw)
            except Unreadable as err:
                _log.warning("an object could not be read: %s", err)


def _reconcile_once(reconciler: Reconciler) -> int:
    written = 0
    for _ in range(_ONCE_ROUNDS):
        try:
            outcome = reconciler.reconcile()
        except NotActing as err:
            raise Failed(f"the lease was lost after {written} writes: run it again") from err
        written += outcome.written
        if outcome.failed:
            raise Failed(f"{outcome.failed} reads or writes failed, {written} did not: the log says why")
        if not outcome.written:
            break
    return written


@dataclass(slots=True)
class _Keeper:
    """Renews the lease in a thread of its own."""

    lease: Lease
    ending: _Ending
    beat_at: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Renew until stopped."""
        self.lease.keep(self.ending.on_lease_error, self._beat)

    def stop(self) -> None:
        """End renewing."""
        self.lease.stop()

    def _beat(self) -> None:
        self.beat_at = time.monotonic()


def _release(lease: Lease) -> None:
    try:
        lease.release()
    except ApiError as err:
        _log.warning("the lease was not released, and expires: %s", err)


@contextmanager
def _thread(target: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=target, name=target.__qualname__, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(_END_SECONDS)
