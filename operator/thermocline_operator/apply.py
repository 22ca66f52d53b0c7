"""The API server: every request that the operator makes, but for kopf's watches.

Writes are server-side applies by one field manager, so that a write says all that the operator wants of an
object, and nothing about what others do to it.

    ApiError               the API server said no, or nothing
    +-- Conflict           somebody else was faster, or the object is another of the same name
    +-- Refused            it will not have this, by its rules or an admission's: certainly not written
    +-- Gone               there is no such object
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from thermocline_api.schema import GROUP, VERSION
from thermocline_operator.reading import MANAGED_BY
from thermocline_operator.state import Kind, Policy
from thermocline_operator.transitions import Event

FIELD_MANAGER: Final = "thermocline-operator"
# A write that takes longer has failed; the lease (lease.py) outlives it.
TIMEOUT_SECONDS: Final = 8.0
CONNECTIONS: Final = 8
_PAGE: Final = 500
# What the API server takes of an event: bytes, where a condition's message is counted in characters.
_LONGEST_NOTE: Final = 1024
_LONGEST_INSTANCE: Final = 128
_REFUSALS: Final = frozenset({
    HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY,
})  # fmt: skip
_APPLY: Final = "application/apply-patch+yaml"
_METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ApiError(Exception):
    """The API server refused, or could not be reached."""


class Conflict(ApiError):
    """The object has changed, or is another of the same name."""


class Refused(ApiError):
    """The API server will not have what was sent, and has not written it."""


class Gone(ApiError):
    """There is no such object: the API server itself says so."""


def configure(kubeconfig: Path | None) -> client.Configuration:
    """How to reach the API server: by a kubeconfig, or as a pod. Raises ApiError that says what is missing."""
    configuration = client.Configuration()
    try:
        if kubeconfig is None and (SERVICE_ACCOUNT / "token").exists():
            config.load_incluster_config(configuration)
        else:
            config.load_kube_config(
                None if kubeconfig is None else str(kubeconfig), client_configuration=configuration
            )
    except config.ConfigException as err:
        raise ApiError(f"{err}: write --kubeconfig FILE, or run in a pod with a service account") from err
    # A failed request is repeated by the next reconcile, which may want another.
    configuration.retries = False
    configuration.connection_pool_maxsize = CONNECTIONS
    return configuration


@dataclass(frozen=True, slots=True)
class Answer:
    """An object as the API server returned it, and the API server's time."""

    body: Any
    time: datetime | None


class Api:
    """Requests to one API server. Safe to use from several threads."""

    def __init__(self, configuration: client.Configuration, namespace: str) -> None:
        self._client = client.ApiClient(configuration)
        self._client.user_agent = FIELD_MANAGER
        self.namespace = namespace

    def get(self, kind: Kind, name: str) -> Any:
        """An object as it is now. Raises Gone only when the API server says that there is none."""
        return self.ask("GET", self._path(kind, name)).body

    def apply(self, kind: Kind, name: str, manifest: Mapping[str, Any], *, subresource: str = "") -> Any:
        """Create an object or change it; returns it. Raises ApiError."""
        query = urlencode({"fieldManager": FIELD_MANAGER, "force": "true"})
        path = f"{self._path(kind, name)}{subresource and f'/{subresource}'}?{query}"
        return self.ask("PATCH", path, manifest, content=_APPLY).body

    def delete(self, kind: Kind, name: str, uid: str, version: int) -> None:
        """Delete an object as it was at a version, and no other of the name.

        Raises Conflict when it has changed, Gone when it is not there, else ApiError.
        """
        known = {"uid": uid, "resourceVersion": str(version)}
        self.ask("DELETE", self._path(kind, name), {"preconditions": known})

    def versions(self, kind: Kind) -> dict[str, int]:
        """The resourceVersions of all objects of a kind, by name, page by page to the end. Raises ApiError."""
        items = self._listed(kind, _METADATA_ONLY)
        return {each["metadata"]["name"]: int(each["metadata"]["resourceVersion"]) for each in items}

    def objects(self, kind: Kind) -> Iterator[Any]:
        """All objects of a kind, page by page to the end. Raises ApiError."""
        return self._listed(kind, "application/json")

    def pods(self, labels: Mapping[str, str]) -> Iterator[Any]:
        """All pods of the namespace that have these labels, page by page to the end. Raises ApiError."""
        return self._pages(f"/api/v1/namespaces/{self.namespace}/pods", labels, "application/json")

    def is_served(self, kind: Kind) -> bool:
        """Whether the API server has the kind at all. Raises ApiError when it does not tell."""
        try:
            self.ask("GET", f"{self._path(kind)}?limit=1")
        except Gone:
            return False
        return True

    def time(self) -> datetime:
        """The API server's time. Raises ApiError."""
        time = self.ask("GET", "/version").time
        if time is None:
            raise ApiError("the API server does not tell the time")
        return time

    def post_event(self, policy: Policy, event: Event, time: datetime, instance: str) -> None:
        """Tell of a transition; `instance` is who tells. Raises ApiError."""
        about = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": Kind.POLICY,
            "name": policy.name,
            "uid": policy.uid,
        }
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            # Events about objects without a namespace are kept in this one.
            "metadata": {"generateName": f"{policy.name[:200]}-", "namespace": "default"},
            "eventTime": time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "reportingController": f"{GROUP}/operator",
            "reportingInstance": instance[:_LONGEST_INSTANCE],
            "action": event.action,
            "reason": event.reason,
            "note": event.note.encode()[:_LONGEST_NOTE].decode(errors="ignore"),
            "type": "Warning" if event.is_warning else "Normal",
            "regarding": about,
        }
        self.ask("POST", "/apis/events.k8s.io/v1/namespaces/default/events", body)

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> Answer:
        """One request. Raises ApiError."""
        headers = {"Accept": accept, "Content-Type": content}
        try:
            # It reads a pod's token, which is a file, once in a while.
            words = self._client.param_serialize(
                method, path, header_params=headers, auth_settings=["BearerToken"]
            )
            response = self._client.call_api(
                words[0], words[1], words[2], body, _request_timeout=TIMEOUT_SECONDS
            )
            data = response.read()
        except (ApiException, config.ConfigException, OSError, urllib3.exceptions.HTTPError) as err:
            raise ApiError(f"{method} {path}: {err}") from err
        answer = _decoded(f"{method} {path}", response.status, data)
        date = response.headers.get("Date")
        return Answer(answer, None if date is None else parsedate_to_datetime(date))

    def _listed(self, kind: Kind, accept: str) -> Iterator[Any]:
        return self._pages(self._path(kind), MANAGED_BY if kind is Kind.REVISION else {}, accept)

    def _pages(self, path: str, labels: Mapping[str, str], accept: str) -> Iterator[Any]:
        query = {"limit": str(_PAGE)}
        if labels:
            query["labelSelector"] = ",".join(f"{key}={value}" for key, value in labels.items())
        while True:
            page = self.ask("GET", f"{path}?{urlencode(query)}", accept=accept).body
            if not str(page.get("kind", "")).endswith("List") or "items" not in page:
                raise ApiError(f"the list at {path} is none: {str(page)[:200]}")
            yield from page["items"] or ()
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                return

    def _path(self, kind: Kind, name: str = "") -> str:
        folder = {
            Kind.POLICY: f"/apis/{GROUP}/{VERSION}/memorytierpolicies",
            Kind.TIER_NODE: f"/apis/{GROUP}/{VERSION}/memorytiernodes",
            Kind.NODE: "/api/v1/nodes",
            Kind.REVISION: f"/apis/apps/v1/namespaces/{self.namespace}/controllerrevisions",
        }[kind]
        return f"{folder}/{quote(name, safe='')}" if name else folder


def _decoded(request: str, status: int, data: bytes) -> Any:
    """The body of an answer. Raises ApiError for all that is not a whole answer of success."""
    try:
        body = json.loads(data)
    except ValueError as err:
        raise ApiError(f"{request}: status {status}, and a body that is no JSON, or not all of it") from err
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return body
    said = body.get("message", "") if isinstance(body, Mapping) else ""
    message = f"{request}: status {status}: {said}"
    if status == HTTPStatus.NOT_FOUND and isinstance(body, Mapping) and body.get("reason") == "NotFound":
        raise Gone(message)
    if status == HTTPStatus.CONFLICT:
        raise Conflict(message)
    if status in _REFUSALS:
        raise Refused(message)
    raise ApiError(message)
