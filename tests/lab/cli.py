"""The command line, `python3 -m tests.lab`. See docs/contributing/lab.md."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tests import environment
from tests.lab import checkouts, host, machine, node, process, progress
from tests.lab.build import catalogue, golang
from tests.lab.build.part import CHECKOUT, Workshop
from tests.lab.cache import Cache, default_root, part_name
from tests.lab.cluster import cluster
from tests.lab.cluster.member import memory_mib
from tests.lab.cluster.member import parts as cluster_parts
from tests.lab.cluster.plan import checked_name, members
from tests.lab.errors import STATUS_INTERRUPTED, STATUS_LAB_ERROR, BuildFailed, LabError, NodeFailed
from tests.lab.machine import Machine, Slow

# kubectl and helm hand every word of theirs on, so the cluster's name comes from the environment there.
DEFAULT_CLUSTER = os.environ.get("THERMOCLINE_LAB", "lab")
# A week: longer waits are no waits, and clocks have their limits.
MAX_TIMEOUT_SECONDS = 604_800
TOOLS = {"kubectl": cluster.kubectl, "helm": cluster.helm}

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction["_Parser"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. A mistake or a fault ends in one sentence on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    # Whoever is told to end cleans up as for Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if words and words[0] in TOOLS:
            return _tool(words[0], words[1:])
        # A command for a node is everything after the first --, dashes and all.
        split = words.index("--") if "--" in words else len(words)
        arguments = _parser().parse_args(words[:split], argparse.Namespace(words=words[split + 1 :]))
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except (LabError, NodeFailed, OSError, KeyboardInterrupt) as err:
        text, status = _told(err)
        print(text, file=sys.stderr)
        return status


def _told(err: BaseException) -> tuple[str, int]:
    """What to print of what ended a command, and the status to exit with."""
    match err:
        case BuildFailed():
            return f"{process.tail(err.log)}lab: {err}\nlab: the whole log is {err.log}", STATUS_LAB_ERROR
        case NodeFailed():
            return f"{err.tail}lab: {err}\nlab: the whole console is {err.console}", err.status
        case BrokenPipeError():
            return "lab: nobody reads the output any more", 141
        case OSError():
            return f"lab: {err.filename or 'the machine'}: {err.strerror or err}", STATUS_LAB_ERROR
        case KeyboardInterrupt():
            return "lab: interrupted", STATUS_INTERRUPTED
        case _:
            return f"lab: {err}", STATUS_LAB_ERROR


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """A mistake on the command line, in a sentence."""
        if message.startswith("unrecognized arguments"):
            message += " (a command for a node comes after --)"
        raise LabError(f"{message}: see `{self.prog} --help`")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python3 -m tests.lab",
        description="A lab on one machine: the kernel we choose, a node with a CXL device, a real Kubernetes.",
        epilog="The environment variable THERMOCLINE_LAB names the cluster that is meant (lab otherwise), and "
        "THERMOCLINE_CACHE the folder that holds what is built. See docs/contributing/lab.md.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    check = commands.add_parser(
        "check", help="see whether all parts can be built here, and install what that needs from Debian"
    )
    check.set_defaults(command=_check)
    build = commands.add_parser("build", help="build parts into the cache; all of them when none is named")
    build.add_argument("parts", nargs="*", metavar="PART", help=", ".join(catalogue.ASKED))
    build.set_defaults(command=_build)

    node_commands = commands.add_parser("node", help="a single node").add_subparsers(
        required=True, metavar="COMMAND"
    )
    run = node_commands.add_parser(
        "run",
        usage="%(prog)s [OPTIONS] -- COMMAND…",
        help="boot a node, run a command in it, print its output, exit with its status, power off",
        epilog="The command's standard input is empty: hand it files by --share. "
        "example: python3 -m tests.lab node run --cxl 512M -- numactl -H",
    )
    _add_machine_options(run)
    run.add_argument("--timeout", type=float, default=300, metavar="SECONDS", help="default 300")
    run.set_defaults(command=_node_run)

    _add_cluster_commands(commands)

    cache = commands.add_parser(
        "cache",
        help="list the built parts; `cache prune` removes what no checkout of this machine and no cluster uses",
    )
    cache.add_argument("action", nargs="?", choices=["prune"])
    cache.set_defaults(command=_cache)
    return parser


def _add_cluster_commands(commands: Subparsers) -> None:
    cluster_commands = commands.add_parser(
        "cluster", help="a Kubernetes whose nodes are such machines"
    ).add_subparsers(required=True, metavar="COMMAND")
    starting = cluster_commands.add_parser("up", help="start it, and wait until all nodes are Ready")
    starting.add_argument(
        "--nodes",
        default="patched,stock,dram",
        metavar="KINDS",
        help="kinds of node, default patched,stock,dram",
    )
    starting.set_defaults(command=_cluster_up)
    ending = cluster_commands.add_parser("down", help="end it, and whatever a killed `up` left")
    ending.set_defaults(command=_cluster_down)
    looking = cluster_commands.add_parser(
        "status", help="its nodes, as the machine and the API server see them"
    )
    looking.set_defaults(command=_cluster_status)
    restarting = cluster_commands.add_parser("restart", help="cut a node's power and switch it on again")
    restarting.add_argument("node", metavar="NODE")
    restarting.set_defaults(command=_cluster_restart)
    for parser in (starting, ending, looking, restarting):
        parser.add_argument(
            "--name", default=DEFAULT_CLUSTER, help="default lab, or what THERMOCLINE_LAB says"
        )

    # Their words are not read here at all: main() hands them on as they are.
    for tool in TOOLS:
        commands.add_parser(tool, help=f"run {tool} as the cluster's administrator", add_help=False)
    console = commands.add_parser(
        "console",
        usage="%(prog)s [-h] NODE [-- COMMAND…]",
        help="a root shell on a node, or after -- one command there",
    )
    console.add_argument("node", metavar="NODE")
    console.set_defaults(command=_console)


def _add_machine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kernel", choices=list(machine.KERNELS), default="patched", help="default patched")
    parser.add_argument("--memory", default="1G", metavar="SIZE", help="fast memory, default 1G")
    slow = parser.add_mutually_exclusive_group()
    slow.add_argument("--cxl", metavar="SIZE", help="a CXL type-3 device of that size (the default, 512M)")
    slow.add_argument(
        "--slow-ram", metavar="SIZE", help="a CPU-less NUMA node as fast as RAM, for benchmarks"
    )
    slow.add_argument("--no-slow", action="store_true", help="fast memory only")
    parser.add_argument("--cpus", type=int, metavar="N", help="default 2, or 1 with --icount")
    parser.add_argument("--icount", action="store_true", help="count instructions: figures that repeat")
    parser.add_argument(
        "--share", type=Path, metavar="DIR", help="a folder of this machine, to be /share there"
    )


def _machine(arguments: argparse.Namespace) -> Machine:
    if arguments.share and not arguments.share.is_dir():
        raise LabError(f"--share {arguments.share} is no folder: name one that exists")
    if arguments.cpus is not None and not 1 <= arguments.cpus <= 8:
        raise LabError(f"--cpus {arguments.cpus}: say 1 to 8")
    if arguments.no_slow:
        slow, size, option = Slow.NONE, "512M", "--cxl"
    elif arguments.slow_ram:
        slow, size, option = Slow.RAM, arguments.slow_ram, "--slow-ram"
    else:
        slow, size, option = Slow.CXL, arguments.cxl or "512M", "--cxl"
    return Machine(
        kernel=arguments.kernel,
        memory_bytes=machine.parse_size(arguments.memory, "--memory"),
        slow=slow,
        slow_bytes=machine.parse_size(size, option),
        cpus=arguments.cpus or (1 if arguments.icount else 2),
        icount=arguments.icount,
        share=arguments.share.absolute() if arguments.share else None,
    )


def _workshop(*names: str) -> Workshop:
    """A workshop on a machine that has what it takes to build those of these parts that are missing."""
    host.require_lab_host(_asked())
    cache = Cache(default_root())
    workshop = Workshop(cache, catalogue.PARTS)
    if {part.name for part in golang.PARTS} & set(workshop.missing(names)):
        # Told before the quarter of an hour that kernels take, and not after it.
        golang.require_go()
    host.install_packages(cache)
    host.require_room(cache, workshop.room_mib(names))
    return workshop


def _check(_: argparse.Namespace) -> int:
    _workshop(*catalogue.PARTS)
    return 0


def _build(arguments: argparse.Namespace) -> int:
    names = arguments.parts or tuple(catalogue.PARTS)
    for name in arguments.parts:
        if name not in catalogue.PARTS:
            raise LabError(f"there is no part {name!r}: name some of {', '.join(catalogue.ASKED)}")
    workshop = _workshop(*names)
    for name, path in zip(names, workshop.get(*names), strict=True):
        print(f"{name}\t{path}")
    return 0


def _node_run(arguments: argparse.Namespace) -> int:
    if not arguments.words:
        raise LabError("there is no command to run: write it after --, such as `node run -- uname -r`")
    if not 1 <= arguments.timeout <= MAX_TIMEOUT_SECONDS:
        raise LabError(f"--timeout {arguments.timeout:g}: say 1 to {MAX_TIMEOUT_SECONDS} seconds")
    if sys.stdout is None or sys.stderr is None:
        raise LabError("standard output or standard error is closed: send it to /dev/null instead")
    wanted = _machine(arguments)
    slow_bytes = 0 if wanted.slow is Slow.NONE else wanted.slow_bytes
    host.require_memory("a node", (wanted.memory_bytes + slow_bytes) >> 20)
    workshop = _workshop(*node.parts(wanted))
    return node.run(
        workshop,
        wanted,
        arguments.words,
        out=sys.stdout.buffer,
        err=sys.stderr.buffer,
        timeout_seconds=arguments.timeout,
    )


def _cluster_up(arguments: argparse.Namespace) -> int:
    checked_name(arguments.name)
    planned = members(arguments.nodes)
    host.require_memory("a cluster", memory_mib(planned))
    workshop = _workshop(*cluster_parts(planned))
    cluster.up(workshop, arguments.name, arguments.nodes)
    _print_status(workshop.cache, arguments.name)
    named = "" if arguments.name == "lab" else f"THERMOCLINE_LAB={arguments.name} "
    print(f"\n{named}python3 -m tests.lab kubectl get nodes")
    return 0


def _cluster_down(arguments: argparse.Namespace) -> int:
    if not cluster.down(_existing_cache(), arguments.name):
        progress.say(f"there is no cluster {arguments.name!r}")
    return 0


def _cluster_status(arguments: argparse.Namespace) -> int:
    _print_status(_existing_cache(), arguments.name)
    return 0


def _cluster_restart(arguments: argparse.Namespace) -> int:
    cluster.restart(_existing_cache(), arguments.name, arguments.node)
    return 0


def _tool(name: str, words: Sequence[str]) -> int:
    return _become(TOOLS[name](cluster.load(_existing_cache(), DEFAULT_CLUSTER), words))


def _console(arguments: argparse.Namespace) -> int:
    plan = cluster.load(_existing_cache(), DEFAULT_CLUSTER)
    return _become(cluster.console(plan, arguments.node, arguments.words))


def _existing_cache() -> Cache:
    host.require_lab_host(_asked())
    return Cache(default_root())


def _asked() -> str:
    """The command that this is, as a person says it; `check` is what `make test` begins with."""
    words = sys.argv[1:]
    return host.MAKE_TEST if words == ["check"] else shlex.join(["python3", "-m", "tests.lab", *words])


def _become(argv: Sequence[str]) -> int:
    sys.stdout.flush()
    os.execvp(argv[0], list(argv))


def _print_status(cache: Cache, name: str) -> None:
    states = cluster.status(cluster.load(cache, name))
    print(f"{'NODE':12}{'KERNEL':10}{'MACHINE':10}KUBERNETES")
    for node_state in states:
        machine_state = "on" if node_state.running else "off"
        ready = "Ready" if node_state.ready else "NotReady"
        print(f"{node_state.name:12}{node_state.kernel:10}{machine_state:10}{ready}")


def _cache(arguments: argparse.Namespace) -> int:
    cache = Cache(default_root())
    workshop = Workshop(cache, catalogue.PARTS)
    noted = checkouts.users(cache)
    current = {environment.path(cache), *(workshop.path(name) for name in catalogue.PARTS)}
    # Of what this one used, too, what has since got another key goes; what benchmarks built has no name here.
    names = {part_name(path) for path in current}
    current |= {path for path in noted.pop(CHECKOUT, ()) if part_name(path) not in names}
    users = {path: f"used by {checkout}" for checkout, paths in noted.items() for path in paths}
    users |= dict.fromkeys(cluster.in_use(cache), "used by a cluster")
    users |= dict.fromkeys(current, "used by this checkout")
    if arguments.action == "prune":
        for path in cache.prune(frozenset(users)):
            progress.say(f"removed {path.name}")
        checkouts.forget_those_gone(cache)
    for path in cache.entries():
        size_mib = int(process.output_of(["du", "-sm", path]).split()[0])
        print(f"{size_mib:6} MiB  {path}  {users.get(path, 'not used')}")
    return 0
