"""`thermocline-agent validate FILE…`: what the API server would say of manifests, without one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from thermocline_agent import manifest
from thermocline_agent.manifest import Document

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no other name for it

EPILOG: Final = """\
examples:
  thermocline-agent validate policy.yaml
  thermocline-agent validate docs/examples/*.yaml
  helm template charts/thermocline --set image.registry=none | thermocline-agent validate -

It prints a line a problem, in the API server's words: FILE: DOCUMENT: FIELD: MESSAGE. The exit status is
0 when there is none, 1 when there are some, and 2 when a file cannot be read. Other kinds are passed over.
"""


def add_to(commands: Subparsers) -> None:
    """Make it one of the commands."""
    parser = commands.add_parser(
        "validate",
        help="check manifests offline, with the API server's answers",
        description="Check MemoryTierPolicy and MemoryTierNode manifests, with the API server's answers.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a file of YAML or JSON; - is standard input"
    )
    parser.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Check all files; returns the exit status."""
    status = 0
    for name in arguments.files:
        status = max(status, _check_file(name))
    return status


def _check_file(name: str) -> int:
    try:
        text = manifest.read_text(sys.stdin.buffer if name == "-" else Path(name))
    except manifest.Unreadable as err:
        print(f"{name}: {err}", file=sys.stderr)
        return 2
    lines, is_empty = 0, True
    try:
        for document in manifest.documents(text):
            is_empty = False
            for line in _lines(document, name):
                lines += 1
                print(f"{name}: {line}")
    except manifest.Malformed as err:
        print(f"{name}: {err}")
        return 1
    if is_empty:
        print(f"{name}: is empty: write a MemoryTierPolicy")
    return 1 if lines or is_empty else 0


def _lines(document: Document, name: str) -> Iterator[str]:
    """A line for each problem of a document, or of the items of a List."""
    if document.kind == "List" and isinstance(items := document.value.get("items"), list):
        for item in items:
            yield from _lines(Document(document.number, item), name)
        return
    where = f"document {document.number}"
    if document.kind:
        where += f" ({' '.join(filter(None, (document.kind, document.name)))})"
    found = manifest.problems(document)
    if found is None:
        print(f"{name}: {where}: passed over, for it is none of ours", file=sys.stderr)
    for problem in found or ():
        yield f"{where}: {problem}"
