"""Requests to the API server: the few that an agent makes. Writes are server-side applies by one field manager.

ApiError               the API server said no, or nothing
+-- Expired            what a watch should go on from is no longer there: list anew (410)
+-- Missing            there is no such object: the API server itself says so (404)
+-- Silent             a watch brought nothing for longer than one that works
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from thermocline_agent.cluster.objects import Raw

FIELD_MANAGER: Final = "thermocline-agent"
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_SECONDS: Final = 15.0
_PAGE: Final = 500
_APPLY: Final = "application/apply-patch+yaml"
_JSON: Final = "application/json"
# A line of a watch is one object; the largest that an API server stores is 1.5 MiB.
_LONGEST_LINE: Final = 8 * 1024 * 1024


class ApiError(Exception):
    """The API server refused, or could not be reached. `pause_seconds`: it asked for so long a pause."""

    def __init__(self, message: str, pause_seconds: float | None = None) -> None:
        super().__init__(message)
        self.pause_seconds = pause_seconds


class Expired(ApiError):
    """The version to go on from is no longer known."""


class Missing(ApiError):
    """There is no such object."""


class Silent(ApiError):
    """Nothing came, not even a bookmark."""


@dataclass(frozen=True, slots=True)
class Resource:
    """Objects of one kind: the path of their list, and which of them. `whole`: not their metadata alone."""

    path: str
    fields: str = ""
    whole: bool = True

    def accept(self, form: str) -> str:
        """The type that is asked for; `form` is PartialObjectMetadata, or its list."""
        return _JSON if self.whole else f"{_JSON};as={form};g=meta.k8s.io;v=v1"

    def query(self, **words: str) -> str:
        """The address of a request."""
        if self.fields:
            words["fieldSelector"] = self.fields
        return f"{self.path}?{urlencode(words)}"


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects, and the version to watch from."""

    items: tuple[Raw, ...]
    version: str


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
    # Whoever asks decides when to ask again.
    configuration.retries = False
    return configuration


class Api:
    """Requests to one API server. Safe to use from several threads."""

    def __init__(self, configuration: client.Configuration) -> None:
        self._client = client.ApiClient(configuration)
        self._client.user_agent = FIELD_MANAGER

    def get(self, path: str) -> Raw:
        """One object. Raises Missing only when the API server says that there is none, else ApiError."""
        return self._ask("GET", path)

    def apply(self, path: str, manifest: Raw) -> Raw:
        """Change an object, by its path or its subresource's; returns it. Raises Missing, ApiError."""
        query = urlencode({"fieldManager": FIELD_MANAGER, "force": "true"})
        return self._ask("PATCH", f"{path}?{query}", manifest, content=_APPLY)

    def list(self, resource: Resource) -> Listing:
        """All objects as of now, page by page to the end: read from etcd, never from what a server remembers.

        Raises ApiError, also for an answer that is no list.
        """
        items: list[Raw] = []
        words = {"limit": str(_PAGE)}
        while True:
            query = resource.query(**words)
            page = self._ask("GET", query, accept=resource.accept("PartialObjectMetadataList"))
            meta = page.get("metadata")
            if not str(page.get("kind", "")).endswith("List") or not isinstance(meta, Mapping):
                raise ApiError(f"GET {query}: no list: {str(page)[:200]}")
            items += page.get("items") or ()
            words["continue"] = meta.get("continue", "")
            if not words["continue"]:
                return Listing(tuple(items), str(meta.get("resourceVersion", "")))

    def watch(
        self, resource: Resource, version: str, *, server_seconds: int, silence_seconds: float
    ) -> Generator[Raw, None, None]:
        """Events from a version on, bookmarks included, until the server ends it after server_seconds.

        Raises Expired, Silent when no line came for silence_seconds, or ApiError.
        """
        query = resource.query(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=version,
            timeoutSeconds=str(server_seconds),
        )
        request = f"GET {query}"
        response = self._send(
            "GET", query, None, _JSON, resource.accept("PartialObjectMetadata"),
            (_TIMEOUT_SECONDS, silence_seconds),
        )  # fmt: skip
        with closing(response):
            if response.status != HTTPStatus.OK:
                raise refusal(request, response.status, response.read(), response.headers)
            for line in _lines(request, response):
                event = _json(request, line)
                if event.get("type") == "ERROR":
                    status = event.get("object", {})
                    raise refusal(request, int(status.get("code", 0)), line, {}, status)
                yield event

    def close(self) -> None:
        """Close idle connections."""
        self._client.rest_client.pool_manager.clear()

    def _ask(
        self, method: str, path: str, body: Raw | None = None, *, content: str = _JSON, accept: str = _JSON
    ) -> Raw:
        response = self._send(method, path, body, content, accept, _TIMEOUT_SECONDS)
        try:
            data = response.read()
        except urllib3.exceptions.HTTPError as err:
            raise ApiError(f"{method} {path}: {err}") from err
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise refusal(f"{method} {path}", response.status, data, response.headers)
        return _json(f"{method} {path}", data)

    def _send(self, method: str, path: str, body: Raw | None, content: str, accept: str, timeout: Any) -> Any:
        headers = {"Accept": accept, "Content-Type": content}
        words = self._client.param_serialize(
            method, path, header_params=headers, auth_settings=["BearerToken"]
        )
        try:
            answer = self._client.call_api(words[0], words[1], words[2], body, _request_timeout=timeout)
        except (ApiException, urllib3.exceptions.HTTPError) as err:
            raise ApiError(f"{method} {path}: {err}") from err
        # The client's own wrapper cannot be read line by line.
        return answer.response


def refusal(request: str, status: int, data: bytes, headers: Mapping[str, str], body: Any = None) -> ApiError:
    """What became of a request that did not succeed. Pure."""
    if body is None:
        try:
            body = json.loads(data)
        except ValueError:
            body = None
    said = body if isinstance(body, Mapping) else {}
    message = f"{request}: status {status}: {said.get('message', '')}"
    if status == HTTPStatus.GONE:
        return Expired(message)
    if status == HTTPStatus.NOT_FOUND and said.get("reason") == "NotFound":
        return Missing(message)
    asked = headers.get("Retry-After", "")
    return ApiError(message, float(asked) if asked.isdigit() else None)


def _lines(request: str, response: Any) -> Iterator[bytes]:
    """Whole lines as they come. Raises Silent or ApiError."""
    rest = b""
    try:
        # read1 returns what is there; stream() and readline() would wait for a full buffer.
        while piece := response.read1(1 << 16):
            *lines, rest = (rest + piece).split(b"\n")
            yield from filter(None, lines)
            if len(rest) > _LONGEST_LINE:
                raise ApiError(f"{request}: a line that does not end")
    except (urllib3.exceptions.ReadTimeoutError, TimeoutError) as err:
        raise Silent(f"{request}: nothing came, not even a bookmark") from err
    except (urllib3.exceptions.HTTPError, OSError) as err:
        raise ApiError(f"{request}: {err}") from err
    if rest:
        raise ApiError(f"{request}: ended in the middle of a line")


def _json(request: str, data: bytes) -> Raw:
    try:
        body = json.loads(data)
    except ValueError as err:
        raise ApiError(f"{request}: a body that is no JSON, or not all of it") from err
    if not isinstance(body, Mapping):
        raise ApiError(f"{request}: no object: {data[:100]!r}")
    return body
