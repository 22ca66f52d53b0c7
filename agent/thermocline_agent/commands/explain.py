"""`thermocline-agent explain --cgroup PATH`: which rule governs a pod or service, and what became of its pages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from thermocline_agent import lines, runtime, state
from thermocline_agent.conditions import GUARDS
from thermocline_agent.guards import Why
from thermocline_agent.owners import owner_of
from thermocline_agent.report import OwnerReport
from thermocline_agent.state import State
from thermocline_agent.warmth import Warmth, warmth
from thermocline_api.conditions import Status, find
from thermocline_api.node import NodeCondition

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no other name for it

EPILOG: Final = """\
examples:
  thermocline-agent explain --cgroup system.slice/redis.service
  thermocline-agent explain --cgroup /sys/fs/cgroup/kubepods/burstable/pod2f1c7a90-1111-4222-8333-444455556666

It tells what the agent that runs on this machine knew after its last round. A container's cgroup stands for its pod.
"""

_WAITS: Final = {
    **GUARDS,
    Why.CLOCK_WENT_BACK: "the machine's clock went back",
    Why.NO_SLOW_TIER: "there are no two tiers",
    Why.PROMOTE_BUDGET: "migration.promoteBandwidth is used up for now",
    Why.DEMOTE_BUDGET: "migration.demoteBandwidth is used up for now",
    Why.SLOW_FULL: "slow memory has no room",
    Why.FLOORS: "floors of other owners keep their pages in fast memory",
}
_HINDERED: Final = {
    "BUSY": "in use in a way that passes: they are tried again",
    "NO_MEMORY": "the target had no free page",
    "SHARED": "mapped by several processes",
    "FORBIDDEN": "the owner's cpuset or mlock forbids it",
    "POISONED": "the memory is broken",
    "BAD_TARGET": "the target is no node with memory",
    "UNREACHABLE": "no process maps them, and this engine needs one",
    "UNKNOWN": "the kernel does not say why",
}


def add_to(commands: Subparsers) -> None:
    """Make it one of the commands."""
    parser = commands.add_parser(
        "explain",
        help="tell which rule governs a pod or service, and what was moved of it and why",
        description="Tell which rule governs a cgroup and why, what was moved of it, and what it waits for.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cgroup", metavar="PATH", required=True, help="its path, from the root of cgroups")
    parser.add_argument(
        "--runtime-dir", metavar="DIR", type=Path, default=runtime.DEFAULT_FOLDER, help=argparse.SUPPRESS
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Read and print; returns the exit status."""
    try:
        found = state.read(arguments.runtime_dir)
    except state.NoState as err:
        print(f"thermocline-agent: {err}", file=sys.stderr)
        return 1
    path = arguments.cgroup.removeprefix("/sys/fs/cgroup").strip("/")
    owner = owner_named(found, path)
    if owner is None:
        print(
            f"{lines.plain(path)}: no rule governs it and it has no page that is tracked; "
            "`thermocline-agent heat` lists what has",
            file=sys.stderr,
        )
        return 1
    print("\n".join(map(lines.plain, explanation(found, owner))))
    return 0


def owner_named(found: State, path: str) -> OwnerReport | None:
    """The owner with that cgroup, or the pod that it is a part of. Pure."""
    uid = owner_of(0, path).pod_uid
    for each in found.report.owners:
        if each.path == path or (uid is not None and each.pod_uid == uid):
            return each
    return None


def explanation(found: State, owner: OwnerReport) -> Iterator[str]:
    """What is known of an owner. Pure."""
    name = f"{owner.namespace}/{owner.name} ({owner.path})" if owner.namespace else owner.path
    yield name
    rule = "none" if owner.rule is None else f"{owner.rule} ({owner.placement})"
    yield f"  rule       {rule}: {owner.why}"
    yield f"  fast       {_told(warmth(owner.fast_pages))}"
    yield f"  slow       {_told(warmth(owner.slow_pages))}"
    counters = found.report.status.counters
    since = f" since {counters.since:%Y-%m-%d %H:%M:%S} UTC" if counters and counters.since else ""
    yield (
        f"  moved      {lines.size(owner.promoted_pages)} promoted, {lines.size(owner.demoted_pages)} demoted{since}"
    )
    if owner.last_moved_at is not None:
        ago = (found.report.at - owner.last_moved_at).total_seconds() + found.age_seconds
        why = "; ".join(
            f"{lines.size(pages)}: {lines.reason_sentence(reason)}"
            for reason, pages in owner.last_reasons.items()
        )
        yield f"  last       {ago:.0f} s ago, {why}"
    for result, pages in owner.failed.items():
        yield f"  failed     {pages} pages: {_HINDERED.get(result, result)}"
    for wait in waits(found):
        yield f"  waits for  {wait}"
    for problem in found.report.problems:
        yield f"  problem    {problem}"
    yield f"  {found.sentence}"


def waits(found: State) -> Iterator[str]:
    """Why nothing, or not more, is moved of anybody now. Pure."""
    migrating = find(found.report.status.conditions, NodeCondition.MIGRATING)
    if migrating is not None and migrating.status is not Status.TRUE:
        yield f"{migrating.reason}: {migrating.message}"
    for why in found.report.last.waits:
        yield f"{why}: {_WAITS[Why(why)]}"


def _told(pages: Warmth) -> str:
    parts = ", ".join(
        f"{lines.size(count)} {name}"
        for name, count in (("hot", pages.hot), ("warm", pages.warm), ("cold", pages.cold))
    )
    return f"{lines.size(pages.pages)}: {parts}"
