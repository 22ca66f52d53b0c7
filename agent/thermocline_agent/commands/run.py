"""`thermocline-agent run`: the agent itself, by a policy in a file or by its node's MemoryTierNode."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console

from thermocline_agent import lines, runtime
from thermocline_agent.assignment import PolicySource
from thermocline_agent.clock import signals_taken
from thermocline_agent.cluster import joining
from thermocline_agent.exporter import Exporter, Unbindable
from thermocline_agent.live import Lines, Screen
from thermocline_agent.loop import loop, once
from thermocline_agent.manifest import Malformed, Unreadable
from thermocline_agent.parts import Parts
from thermocline_agent.policy_file import PolicyFile
from thermocline_agent.report import Report, StatusSink
from thermocline_agent.rounds import Rounds
from thermocline_agent.state import StateFile
from thermocline_api.conditions import Status, find
from thermocline_api.node import NodeCondition
from thermocline_api.problem import InvalidManifest
from thermocline_api.settings import Mode
from thermocline_kernel.host import Host

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no other name for it

EPILOG: Final = """\
examples:
  thermocline-agent run --policy policy.yaml --once --dry-run    # what one round would move
  thermocline-agent run --policy policy.yaml                     # until it is told to end
  thermocline-agent run --policy policy.yaml --watch             # with a live table
  thermocline-agent run --policy policy.yaml --metrics :9464     # with metrics for Prometheus
  thermocline-agent run --node $NODE_NAME                        # in a pod, by the node's MemoryTierNode
  thermocline-agent run --node n1 --kubeconfig ~/.kube/config    # the same from outside

FILE is a MemoryTierPolicy manifest, the same that a cluster uses; rules that select by `cgroups` are those that match
here. --once observes for as many intervals as the rules need to tell hot pages from cold ones, then moves once. The
policy is read again when the file changes, and on SIGHUP; one that is invalid is not taken. SIGTERM ends the agent.

The exit status is 0 when it was told to end, or has done what it was asked once; 1 when it could not, as without a
source of heat; 2 when the policy is invalid or another agent runs. Without slow memory there is nothing to do, which
is no failure.
"""


def add_to(commands: Subparsers) -> None:
    """Make it one of the commands."""
    parser = commands.add_parser(
        "run",
        help="move hot pages to fast memory and cold ones to slow, by a policy",
        description="Move hot pages to fast memory and cold ones to slow memory, as a policy says.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    told = parser.add_mutually_exclusive_group(required=True)
    told.add_argument("--policy", metavar="FILE", type=Path, help="the MemoryTierPolicy, YAML or JSON")
    told.add_argument(
        "--node", metavar="NAME", type=joining.node_name, help="in a cluster: the node that this is"
    )
    joining.add_options(parser)
    parser.add_argument("--once", action="store_true", help="one round of moves, then end")
    parser.add_argument("--dry-run", action="store_true", help="plan, print the plan, move nothing")
    parser.add_argument("--watch", action="store_true", help="show a live table, or a line a round")
    parser.add_argument("--metrics", metavar="ADDRESS", help="serve Prometheus metrics, such as at :9464")
    parser.add_argument(
        "--runtime-dir", metavar="DIR", type=Path, default=runtime.DEFAULT_FOLDER,
        help="where the lock, the state and the feed socket are (default: %(default)s)",
    )  # fmt: skip
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the agent; returns the exit status."""
    _log_to(sys.stderr)
    try:
        file = None if arguments.policy is None else PolicyFile.open(arguments.policy)
    except (Unreadable, Malformed, InvalidManifest) as err:
        print(f"{arguments.policy}: {err}", file=sys.stderr)
        return 2
    try:
        with ExitStack() as stack:
            # In a cluster its node's object tells of it, and nobody asks here once its pod is gone.
            stack.enter_context(runtime.locked(arguments.runtime_dir, kept=arguments.node is None))
            clock = stack.enter_context(signals_taken())
            sinks = _sinks(arguments, stack)
            policy = file or _joined(arguments, sinks, stack)
            host = Host()
            parts = Parts(host, runtime.feed_socket(arguments.runtime_dir))
            rounds = Rounds(host, policy, clock, parts, Mode.DRY_RUN if arguments.dry_run else None)
            stack.callback(rounds.close)
            # A watch reads what is new by itself.
            reload = _nothing if file is None else file.reload
            if not arguments.once:
                loop(rounds, sinks, clock, reload)
                return 0
            report = once(rounds, sinks, clock, reload)
            return 0 if report is None else _ended(report)
    except (runtime.AlreadyRunning, runtime.Unwritable, Unbindable, joining.NoCluster) as err:
        print(f"thermocline-agent: {err}", file=sys.stderr)
        return 2


def _sinks(arguments: argparse.Namespace, stack: ExitStack) -> list[StatusSink]:
    """Who is told. Raises Unbindable."""
    sinks: list[StatusSink] = [StateFile(arguments.runtime_dir)]
    if arguments.metrics is not None:
        exporter = Exporter()
        exporter.serve(arguments.metrics)
        sinks.append(exporter)
    if arguments.watch:
        console = Console()
        if console.is_terminal:
            # Lines of the log would tear the table apart; what matters of them is in it.
            logging.getLogger().setLevel(logging.ERROR)
            sinks.append(Screen(console))
        else:
            sinks.append(Lines())
    elif arguments.dry_run:
        sinks.append(PlanPrinter())
    for sink in sinks:
        stack.callback(sink.close)
    return sinks


def _joined(arguments: argparse.Namespace, sinks: list[StatusSink], stack: ExitStack) -> PolicySource:
    """The node's side of Kubernetes, told of every round too. Raises NoCluster."""
    client = joining.join(arguments)
    stack.callback(client.close)
    sinks.append(client)
    return client


def _nothing() -> None:
    """There is nothing to read again."""


class PlanPrinter:
    """The StatusSink that prints what would move."""

    def publish(self, report: Report) -> None:
        """See StatusSink."""
        for line in (*lines.trouble(report), *lines.plan_table(report)):
            print(line)
        sys.stdout.flush()

    def close(self) -> None:
        """Nothing is kept."""


def _ended(report: Report) -> int:
    """The exit status of one round."""
    for line in lines.trouble(report):
        print(line, file=sys.stderr)
    tiers = find(report.status.conditions, NodeCondition.TIERS_FOUND)
    if tiers is not None and tiers.reason == "NoSlowTier":
        return 0
    wanted: Sequence[NodeCondition] = (NodeCondition.TIERS_FOUND, NodeCondition.HOTNESS_AVAILABLE)
    found = [find(report.status.conditions, kind) for kind in wanted]
    migrating = find(report.status.conditions, NodeCondition.MIGRATING)
    failed = migrating is not None and migrating.reason in ("EngineFailed", "NoEngine")
    return 0 if all(each is not None and each.status is Status.TRUE for each in found) and not failed else 1


def _log_to(stream: TextIO) -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=stream, force=True
    )
