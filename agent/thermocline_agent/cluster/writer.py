"""Writes a node's status, in a thread of its own: what is published last, when it is worth a write (writing.py)."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Final

from thermocline_agent.cluster import writing
from thermocline_agent.cluster.api import Api, ApiError
from thermocline_agent.cluster.backoff import Backoff
from thermocline_agent.cluster.writing import Written
from thermocline_api.node import KIND, NodeStatus
from thermocline_api.schema import API_VERSION

_log: Final = logging.getLogger(__name__)
_END_SECONDS: Final = 5.0


class Writer:
    """Safe to use from several threads."""

    def __init__(
        self,
        api: Api,
        path: str,
        node: str,
        clock: Callable[[], float],
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`path` is that of the object, `node` its name; `clock` is monotonic."""
        self._api, self._path, self._node, self._clock = api, path, node, clock
        self._lock = threading.Condition()
        self._uid: str | None = None
        self._before = NodeStatus()
        self._status: NodeStatus | None = None
        self._written: Written | None = None
        self._ends = False
        # A number of its own, so that agents that began together do not write together.
        self._chance, self._own_chance = chance, chance()
        self._thread = threading.Thread(target=self._run, name="status", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def publish(self, status: NodeStatus) -> None:
        """Have it written, unless another comes before that."""
        with self._lock:
            self._status = writing.continued(status, self._status or self._before)
            self._lock.notify_all()

    def meet(self, uid: str | None, before: NodeStatus) -> None:
        """Another object of the name, or the first one seen, or none: what it says of the node so far."""
        with self._lock:
            self._uid, self._before, self._written = uid, before, None
            if self._status is not None:
                self._status = writing.continued(self._status, before)
            self._lock.notify_all()

    def close(self) -> None:
        """End; what was not written is left."""
        with self._lock:
            self._ends = True
            self._lock.notify_all()
        if self._thread.is_alive():
            self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        backoff = Backoff()
        while (due := self._wait()) is not None:
            uid, status, is_change = due
            began = self._clock()
            try:
                self._write(uid, status)
            except ApiError as err:
                backoff = backoff.failed()
                _log.warning("the status was not written: %s", err)
                self._pause(backoff.pause_seconds(self._chance(), err.pause_seconds))
                continue
            except Exception:  # noqa: BLE001 - a writer that ended would be an agent that is silent
                backoff = backoff.failed()
                _log.exception("the status could not be written")
                self._pause(backoff.pause_seconds(self._chance(), None))
                continue
            backoff = Backoff()
            with self._lock:
                if self._uid == uid:
                    self._written = writing.after(self._written, status, began, is_change=is_change)

    def _wait(self) -> tuple[str, NodeStatus, bool] | None:
        """Wait until there is something to write: to which object, what, and whether it is a change. None: the end."""
        with self._lock:
            while not self._ends:
                pause = None
                if self._status is not None and self._uid is not None:
                    decision = writing.decide(self._status, self._written, self._clock(), self._own_chance)
                    if decision.write:
                        return self._uid, self._status, decision.is_change
                    pause = decision.wait_seconds or None
                self._lock.wait(pause)
        return None

    def _pause(self, seconds: float) -> None:
        with self._lock:
            self._lock.wait_for(lambda: self._ends, seconds)

    def _write(self, uid: str, status: NodeStatus) -> None:
        # With the UID: a status is never written to another object of the name.
        meta = {"name": self._node, "uid": uid}
        manifest = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": meta,
            "status": writing.fitted(status),
        }
        self._api.apply(f"{self._path}/status", manifest)
