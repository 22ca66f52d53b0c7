"""The objects that are known, filled by watches, by what writes return, and by what was read to be certain.

What is older than what is known is passed over: resourceVersions of one kind can be compared (Kubernetes
KEP-5504), and a write's own answer comes back by the watch once more. Nothing is forgotten but on an event
that says so, or on a 404. What a GET answers is passed over if the watch brought something in the meantime, for
it would not bring that again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar, cast

from thermocline_api.schema import Schema
from thermocline_operator.reading import Raw, read_node, read_policy, read_revision, read_tier_node
from thermocline_operator.state import Doubt, Kind, Node, Policy, Revision, Snapshot, TierNode

T = TypeVar("T")
_MOST_SETTINGS: Final = 256
# Versions at which objects went are kept of so many, for answers that are under way.
_MOST_GONE: Final = 4096


class Unreadable(ValueError):
    """What the API server said is no object of the kind; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A known object, and its resourceVersion."""

    version: int
    value: Policy | Node | TierNode | Revision


@dataclass(slots=True)
class Cache:
    """Safe to use from several threads."""

    schema: Schema
    on_change: Callable[[], None] = field(default=lambda: None)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _entries: dict[Kind, dict[str, Entry]] = field(default_factory=lambda: {kind: {} for kind in Kind})
    _settings: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _gone: dict[tuple[Kind, str], int] = field(default_factory=dict)

    def put(self, kind: Kind, raw: Raw) -> bool:
        """Learn of an object, by a watch or as a write's answer; returns whether that says something new.

        Raises Unreadable.
        """
        name, entry = self._entry(kind, raw)
        with self._lock:
            known = self._entries[kind].get(name)
            if self._is_gone(kind, name, entry) or (known is not None and entry.version <= known.version):
                return False
            self._entries[kind][name] = entry
        return self._changed(known, entry)

    def settle(self, kind: Kind, name: str, raw: Raw | None, seen: Entry | None) -> bool:
        """Learn what a GET answered that was sent when `seen` was known; None: that there is no such object.

        It holds whatever its version, unless something was learnt of the object since. Returns and raises as put.
        """
        entry = None if raw is None else self._entry(kind, raw)[1]
        with self._lock:
            known = self._entries[kind].get(name)
            if known is not seen or (entry is not None and self._is_gone(kind, name, entry)):
                return False
            if entry is not None:
                self._entries[kind][name] = entry
            else:
                self._entries[kind].pop(name, None)
        return self._changed(known, entry)

    def remove(self, kind: Kind, name: str, *, version: int) -> None:
        """Learn that an object went at a version, after which another of the name may have come."""
        with self._lock:
            if len(self._gone) >= _MOST_GONE:
                self._gone.clear()
            self._gone[kind, name] = max(version, self._gone.get((kind, name), version))
            known = self._entries[kind].get(name)
            if known is None or version < known.version:
                return
            del self._entries[kind][name]
        self.on_change()

    def known(self, kind: Kind, name: str) -> Entry | None:
        """What is known of an object now, to be given to `settle`."""
        with self._lock:
            return self._entries[kind].get(name)

    def version(self, kind: Kind, name: str) -> int | None:
        """The resourceVersion of an object, as far as it is known."""
        with self._lock:
            entry = self._entries[kind].get(name)
        return None if entry is None else entry.version

    def versions(self) -> dict[Doubt, int]:
        """The resourceVersions of all objects, as far as they are known."""
        with self._lock:
            return {
                Doubt(kind, name): entry.version
                for kind, found in self._entries.items()
                for name, entry in found.items()
            }

    def snapshot(self, confirmed: Iterable[Doubt] = (), refused: Iterable[str] = ()) -> Snapshot:
        """Everything that is known now."""
        with self._lock:
            entries = {kind: dict(found) for kind, found in self._entries.items()}
        return Snapshot(
            policies=_values(entries[Kind.POLICY], Policy),
            nodes=_values(entries[Kind.NODE], Node),
            tier_nodes=_values(entries[Kind.TIER_NODE], TierNode),
            revisions=_values(entries[Kind.REVISION], Revision),
            confirmed=frozenset(confirmed),
            refused=frozenset(refused),
        )

    def _entry(self, kind: Kind, raw: Raw) -> tuple[str, Entry]:
        try:
            meta = raw["metadata"]
            return meta["name"], Entry(int(meta["resourceVersion"]), self._read(kind, raw))
        except (AttributeError, KeyError, TypeError, ValueError) as err:
            raise Unreadable(f"{kind} {str(raw)[:200]}: {err!r}") from err

    def _is_gone(self, kind: Kind, name: str, entry: Entry) -> bool:
        return entry.version <= self._gone.get((kind, name), -1)

    def _changed(self, before: Entry | None, after: Entry | None) -> bool:
        if before is after or (before is not None and after is not None and before.value == after.value):
            return False
        self.on_change()
        return True

    def _read(self, kind: Kind, raw: Raw) -> Policy | Node | TierNode | Revision:
        match kind:
            case Kind.POLICY:
                return read_policy(raw, self.schema)
            case Kind.NODE:
                return read_node(raw)
            case Kind.TIER_NODE:
                return self._shared(read_tier_node(raw))
            case Kind.REVISION:
                return read_revision(raw)

    def _shared(self, tier_node: TierNode) -> TierNode:
        """The same, its settings those of other nodes that have the same: thousands of nodes have few."""
        if tier_node.digest is None or tier_node.settings is None:
            return tier_node
        with self._lock:
            if len(self._settings) > _MOST_SETTINGS:
                self._settings.clear()
            return replace(
                tier_node, settings=self._settings.setdefault(tier_node.digest, tier_node.settings)
            )


def _values(entries: Mapping[str, Entry], kind: type[T]) -> dict[str, T]:
    return {name: cast("T", entry.value) for name, entry in entries.items() if isinstance(entry.value, kind)}
