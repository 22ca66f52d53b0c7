"""The command line of the agent."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from thermocline_agent.commands import backtest, explain, heat, probe, record, run, validate
from thermocline_api import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Without a command: the help, on standard error, and 2."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    command: Callable[[argparse.Namespace], int] | None = arguments.command
    if command is None:
        parser.print_help(sys.stderr)
        return 2
    return command(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="thermocline-agent",
        description="Thermocline's agent: on one node, moves hot pages to fast memory and cold ones to slow.",
        epilog="Each command says more, with examples: thermocline-agent COMMAND --help.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="COMMAND")
    probe.add_to(commands)
    run.add_to(commands)
    heat.add_to(commands)
    explain.add_to(commands)
    validate.add_to(commands)
    record.add_to(commands)
    backtest.add_to(commands)
    return parser
