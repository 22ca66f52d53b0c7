"""The loop: reconcile when something has changed, when something is due, and after a failure."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from thermocline_operator import metrics
from thermocline_operator.apply import ApiError
from thermocline_operator.health import SILENCE
from thermocline_operator.reconcile import NotActing, Reconciler
from thermocline_operator.state import Doubt, Kind

_log: Final = logging.getLogger(__name__)
# Watches bring changes in bursts. In a large cluster there is always one, and a decision takes its time: no more than
# a fifth of a CPU.
_SETTLE_SECONDS: Final = 0.1
_IDLE_SHARE: Final = 4.0
_IDLE_SECONDS: Final = 60.0
_STANDBY_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
_FAILED_SECONDS: Final = 1.0
# How long watches have to bring what is there, before it is asked for.
_CATCH_UP_SECONDS: Final = 20.0
_VERIFY_SECONDS: Final = 300.0
_MOST_VERIFIED: Final = 100


@dataclass(slots=True)
class Loop:
    """Runs in a thread of its own until `stop`."""

    reconciler: Reconciler
    dirty: threading.Event = field(default_factory=threading.Event)
    beat_at: float = field(default_factory=time.monotonic)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _is_acting: bool = False
    _failures: int = 0
    _settle_seconds: float = _SETTLE_SECONDS
    _verified_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        # Writes to thousands of nodes take longer than a loop may that makes no progress.
        self.reconciler.on_progress = self._beat

    def stop(self) -> None:
        """End the loop; what is being written is written."""
        self._stopped.set()
        self.dirty.set()

    def run(self) -> None:
        """Wait, act, and again."""
        while not self._stopped.is_set():
            self._beat()
            self.dirty.clear()
            self._wait(self._turn())

    def _beat(self) -> None:
        self.beat_at = time.monotonic()

    def _turn(self) -> float:
        """Do what is to be done now; returns for how many seconds nothing is, unless something changes."""
        try:
            if not self._is_acting:
                self._catch_up()
            with metrics.RECONCILES.time():
                outcome = self.reconciler.reconcile()
            self._verify()
        except NotActing:
            self._is_acting = False
            metrics.ACTING.set(0)
            metrics.tell_policies({})
            return _STANDBY_SECONDS
        except ApiError as err:
            _log.warning("not now: %s", err)
            return self._backoff()
        except Exception:  # noqa: BLE001 - a loop that ended would be a silent operator
            _log.exception("a reconcile failed")
            return self._backoff()
        if outcome.failed:
            return self._backoff()
        self._failures = 0
        self._settle_seconds = max(_SETTLE_SECONDS, _IDLE_SHARE * outcome.deciding_seconds)
        if outcome.wake_at is None:
            return _IDLE_SECONDS
        return min(_IDLE_SECONDS, (outcome.wake_at - self.reconciler.clock.now()).total_seconds())

    def _catch_up(self) -> None:
        """Become the one that acts: wait until everything is known that there was when we took the lease.

        Whoever held it before may have written what the watches have not brought yet, and a watch's own listing
        may have been cut short. What is known beyond that is new, or of a time before etcd was restored: it is
        read. Raises ApiError.
        """
        if not self.reconciler.lease.is_held:
            raise NotActing
        api, cache = self.reconciler.api, self.reconciler.cache
        self.reconciler.clock.set(api.time())
        listed = {Doubt(kind, name): version for kind in Kind for name, version in api.versions(kind).items()}
        deadline = time.monotonic() + _CATCH_UP_SECONDS
        while missing := [
            doubt
            for doubt, version in listed.items()
            if (cache.version(doubt.kind, doubt.name) or 0) < version
        ]:
            self._beat()
            if self._stopped.is_set() or not self.reconciler.lease.is_held:
                raise NotActing
            if time.monotonic() > deadline:
                _log.warning("watches did not bring %d objects in time: reading them", len(missing))
                self._read(missing)
                break
            time.sleep(_SETTLE_SECONDS)
        self._read([doubt for doubt, version in cache.versions().items() if version > listed.get(doubt, 0)])
        self._is_acting = True
        metrics.ACTING.set(1)
        counts = Counter(doubt.kind for doubt in listed)
        _log.info("acting, with %s", ", ".join(f"{counts[kind]} {kind}s" for kind in Kind))

    def _read(self, doubts: Sequence[Doubt]) -> None:
        self.reconciler.settle(doubts)
        # One that makes no sense is none that we know, and must not keep us from acting on the others.
        if self.reconciler.unanswered(doubts):
            raise ApiError("some objects could not be read")

    def _verify(self) -> None:
        """Now and then, read what a watch that missed something leaves behind: policies, revisions, silent nodes."""
        if time.monotonic() - self._verified_at < _VERIFY_SECONDS:
            return
        self._verified_at = time.monotonic()
        known, now = self.reconciler.cache.snapshot(), self.reconciler.clock.now()
        doubts = [Doubt(Kind.POLICY, name) for name in known.policies]
        silent = [
            name
            for name, each in known.tier_nodes.items()
            if each.report is None or each.report.heard_at + SILENCE <= now
        ]
        doubts += [Doubt(Kind.REVISION, name) for name in known.revisions]
        # Not the same ones each time: there may be more.
        for name in random.sample(silent, min(len(silent), _MOST_VERIFIED)):
            doubts += [Doubt(Kind.NODE, name), Doubt(Kind.TIER_NODE, name)]
        self.reconciler.settle(doubts)

    def _wait(self, seconds: float) -> None:
        if self.dirty.wait(max(_SETTLE_SECONDS, seconds)):
            self._stopped.wait(self._settle_seconds)

    def _backoff(self) -> float:
        """Longer with every failure. What changes meanwhile, of another object maybe, waits for a second at most."""
        metrics.FAILURES.labels("reconcile").inc()
        self._failures += 1
        pause = _RETRY_SECONDS[min(self._failures, len(_RETRY_SECONDS)) - 1]
        self._stopped.wait(min(pause, _FAILED_SECONDS))
        return max(0.0, pause - _FAILED_SECONDS)
