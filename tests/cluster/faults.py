"""A proxy between a client and the API server that does what API servers and networks do on bad days."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.apiserver import ApiServer

# A fault is asked for each request, by method and path, what to do instead of passing it on: a status, a word of
# the ones below, or None. It may be told of a body: what the list of a kind becomes.
AWAY = "away"  # the connection is closed
SILENT = "silent"  # a watch is taken, and brings nothing
EMPTY = "empty"  # a list has no items
SHORT = "short"  # a list lacks half of its items, and says nothing of it
CUT = "cut"  # a body ends in the middle
EXPIRED = "expired"  # a watch is taken, and brings an ERROR event of status 410
FAILED = "failed"  # the same of status 500
OLD = "old"  # what is written has a version of long ago, as when etcd was restored from a copy
SLOW = "slow"  # an answer takes longer than a client waits
DRIP = "drip"  # a body comes a byte at a time, each sooner than a client gives up, and has no end
# The operator gives a request up after 8 s.
_SLOW_SECONDS = 10.0
Fault = Callable[[str, str], int | str | None]


def none(_method: str, _path: str) -> int | str | None:
    """A good day."""
    return None


@dataclass(slots=True)
class Proxy:
    """A running proxy; `fault` may be changed at any time."""

    port: int
    fault: Fault = none
    faults: int = 0
    watches: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def decide(self, method: str, path: str) -> int | str | None:
        """What to do with a request."""
        with self._lock:
            found = self.fault(method, path)
            self.faults += found is not None
        return found

    def drop(self) -> None:
        """Close the watches that are open: their clients ask again."""
        with self._lock:
            open_now, self.watches = self.watches, []
        for each in open_now:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def kubeconfig(self, path: Path) -> Path:
        """A kubeconfig that leads here."""
        path.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        }))  # fmt: skip
        return path


@contextmanager
def proxying(server: ApiServer) -> Iterator[Proxy]:
    """A proxy before an API server, for as long as the block runs."""
    proxy = Proxy(0)
    listening = _Server(server, proxy)
    proxy.port = listening.server_address[1]
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    """Knows what is behind it."""

    daemon_threads = True

    def __init__(self, server: ApiServer, proxy: Proxy) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.proxy = server, proxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def __getattr__(self, name: str) -> Callable[[], None]:
        """All methods are handled alike."""
        if name.startswith("do_"):
            return self._pass
        raise AttributeError(name)

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.proxy.decide(self.command, self.path)
        self.close_connection = True
        if fault == AWAY:
            return
        if fault == SILENT:
            self._begin(200)
            threading.Event().wait(60)
        elif fault == DRIP:
            self._drip()
        elif fault in (EXPIRED, FAILED):
            self._begin(200)
            error = json.dumps({"type": "ERROR", "object": _refusal(410 if fault == EXPIRED else 500)})
            self.wfile.write(f"{error}\n".encode())
        elif isinstance(fault, int):
            self._say(fault, json.dumps(_refusal(fault)).encode())
        else:
            with suppress(OSError, http.client.HTTPException):
                if fault == SLOW:
                    time.sleep(_SLOW_SECONDS)
                self._forward(body, fault)

    def _forward(self, body: bytes, fault: str | None) -> None:
        behind = self.server.behind
        headers = {
            key: value for key, value in self.headers.items() if key.lower() not in ("host", "connection")
        }
        connection = http.client.HTTPSConnection("127.0.0.1", behind.port, context=behind.tls, timeout=400)
        with closing(connection):
            connection.request(self.command, self.path, body, headers | {"Accept-Encoding": "identity"})
            with connection.getresponse() as response:
                if "watch=true" in self.path:
                    self._begin(response.status)
                    self.server.proxy.watches.append(self.connection)
                    while line := response.readline():
                        self.wfile.write(line)
                        self.wfile.flush()
                else:
                    self._say(response.status, _spoilt(response.read(), fault), cut=fault == CUT)

    def _drip(self) -> None:
        """Until the fault is over, and then the connection ends."""
        self._begin(200)
        with suppress(OSError):
            while self.server.proxy.fault(self.command, self.path) == DRIP:
                self.wfile.write(b" ")
                time.sleep(1)

    def _begin(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()

    def _say(self, status: int, body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)

    def log_message(self, *_: Any) -> None:
        """The API server's audit log says more."""


def _refusal(status: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": status,
        "message": "a bad day", "reason": "Expired" if status == 410 else "InternalError",
    }  # fmt: skip


def _spoilt(body: bytes, fault: str | None) -> bytes:
    if fault not in (EMPTY, SHORT, OLD):
        return body
    found = json.loads(body)
    if fault == OLD:
        found["metadata"]["resourceVersion"] = "1"
        return json.dumps(found).encode()
    found["items"] = [] if fault == EMPTY else found["items"][::2]
    return json.dumps(found).encode()
