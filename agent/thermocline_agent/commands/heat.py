"""`thermocline-agent heat`: who is hot where, as the agent that runs on this machine last told."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from thermocline_agent import runtime, state
from thermocline_agent.drawing import drawing
from thermocline_agent.lines import plain, size
from thermocline_agent.report import OwnerReport
from thermocline_agent.state import State
from thermocline_agent.warmth import Warmth, by_tier, warmth
from thermocline_kernel.host import PAGE_BYTES

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no other name for it

EPILOG: Final = """\
examples:
  thermocline-agent heat                      # pods and services, those with most memory first
  thermocline-agent heat --by tier            # fast and slow memory as a whole
  thermocline-agent heat --svg heat.svg       # as a picture
  thermocline-agent heat --json | jq '.owners[] | select(.slow.hotBytes > 0).path'

It shows what the agent that runs on this machine has told after its last round, and how long ago that was. Hot is what
was seen accessed in more than half of the rounds that heat reaches back to, cold what was not seen accessed at all.
"""


def add_to(commands: Subparsers) -> None:
    """Make it one of the commands."""
    parser = commands.add_parser(
        "heat",
        help="show who has hot and cold pages in which tier",
        description="Show how hot the pages of each pod and service are, in fast and in slow memory.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--by", choices=("cgroup", "tier"), default="cgroup", help="(default: %(default)s)")
    parser.add_argument("--svg", metavar="FILE", type=Path, help="draw it into a file")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    parser.add_argument(
        "--runtime-dir", metavar="DIR", type=Path, default=runtime.DEFAULT_FOLDER, help=argparse.SUPPRESS
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Read, print, draw; returns the exit status."""
    try:
        found = state.read(arguments.runtime_dir)
    except state.NoState as err:
        print(f"thermocline-agent: {err}", file=sys.stderr)
        return 1
    if arguments.svg is not None:
        try:
            arguments.svg.write_text(drawing(found.report.owners, found.sentence))
        except OSError as err:
            print(f"{arguments.svg}: cannot be written: {err.strerror}", file=sys.stderr)
            return 1
    if arguments.json:
        print(json.dumps(as_json(found), indent=2))
    elif arguments.by == "tier":
        print("\n".join(tiers(found)))
    else:
        print("\n".join(table(found)))
    return 0


def as_json(found: State) -> dict[str, Any]:
    """All of it, for programs. Pure."""
    fast, slow = by_tier(found.report.owners)
    return {
        "ageSeconds": round(found.age_seconds, 1),
        "agentRuns": found.running,
        "tiers": {"fast": _bytes(fast), "slow": _bytes(slow)},
        "owners": [
            {
                "path": each.path,
                "namespace": each.namespace,
                "name": each.name,
                "rule": each.rule,
                "fast": _bytes(warmth(each.fast_pages)),
                "slow": _bytes(warmth(each.slow_pages)),
            }
            for each in found.report.owners
        ],
    }


def table(found: State) -> Iterator[str]:
    """A line for each owner. Pure."""
    yield f"{'':<36} {'':<16} {'FAST MEMORY':^32} {'SLOW MEMORY':^32}"
    columns = f"{'HOT':>10} {'WARM':>10} {'COLD':>10}"
    yield f"{'POD OR SERVICE':<36} {'RULE':<16} {columns} {columns}"
    for each in found.report.owners:
        if sum(each.fast_pages) + sum(each.slow_pages):
            yield f"{named(each):<36} {each.rule or '-':<16} {_columns(each)}"
    yield found.sentence


def tiers(found: State) -> Iterator[str]:
    """A line for each tier. Pure."""
    yield f"{'TIER':<6} {'HOT':>12} {'WARM':>12} {'COLD':>12} {'ALL':>12}"
    for name, each in zip(("fast", "slow"), by_tier(found.report.owners), strict=True):
        sizes = " ".join(f"{size(pages):>12}" for pages in (each.hot, each.warm, each.cold, each.pages))
        yield f"{name:<6} {sizes}"
    yield found.sentence


def named(each: OwnerReport) -> str:
    """A pod by its name, as far as that is known; anything else by its cgroup."""
    return f"{each.namespace}/{each.name}" if each.namespace else plain(each.path)


def _columns(each: OwnerReport) -> str:
    both = (warmth(each.fast_pages), warmth(each.slow_pages))
    return " ".join(f"{size(pages):>10}" for tier in both for pages in (tier.hot, tier.warm, tier.cold))


def _bytes(pages: Warmth) -> dict[str, int]:
    return {
        "hotBytes": pages.hot * PAGE_BYTES,
        "warmBytes": pages.warm * PAGE_BYTES,
        "coldBytes": pages.cold * PAGE_BYTES,
    }
