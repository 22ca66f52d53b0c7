"""The Lease that lets one operator act at a time.

Whoever holds it renews it; whoever does not waits until it was not renewed for its duration, by its own
monotonic clock, since no two machines' clocks agree. A holder that could not renew stops acting well before
that: what it has sent by then has ended before the next one begins.

    |-- renewed ------------- ACTING ----------|-- requests end (apply.TIMEOUT_SECONDS) --|-- others may take it
    0                                         20 s                                       30 s

kubernetes.leaderelection has no way to ask whether the lease still holds in the middle of work; hence ours.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from thermocline_api.codec import read_time
from thermocline_operator.apply import Api, Conflict, Gone
from thermocline_operator.clock import since_boot

NAME: Final = "thermocline-operator"
DURATION_SECONDS: Final = 30.0
ACTING_SECONDS: Final = 20.0
RENEW_SECONDS: Final = 5.0
_CLOCKS_DIFFER_SECONDS: Final = 60.0


def holder(api: Api, now: datetime) -> str | None:
    """Who holds the lease of the namespace at a time; None when nobody renewed it lately. Raises ApiError.

    For whoever looks on: renewals tell the time by their maker's clock, so a minute's difference is let pass.
    """
    try:
        spec = _spec(api.ask("GET", _path(api, NAME)).body)
    except Gone:
        return None
    renewed = spec.get("renewTime")
    if not spec.get("holderIdentity") or renewed is None:
        return None
    late = (now - read_time(renewed)).total_seconds() > DURATION_SECONDS + _CLOCKS_DIFFER_SECONDS
    return None if late else str(spec["holderIdentity"])


class EtcdRestored(Exception):
    """The API server's state went back in time: what is known of it is of another time."""


@dataclass(slots=True)
class Lease:
    """Our claim to the lease of a namespace."""

    api: Api
    identity: str
    monotonic: Callable[[], float] = since_boot
    _renewed: float = float("-inf")
    _seen: tuple[str, float] = ("", float("-inf"))
    _version: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def is_held(self) -> bool:
        """Whether we may act now."""
        return self.monotonic() - self._renewed < ACTING_SECONDS

    def renew(self) -> bool:
        """Take the lease or renew it, once; returns whether we have it.

        Raises ApiError when that is not known, and EtcdRestored when it was older than before.
        """
        began = self.monotonic()
        try:
            lease = self.api.ask("GET", _path(self.api, NAME)).body
        except Gone:
            lease = None
        if lease is not None:
            # Whoever waits for it writes nothing that could tell, and whoever holds it may be answered late.
            self._check_time(int(lease["metadata"]["resourceVersion"]))
            if not self._is_ours_to_take(lease):
                self._renewed = float("-inf")
                return False
        try:
            written = self._write(lease)
        except Conflict:
            return False
        self._check_time(int(written["metadata"]["resourceVersion"]))
        self._renewed = began
        return True

    def release(self) -> None:
        """Let another take it at once. Raises ApiError."""
        if not self.is_held:
            return
        self._renewed = float("-inf")
        lease = self.api.ask("GET", _path(self.api, NAME)).body
        if _spec(lease).get("holderIdentity") == self.identity:
            lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
            self.api.ask("PUT", _path(self.api, NAME), lease)

    def keep(self, on_error: Callable[[Exception], None], on_turn: Callable[[], None]) -> None:
        """Renew until `stop`; whatever goes wrong is told to on_error, and tried again."""
        while not self._stopped.is_set():
            on_turn()
            try:
                self.renew()
            except Exception as err:  # noqa: BLE001 - a keeper that ended would be an operator that never acts again
                on_error(err)
            self._stopped.wait(RENEW_SECONDS)

    def stop(self) -> None:
        """End `keep`."""
        self._stopped.set()

    def _is_ours_to_take(self, lease: Any) -> bool:
        spec = _spec(lease)
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, self.monotonic())
        if spec.get("holderIdentity") in ("", None, self.identity):
            return True
        lasts = float(spec.get("leaseDurationSeconds", DURATION_SECONDS))
        return self.monotonic() - self._seen[1] > lasts

    def _write(self, lease: Any) -> Any:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = {} if lease is None else dict(_spec(lease))
        if spec.get("holderIdentity") != self.identity:
            spec |= {"acquireTime": now, "leaseTransitions": spec.get("leaseTransitions", -1) + 1}
        spec |= {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(DURATION_SECONDS),
            "renewTime": now,
        }
        if lease is None:
            meta = {"name": NAME, "namespace": self.api.namespace}
            return self.api.ask("POST", _path(self.api), _manifest(meta, spec)).body
        # With its resourceVersion, so that of two who take it one is refused.
        return self.api.ask("PUT", _path(self.api, NAME), _manifest(lease["metadata"], spec)).body

    def _check_time(self, version: int) -> None:
        """Every write of the lease has a higher revision of etcd than all before, unless etcd was restored."""
        if version < self._version:
            # Remembered as it is: who is told this begins anew, and does not act meanwhile.
            self._renewed = float("-inf")
            raise EtcdRestored(
                f"the API server's revision went back from {self._version} to {version}: etcd was restored"
            )
        self._version = version


def _path(api: Api, name: str = "") -> str:
    folder = f"/apis/coordination.k8s.io/v1/namespaces/{api.namespace}/leases"
    return f"{folder}/{name}" if name else folder


def _spec(lease: Any) -> Any:
    """Empty in a lease that nobody has had yet, as the chart makes it, or somebody by hand."""
    return lease.get("spec") or {}


def _manifest(metadata: Any, spec: Any) -> dict[str, Any]:
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
