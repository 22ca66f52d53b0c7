"""`thermocline-agent backtest`: what policies would have done to the memory of traces."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from thermocline_agent import trace_file
from thermocline_agent.comparison import Comparison, Row, as_json, table
from thermocline_agent.curves import COLOURS, curves
from thermocline_agent.manifest import Malformed, Unreadable, read_policy
from thermocline_agent.trace import Trace
from thermocline_agent.trial import tried
from thermocline_api.policy import MemoryTierPolicy
from thermocline_api.problem import InvalidManifest

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no other name for it

EPILOG: Final = """\
examples:
  thermocline-agent backtest --policy policy.yaml monday.npz
  thermocline-agent backtest --policy now.yaml --policy new.yaml monday.npz --svg compared.svg
  thermocline-agent backtest --policy policy.yaml *.npz --json | jq '.traces[].policies[].fastHit'
  thermocline-agent backtest --policy policy.yaml --owner-rule 3=database --owner-rule 5=- monday.npz

Traces are written by `thermocline-agent record`. The planner that runs on machines is run on what was recorded, with
the effect of its own moves; nothing is read of this machine, and nothing moved. Whatever its mode, a policy is
replayed as if it were Enforce. The same trace and policy always give the same figures.

What it cannot know: accesses are those that the source saw while the trace was recorded, and a program that runs
faster on fast memory would have accessed more.

The exit status is 0 when all was replayed, and 2 when a file cannot be used.
"""


class Unusable(Exception):
    """What the command line names cannot be used; the message is the whole sentence."""


def add_to(commands: Subparsers) -> None:
    """Make it one of the commands."""
    parser = commands.add_parser(
        "backtest",
        help="replay policies on recorded traces",
        description="Tell what policies would have done to the memory of traces, without moving anything.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("traces", nargs="+", metavar="TRACE", type=Path, help="a file that `record` wrote")
    parser.add_argument(
        "--policy", metavar="FILE", type=Path, action="append", required=True,
        help=f"a MemoryTierPolicy, YAML or JSON; up to {len(COLOURS)} are compared",
    )  # fmt: skip
    parser.add_argument(
        "--owner-rule", metavar="ID=RULE", type=owner_rule, action="append", default=[],
        help="the rule that governs the owner with this number, whatever rules select; - for none",
    )  # fmt: skip
    parser.add_argument("--svg", metavar="FILE", type=Path, help="draw it into a file")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    parser.set_defaults(command=run)


def owner_rule(text: str) -> tuple[int, str | None]:
    """An owner and its rule. Raises argparse.ArgumentTypeError."""
    number, equals, rule = text.partition("=")
    if not (number.isascii() and number.isdigit() and int(number) > 0 and equals and rule):
        raise argparse.ArgumentTypeError(
            f"{text!r}: write an owner's number and a rule's name, such as 3=database"
        )
    return int(number), None if rule == "-" else rule


def run(arguments: argparse.Namespace) -> int:
    """Replay, print, draw; returns the exit status."""
    try:
        policies = _policies(arguments.policy)
        traces = _traces(arguments.traces)
        chosen = dict(arguments.owner_rule)
        _check(chosen, policies, traces)
        found = [_compared(name, trace, policies, chosen) for name, trace in traces.items()]
        if arguments.svg is not None:
            _draw(found, arguments.svg)
    except Unusable as err:
        print(f"thermocline-agent: {err}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(as_json(found), indent=2))
    else:
        print("\n\n".join("\n".join(table(each)) for each in found))
    return 0


def _compared(
    name: str, trace: Trace, policies: Mapping[str, MemoryTierPolicy], chosen: Mapping[int, str | None]
) -> Comparison:
    rows = (Row(policy, tried(trace, read.spec.settings, chosen)) for policy, read in policies.items())
    return Comparison(name, trace, tuple(rows))


def _policies(paths: Sequence[Path]) -> dict[str, MemoryTierPolicy]:
    """By a name that tells them apart. Raises Unusable."""
    if len(paths) > len(COLOURS):
        raise Unusable(f"{len(paths)} policies are too many to compare: name up to {len(COLOURS)}")
    found: dict[str, MemoryTierPolicy] = {}
    for path in paths:
        try:
            read = read_policy(path)
        except (Unreadable, Malformed, InvalidManifest) as err:
            raise Unusable(f"{path}: {err}") from err
        name = read.metadata.name
        if name in found:
            name = f"{name} ({path})"
        if name in found:
            raise Unusable(f"{path} is named twice: name another policy")
        found[name] = read
    return found


def _traces(paths: Sequence[Path]) -> dict[str, Trace]:
    """By their files' names. Raises Unusable."""
    found = {}
    for path in paths:
        try:
            found[str(path)] = trace_file.read(path)
        except trace_file.NoTrace as err:
            raise Unusable(f"{path}: {err}") from err
    return found


def _check(
    chosen: Mapping[int, str | None], policies: Mapping[str, MemoryTierPolicy], traces: Mapping[str, Trace]
) -> None:
    """Raises Unusable for an owner or a rule that nobody has."""
    most = max(len(trace.owners) for trace in traces.values())
    rules = [rule.name for policy in policies.values() for rule in policy.spec.settings.rules]
    for number, rule in chosen.items():
        if number > most:
            raise Unusable(f"--owner-rule {number}=…: no trace has an owner {number}; they have up to {most}")
        if rule is not None and rule not in rules:
            raise Unusable(f"--owner-rule {number}={rule}: no policy has such a rule: {', '.join(rules)}")


def _draw(found: Sequence[Comparison], path: Path) -> None:
    try:
        path.write_text(curves(found))
    except OSError as err:
        raise Unusable(f"{path}: cannot be written: {err.strerror}") from err
