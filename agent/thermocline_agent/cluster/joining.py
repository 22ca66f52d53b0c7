"""How a command line says which node of which cluster an agent is of.

The client library is only loaded for an agent that needs it: it takes half a second, and 60 MiB.
"""

from __future__ import annotations

import argparse
import random
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from thermocline_agent.cluster.standing import TTL_SECONDS
from thermocline_agent.manifest import schema
from thermocline_api import duration
from thermocline_api.node import KIND

if TYPE_CHECKING:
    from thermocline_agent.cluster.client import NodeClient

# So that the first round already knows what to do, where the API server is near.
_FIRST_SECONDS: Final = 5.0
_NODE: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


class NoCluster(Exception):
    """There is no way to an API server; the message says what to write."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What is told beside --node."""
    parser.add_argument(
        "--kubeconfig", type=Path, metavar="FILE", help="how to reach the API server, from outside of a pod"
    )
    parser.add_argument(
        "--api-ttl",
        type=seconds,
        default=TTL_SECONDS,
        metavar="DURATION",
        help="for how long what the node was told holds while the API server says nothing (15m)",
    )
    parser.add_argument(
        "--start-jitter",
        type=seconds,
        default=0.0,
        metavar="DURATION",
        help="wait up to that long, by chance, before the first request: agents of a DaemonSet start together (0s)",
    )


def node_name(text: str) -> str:
    """A node's name. Raises argparse.ArgumentTypeError."""
    if not _NODE.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no node's name: write one that `kubectl get nodes` tells"
        )
    return text


def join(arguments: argparse.Namespace) -> NodeClient:
    """The node's side of Kubernetes, at work. Raises NoCluster without a way to an API server."""
    from thermocline_agent.cluster.api import Api, ApiError, configure  # noqa: PLC0415 - see above
    from thermocline_agent.cluster.client import NodeClient, Options  # noqa: PLC0415

    try:
        configuration = configure(arguments.kubeconfig)
    except ApiError as err:
        raise NoCluster(str(err)) from err
    options = Options(arguments.node, arguments.api_ttl)
    client = NodeClient(Api(configuration), schema(KIND), options)
    pause = random.uniform(0.0, arguments.start_jitter)  # noqa: S311 - not for secrets
    if pause:
        # The loop begins meanwhile, and only observes.
        late = threading.Timer(pause, client.start)
        late.daemon = True
        late.start()
    else:
        client.start()
        client.wait(_FIRST_SECONDS)
    return client


def seconds(text: str) -> float:
    """A duration as the API writes it. Raises argparse.ArgumentTypeError."""
    try:
        return duration.parse_seconds(text)
    except ValueError as err:
        raise argparse.ArgumentTypeError(str(err)) from err
