"""`thermocline-agent record`: what the agent sees of this machine, into a file for `backtest`. It moves nothing."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from thermocline_agent import lines, runtime, trace_file
from thermocline_agent.assignment import Assignment, Pod, PolicySource
from thermocline_agent.clock import Clock, signals_taken
from thermocline_agent.cluster import joining
from thermocline_agent.loop import can_observe, until
from thermocline_agent.manifest import Malformed, Unreadable
from thermocline_agent.parts import Parts
from thermocline_agent.policy_file import PolicyFile
from thermocline_agent.recorder import LayoutChanged, Recorder, Seen
from thermocline_agent.report import Report
from thermocline_agent.rounds import Rounds
from thermocline_api.problem import InvalidManifest
from thermocline_api.settings import Mode, Settings
from thermocline_kernel.host import Host

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse has no other name for it

_log: Final = logging.getLogger(__name__)
# Rounds in a row that see nothing before it gives up: another source has its turn after half a minute.
_MOST_BLIND: Final = 10

EPILOG: Final = """\
examples:
  thermocline-agent record -o monday.npz                                  # half an hour, by the defaults
  thermocline-agent record --policy policy.yaml --rounds 60 -o monday.npz
  thermocline-agent record --rounds 60 --interval 5s --names -o monday.npz
  thermocline-agent record --node $NODE_NAME --kubeconfig ~/.kube/config -o monday.npz

It observes as `run` does and moves nothing, whatever the policy's mode is. Of the policy it takes the tiers, the
sources and the interval. The file has, for each round, whose memory lies where, and what was seen accessed; nothing of
contents, and names (cgroups, pods, labels) only with --names. Without, owners are numbers: which is which is printed at
the end, for you to keep. SIGTERM, or Ctrl-C, ends it early, and what was recorded by then is written.

The exit status is 0 when something was recorded, 1 when nothing could be, as without a source of heat or without slow
memory, and 2 when the policy is invalid, another agent runs, or the file cannot be written.
"""


def add_to(commands: Subparsers) -> None:
    """Make it one of the commands."""
    parser = commands.add_parser(
        "record",
        help="record what the agent sees, for `backtest`; moves nothing",
        description="Record heat and owners of this machine's memory into a file, without moving anything.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    told = parser.add_mutually_exclusive_group()
    told.add_argument(
        "--policy", metavar="FILE", type=Path, help="a MemoryTierPolicy, YAML or JSON (the defaults)"
    )
    told.add_argument(
        "--node", metavar="NAME", type=joining.node_name, help="in a cluster: the node that this is"
    )
    joining.add_options(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, required=True, help="the file to write; .npz suits it"
    )
    parser.add_argument("--rounds", metavar="N", type=_rounds, default=180, help="(default: %(default)s)")
    parser.add_argument(
        "--interval",
        metavar="DURATION",
        type=joining.seconds,
        help="between two rounds (the policy's, or 10s)",
    )
    parser.add_argument("--names", action="store_true", help="keep names of cgroups and pods, and labels")
    parser.add_argument(
        "--runtime-dir", metavar="DIR", type=Path, default=runtime.DEFAULT_FOLDER, help=argparse.SUPPRESS
    )
    parser.set_defaults(command=run)


def _rounds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: write a number of rounds, such as 60")
    return int(text)


@dataclass(frozen=True, slots=True)
class NoPolicy:
    """The PolicySource of who was told none: the defaults."""

    def current(self) -> Assignment:
        """The defaults."""
        return Assignment(Settings())

    def pods(self) -> Mapping[str, Pod] | None:
        """There is no Kubernetes."""
        return None


@dataclass(frozen=True, slots=True)
class Paced:
    """A PolicySource with another interval, if one was asked for."""

    source: PolicySource
    interval_seconds: float | None

    def current(self) -> Assignment:
        """See PolicySource."""
        found = self.source.current()
        settings = found.settings or Settings()
        if self.interval_seconds is not None:
            hotness = replace(settings.hotness, interval_seconds=self.interval_seconds)
            settings = replace(settings, hotness=hotness)
        return replace(found, settings=settings)

    def pods(self) -> Mapping[str, Pod] | None:
        """See PolicySource."""
        return self.source.pods()


@dataclass(slots=True)
class Recording:
    """Rounds that a recorder takes, until it has enough, or there is nothing to be had."""

    recorder: Recorder
    wanted: int
    blind: int = 0
    ended: str | None = None
    _had: int = field(default=0)

    def witness(self, seen: Seen) -> None:
        """See Rounds."""
        try:
            self.recorder.take(seen)
        except LayoutChanged:
            self.ended = "memory came or went: a trace has one layout, so it ends with what was there before"

    def enough(self, report: Report) -> bool:
        """After each round."""
        self.blind = 0 if len(self.recorder) > self._had else self.blind + 1
        self._had = len(self.recorder)
        if not self._had and not can_observe(report):
            self.ended = "nothing can be recorded here"
            for line in lines.trouble(report):
                print(line, file=sys.stderr)
        elif self.recorder.is_full:
            self.ended = f"{self._had} rounds are all that a trace can have of so much memory in use"
        elif self.blind >= _MOST_BLIND:
            self.ended = f"nothing was seen in {self.blind} rounds"
        _log.info("recorded=%d of=%d", self._had, self.wanted)
        return self.ended is not None or self._had >= self.wanted


def run(arguments: argparse.Namespace) -> int:
    """Record, and write the file; returns the exit status."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr, force=True
    )
    try:
        policy = PolicyFile.open(arguments.policy) if arguments.policy is not None else None
    except (Unreadable, Malformed, InvalidManifest) as err:
        print(f"{arguments.policy}: {err}", file=sys.stderr)
        return 2
    try:
        with ExitStack() as stack:
            stack.enter_context(runtime.locked(arguments.runtime_dir))
            draft = stack.enter_context(drafted(arguments.output))
            clock = stack.enter_context(signals_taken())
            source = policy or _told(arguments, stack)
            return _recorded(arguments, Paced(source, arguments.interval), clock, draft)
    except (runtime.AlreadyRunning, runtime.Unwritable, joining.NoCluster) as err:
        print(f"thermocline-agent: {err}", file=sys.stderr)
        return 2
    except OSError as err:
        print(f"{arguments.output}: cannot be written: {err.strerror}", file=sys.stderr)
        return 2


def _told(arguments: argparse.Namespace, stack: ExitStack) -> PolicySource:
    """Who tells the policy, where no file does. Raises NoCluster."""
    if arguments.node is None:
        return NoPolicy()
    client = joining.join(arguments)
    stack.callback(client.close)
    return client


def _recorded(arguments: argparse.Namespace, policy: PolicySource, clock: Clock, draft: Draft) -> int:
    """Raises OSError."""
    host = Host()
    settings = policy.current().settings or Settings()
    recording = Recording(
        Recorder(settings.hotness.interval_seconds, names=arguments.names), arguments.rounds
    )
    parts = Parts(host, runtime.feed_socket(arguments.runtime_dir))
    rounds = Rounds(host, policy, clock, parts, Mode.OBSERVE, recording.witness)
    try:
        until(rounds, (), clock, lambda: None, recording.enough)
    finally:
        rounds.close()
    trace = recording.recorder.trace()
    if trace is None and recording.ended is None:
        recording.ended = "it was told to end before anything was recorded"
    if recording.ended is not None:
        print(f"thermocline-agent: {recording.ended}", file=sys.stderr)
    if trace is None:
        return 1
    trace_file.write(trace, draft.file)
    draft.keep()
    print(f"{'ID':>5} {'PAGES':>10} POD OR SERVICE")
    for number, who, pages in recording.recorder.numbered():
        print(f"{number:>5} {pages:>10} {who}")
    kept = "the names above are in it" if arguments.names else "the names above are not in it"
    print(f"{arguments.output}: {len(trace.moments)} rounds, {draft.kept_bytes / 1024:.0f} KiB; {kept}")
    return 0


@dataclass(slots=True)
class Draft:
    """A file beside the one that it becomes once it is whole."""

    path: Path
    target: Path
    file: BinaryIO
    kept_bytes: int = 0

    def keep(self) -> None:
        """Have it become the file. Raises OSError."""
        self.file.flush()
        self.kept_bytes = self.file.tell()
        self.path.replace(self.target)


@contextmanager
def drafted(target: Path) -> Iterator[Draft]:
    """A draft of a file, which goes unless it is kept. Raises OSError: before an hour has been spent on it."""
    path = target.with_name(f".{target.name}.part")
    with path.open("wb") as file:
        try:
            yield Draft(path, target, file)
        finally:
            path.unlink(missing_ok=True)
