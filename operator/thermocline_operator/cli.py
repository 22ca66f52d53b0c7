"""The command line of the operator."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from thermocline_api import __version__, duration
from thermocline_operator.apply import SERVICE_ACCOUNT, Api, ApiError, configure
from thermocline_operator.check import check
from thermocline_operator.run import Failed, Options, run, run_once

_NAMESPACE: Final = "thermocline-system"
_EXAMPLES: Final = """examples:
  thermocline-operator run
      in a pod: for as long as it is not told to end; /metrics and /healthz are on port 8080
  thermocline-operator run --kubeconfig ~/.kube/config --namespace thermocline-system --listen 127.0.0.1:0
      from outside, on any free port
  thermocline-operator run --once
      one pass over the cluster, from a shell or a CronJob; prints how much was written
  thermocline-operator check --daemonset thermocline-agent --timeout 5m
      whether an operator acts and the agents of this DaemonSet's nodes report; `helm test` asks it
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Without a command: the help, on standard error, and 2."""
    parser = _parser()
    words = parser.parse_args(argv)
    if words.command is None:
        parser.print_help(sys.stderr)
        return 2
    logging.basicConfig(
        level=logging.DEBUG if words.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    # It tells of every event that a handler has seen.
    logging.getLogger("kopf.objects").setLevel(logging.DEBUG if words.verbose else logging.WARNING)
    command: Callable[[argparse.Namespace], int] = words.run
    try:
        return command(words)
    except (ApiError, Failed, OSError) as err:
        print(f"thermocline-operator: {err}", file=sys.stderr)
        return 1


def _run(words: argparse.Namespace) -> int:
    options = Options(words.namespace or _namespace(), words.identity, words.kubeconfig, words.listen)
    if words.once:
        print(f"{run_once(options)} writes")
    else:
        run(options)
    return 0


def _check(words: argparse.Namespace) -> int:
    api = Api(configure(words.kubeconfig), words.namespace or _namespace())
    return 0 if check(api, words.daemonset, words.timeout, lambda line: print(line, flush=True)) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="thermocline-operator",
        description="Thermocline's operator: turns MemoryTierPolicy objects into settings for every node.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    command = commands.add_parser(
        "run",
        help="watch the cluster and act",
        description="Watch policies, nodes and MemoryTierNodes, and write what each node shall do.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=_run)
    command.add_argument("--once", action="store_true", help="make one pass and end; waits for nothing")
    command.add_argument(
        "--listen",
        type=_address,
        default=("", 8080),
        metavar="[HOST]:PORT",
        help="where /metrics and /healthz are served (:8080)",
    )
    command.add_argument(
        "--identity",
        default=f"{socket.gethostname()}-{os.getpid()}",
        help="what to call this replica in the lease (host and process)",
    )
    checking = commands.add_parser(
        "check",
        help="tell whether the installation works, and write nothing",
        description="Wait until an operator acts and all nodes' agents report; exit with 1 when they do not.",
    )
    checking.set_defaults(run=_check)
    checking.add_argument(
        "--daemonset",
        metavar="NAME",
        help="that of the agents, which says where they shall run (on all nodes)",
    )
    checking.add_argument(
        "--timeout", type=_seconds, default=0.0, metavar="DURATION", help="for how long to wait (0s)"
    )
    for each in (command, checking):
        each.add_argument(
            "--namespace",
            help=f"where the lease and the revisions are (the pod's own, outside of a pod {_NAMESPACE})",
        )
        each.add_argument(
            "--kubeconfig", type=Path, metavar="FILE", help="how to reach the API server, from outside"
        )
        each.add_argument("--verbose", action="store_true", help="say more")
    return parser


def _seconds(text: str) -> float:
    try:
        return duration.parse_seconds(text)
    except ValueError as err:
        raise argparse.ArgumentTypeError(str(err)) from err


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no address: write one such as :8080 or 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def _namespace() -> str:
    try:
        return (SERVICE_ACCOUNT / "namespace").read_text().strip()
    except OSError:
        return _NAMESPACE
