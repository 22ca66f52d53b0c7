"""What rules select pods by: a node's pods and the labels of their namespaces, from their metadata alone.

A pod's QoS class is not here: its cgroup tells it (owners.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from thermocline_agent.assignment import Pod
from thermocline_agent.cluster.objects import Raw, text_map

# The kubelet names the cgroup of a static pod after its file's hash; the API server knows its mirror by another UID.
_STATIC: Final = "kubernetes.io/config.hash"
T = TypeVar("T")
_PART_OF: Final = ("app.kubernetes.io/part-of", "thermocline")


@dataclass(frozen=True, slots=True)
class Found:
    """A pod, without what its namespace is like."""

    uid: str
    namespace: str
    name: str
    labels: Mapping[str, str] = field(hash=False)


def read_pod(raw: Raw) -> Found:
    """A pod by the UID that its cgroup has. Raises KeyError or TypeError for what is no pod."""
    meta = raw["metadata"]
    static = text_map(meta.get("annotations")).get(_STATIC)
    # The hash is 32 digits; the kubelet may also write it as a UID.
    uid = meta["uid"] if static is None else static
    return Found(str(uid), str(meta["namespace"]), str(meta["name"]), text_map(meta.get("labels")))


def read_labels(raw: Raw) -> tuple[str, Mapping[str, str]]:
    """A namespace's name and labels. Raises KeyError or TypeError for what is none."""
    meta = raw["metadata"]
    return str(meta["name"]), text_map(meta.get("labels"))


def known(found: Iterable[Found], namespaces: Mapping[str, Mapping[str, str]]) -> Mapping[str, Pod]:
    """Pods by UID. One whose namespace is not known is left out: no rule can be chosen for it."""
    return {
        pod.uid: Pod(
            uid=pod.uid,
            namespace=pod.namespace,
            name=pod.name,
            labels=pod.labels,
            namespace_labels=namespaces[pod.namespace],
            is_own=pod.labels.get(_PART_OF[0]) == _PART_OF[1],
        )
        for pod in found
        if pod.namespace in namespaces
    }


class Register:
    """The pods that are known, filled by two watches. Safe to use from several threads."""

    def __init__(self) -> None:
        self.pods: Kept[Found] = Kept(lambda raw: (raw["metadata"]["uid"], read_pod(raw)), self._renew)
        self.namespaces: Kept[Mapping[str, str]] = Kept(read_labels, self._renew)
        self._lock = threading.Lock()
        self._known: Mapping[str, Pod] = {}

    def known(self) -> Mapping[str, Pod]:
        """Pods by UID; a mapping that does not change."""
        return self._known

    def _renew(self) -> None:
        with self._lock:
            self._known = known(self.pods.found.values(), self.namespaces.found)


@dataclass(slots=True)
class Kept(Generic[T]):
    """A Keeper (watch.py) of what was read of objects, by a key. `found` is replaced, never changed."""

    read: Callable[[Raw], tuple[str, T]]
    on_change: Callable[[], None]
    found: Mapping[str, T] = field(default_factory=dict)

    def replace(self, items: tuple[Raw, ...]) -> None:
        """See Keeper."""
        self._become(dict(map(self.read, items)))

    def put(self, item: Raw) -> None:
        """See Keeper. Most changes are of what nobody here looks at."""
        key, value = self.read(item)
        if self.found.get(key) != value:
            self._become({**self.found, key: value})

    def remove(self, item: Raw) -> None:
        """See Keeper."""
        key, _ = self.read(item)
        self._become({known: value for known, value in self.found.items() if known != key})

    def heard(self) -> None:
        """See Keeper. What is said of pods says nothing of what the node shall do."""

    def _become(self, found: Mapping[str, T]) -> None:
        self.found = found
        self.on_change()
