"""One node's agent in a cluster: follows its MemoryTierNode, knows its pods, and writes its status.

Three watches (its own object, the pods of its node, namespaces) and a writer, each in a thread; the loop asks and is
answered from memory. Only the watch of its own object says whether the API server is heard.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from thermocline_agent.assignment import Assignment, Pod
from thermocline_agent.cluster import standing
from thermocline_agent.cluster.api import Api, Missing, Resource
from thermocline_agent.cluster.objects import Raw
from thermocline_agent.cluster.pods import Register
from thermocline_agent.cluster.standing import TTL_SECONDS, Standing
from thermocline_agent.cluster.watch import Patience, Watch
from thermocline_agent.cluster.writer import Writer
from thermocline_agent.moves import FIRST_PROMOTION, Reason
from thermocline_agent.report import Report
from thermocline_api import __version__
from thermocline_api.codec import decode
from thermocline_api.conditions import Condition, Status
from thermocline_api.node import NodeCondition, NodeStatus
from thermocline_api.schema import GROUP, VERSION, Schema

_log: Final = logging.getLogger(__name__)
_OBJECTS: Final = f"/apis/{GROUP}/{VERSION}/memorytiernodes"
# So many rounds in a row that plan no promotion say that nothing more comes back.
_BACK_ROUNDS: Final = 3


def elapsed() -> float:
    """Seconds that also pass while the machine sleeps, and that no clock's setting changes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Options:
    """Which node, and for how long what it was told holds while the API server says nothing."""

    node: str
    ttl_seconds: float = TTL_SECONDS
    patience: Patience = field(default_factory=Patience)


class NodeClient:
    """A PolicySource and a StatusSink. Safe to use from several threads."""

    def __init__(
        self, api: Api, schema: Schema, options: Options, clock: Callable[[], float] = elapsed
    ) -> None:
        self._api, self._schema, self._options, self._clock = api, schema, options, clock
        self._path = f"{_OBJECTS}/{quote(options.node, safe='')}"
        self._lock = threading.Lock()
        self._standing = Standing()
        self._heard_at: float | None = None
        self._heard = threading.Event()
        self._idle_rounds = 0
        self._register = Register()
        self._writer = Writer(api, self._path, options.node, clock)
        node, patience = options.node, options.patience
        own = Resource(_OBJECTS, f"metadata.name={node}")
        pods = Resource("/api/v1/pods", f"spec.nodeName={node}", whole=False)
        namespaces = Resource("/api/v1/namespaces", whole=False)
        self.watches = (
            Watch(api, own, self, patience),
            Watch(api, pods, self._register.pods, patience),
            Watch(api, namespaces, self._register.namespaces, patience),
        )

    def start(self) -> None:
        """Begin to watch and to write."""
        for watch in self.watches:
            watch.start()
        self._writer.start()

    def wait(self, seconds: float) -> bool:
        """Wait until the API server was heard for the first time; whether it was."""
        return self._heard.wait(seconds)

    def current(self) -> Assignment:
        """See PolicySource."""
        now = self._clock()
        with self._lock:
            unheard = None if self._heard_at is None else now - self._heard_at
            return standing.assignment(self._standing, unheard, self._options.ttl_seconds, now)

    def pods(self) -> Mapping[str, Pod]:
        """See PolicySource. Empty until the API server has told."""
        return self._register.known()

    def publish(self, report: Report) -> None:
        """See StatusSink."""
        rises = any(Reason[each.reason] >= FIRST_PROMOTION for each in report.last.planned)
        with self._lock:
            self._idle_rounds = 0 if rises else self._idle_rounds + 1
            if self._idle_rounds > _BACK_ROUNDS:
                self._standing = standing.left(self._standing)
            status = _completed(report.status, self._standing)
        self._writer.publish(status)

    def close(self) -> None:
        """See StatusSink. What was not written is left: the next agent tells of itself."""
        for watch in self.watches:
            watch.stop()
        self._writer.close()

    # Its own watch's keeper.

    def replace(self, items: tuple[Raw, ...]) -> None:
        """See Keeper. A list that lacks the object says nothing: it is asked for by name."""
        found = [each for each in items if each["metadata"]["name"] == self._options.node]
        if found:
            self.put(found[0])
            return
        try:
            self.put(self._api.get(self._path))
        except Missing:
            self._learn(standing.gone(self._standing, self._clock()), NodeStatus())

    def put(self, item: Raw) -> None:
        """See Keeper."""
        found = standing.told(self._standing, item, self._schema, self._clock())
        self._learn(found, _status_of(item))

    def remove(self, item: Raw) -> None:
        """See Keeper."""
        if item["metadata"]["uid"] == self._standing.uid:
            self._learn(standing.gone(self._standing, self._clock()), NodeStatus())

    def heard(self) -> None:
        """See Keeper."""
        with self._lock:
            self._heard_at = self._clock()
        self._heard.set()

    def _learn(self, found: Standing, before: NodeStatus) -> None:
        """Follow what was read, by the only thread that reads."""
        with self._lock:
            known, self._standing = self._standing, found
            if found.leaving is not known.leaving:
                self._idle_rounds = 0
        if found.uid != known.uid:
            self._writer.meet(found.uid, before)
        if found.problem is not None and found.problem != known.problem:
            _log.warning("what this node was given is not followed: %s", found.problem)


def _completed(status: NodeStatus, following: Standing) -> NodeStatus:
    """The loop's status, and what only its source knows: whether what the node was given can be followed."""
    if following.problem is not None:
        told = Status.FALSE, "Invalid", f"What was valid before stays in force: {following.problem}"
    elif following.leaving is not None:
        told = Status.TRUE, "BringingBack", "The policy is gone, and its onDelete is PromoteBack."
    else:
        told = Status.TRUE, "Valid", "What spec says is followed."
    accepted = Condition(NodeCondition.ACCEPTED, *told, datetime.now(UTC), following.generation)
    return replace(status, agent_version=__version__, conditions=(accepted, *status.conditions))


def _status_of(raw: Raw) -> NodeStatus:
    """What an agent before this one reported: since when its conditions hold. Nothing where it cannot be read."""
    try:
        return decode(NodeStatus, raw.get("status") or {})
    except (KeyError, TypeError, ValueError, AttributeError):
        return NodeStatus()
