"""/metrics and /healthz, for whoever watches the operator.

Healthy is who makes progress: the loop turns, the lease's keeper turns, and kopf's event loop does. An API server
that is away makes nobody unhealthy, for a restart would not bring it back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from thermocline_operator import metrics

# A reconcile that writes to thousands of nodes takes a minute or two.
LONGEST_SECONDS: Final = 300.0
_PATIENCE_SECONDS: Final = 10.0

Beats = Mapping[str, Callable[[], float]]


def late(beats: Beats, now: float) -> list[str]:
    """What has not shown any progress for too long; beats are of the monotonic clock."""
    return [name for name, beat_at in beats.items() if now - beat_at() > LONGEST_SECONDS]


@contextmanager
def serving(address: tuple[str, int], beats: Beats) -> Iterator[int]:
    """Serve while the block runs; yields the port. Raises OSError when the address cannot be had."""

    class Handler(BaseHTTPRequestHandler):
        # Who connects and asks nothing holds a thread no longer.
        timeout = _PATIENCE_SECONDS

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._say(HTTPStatus.OK, generate_latest(metrics.REGISTRY), CONTENT_TYPE_LATEST)
            elif path == "/healthz":
                slow = late(beats, time.monotonic())
                status = HTTPStatus.SERVICE_UNAVAILABLE if slow else HTTPStatus.OK
                text = f"no progress: {', '.join(slow)}\n" if slow else "ok\n"
                self._say(status, text.encode(), "text/plain; charset=utf-8")
            else:
                self._say(
                    HTTPStatus.NOT_FOUND, b"ask for /metrics or /healthz\n", "text/plain; charset=utf-8"
                )

        def _say(self, status: HTTPStatus, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Probes are no news."""

    server = ThreadingHTTPServer(address, Handler)
    thread = threading.Thread(target=server.serve_forever, name="serve", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
