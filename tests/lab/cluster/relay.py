"""The way from the machine to a cluster's API server, whose address exists in the cluster's namespace only.

A process of the namespace accepts on a socket that was made outside: a socket stays in the namespace that it
was made in, and a process may hold sockets of several. So kubectl, helm and any other client run on the
machine itself, as they would beside a cluster elsewhere, and what they listen on (`kubectl port-forward`) can
be reached there; and the relay goes when the namespace's processes go.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

from tests.lab.build.part import CHECKOUT
from tests.lab.cluster import network
from tests.lab.cluster.plan import CONTROL_PLANE_IP, Plan

CHUNK_BYTES = 1 << 16


def start(plan: Plan, port: int) -> int:
    """Start the relay to a port of the control plane; returns the port on this machine's 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        network.start(
            plan,
            [sys.executable, "-m", __name__, str(server.fileno()), str(port)],
            plan.home / "logs" / "relay.log",
            cwd=CHECKOUT,
            pass_fds=(server.fileno(),),
        )
        found: int = server.getsockname()[1]
        return found


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # A side that went away ends the other one; there is nobody to tell.
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(CHUNK_BYTES):
            writer.write(piece)
            await writer.drain()
    with contextlib.suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()


async def _serve(server: socket.socket, port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(CONTROL_PLANE_IP, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    async with await asyncio.start_server(connected, sock=server) as listening:
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])))
