"""What this machine can do: its tiers, its sources and engines; and of those it lacks, why, and what would help.

Trying is the only way to know: a file may be there and not for us, a system call in the kernel and forbidden.
Whatever is tried here leaves the machine as it was: DAMON has to make a kdamond for it, which is removed at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from thermocline_agent import inventory
from thermocline_agent.topology import Topology, arrange
from thermocline_kernel import kpage, move_phy_pages, page_idle, pagemap, perf, seccomp, tiering
from thermocline_kernel.damon import Action, Admin, Holder
from thermocline_kernel.errors import Busy, Denied, Failed, Garbled, KernelInterfaceError, Unavailable
from thermocline_kernel.host import Host, read_line
from thermocline_kernel.move_phy_pages import Verdict
from thermocline_kernel.seccomp import CAP_SYS_NICE
from thermocline_kernel.tiering import Active

# A frame that every machine has: that of the first MiB of RAM.
_SOME_PFN: Final = 16
# No program takes as many accesses within the moment that a sampler is open.
_SPARSE_PERIOD: Final = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Capability:
    """A source or an engine by its name in the policy. `reason` is a CamelCase word for programs, empty when it is
    available; `message` a sentence for people.
    """

    kind: Literal["Source", "Engine"]
    name: str
    available: bool
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Probe:
    """All of it. `topology` None: the machine's memory could not be read, for the reason in `problem`."""

    topology: Topology | None
    problem: str | None
    capabilities: tuple[Capability, ...]
    kernel_tiering: tuple[Active, ...] | None
    kernel_tiering_problem: str | None = None


@dataclass(frozen=True, slots=True)
class Missing(Exception):
    """Why a capability is not there."""

    reason: str
    message: str


def probe(host: Host, feed_senders: int = 0, damon_actions: frozenset[Action] | None = None) -> Probe:
    """Try everything. `feed_senders` is how many are connected to the feed socket of the agent that asks,
    `damon_actions` what it knows of schemes: while kdamonds of ours are there, they are not asked.
    """
    topology, problem = _topology(host)
    damon = _Damon(host, damon_actions)
    tried: tuple[tuple[Literal["Source", "Engine"], str, Callable[[], str]], ...] = (
        ("Source", "Feed", lambda: _feed(feed_senders)),
        ("Source", "PerfMem", lambda: _perf_mem(host)),
        ("Source", "Damon", damon.source),
        ("Source", "IdlePage", lambda: _idle_page(host)),
        ("Source", "Referenced", lambda: _referenced(host)),
        ("Engine", "PhysicalCall", lambda: _physical_call(host)),
        ("Engine", "Damon", damon.engine),
        ("Engine", "MovePages", lambda: _move_pages(host)),
    )
    capabilities = tuple(_tried(host, kind, name, test) for kind, name, test in tried)
    try:
        return Probe(topology, problem, capabilities, tiering.active(host))
    except KernelInterfaceError as err:
        return Probe(topology, problem, capabilities, None, str(err))


def _topology(host: Host) -> tuple[Topology | None, str | None]:
    try:
        topology = arrange(inventory.read(host))
    except KernelInterfaceError as err:
        return None, f"the machine's memory could not be read: {err}"
    return topology, topology.problem


def _tried(host: Host, kind: Literal["Source", "Engine"], name: str, test: Callable[[], str]) -> Capability:
    """A test returns what is good to know, and raises Missing or KernelInterfaceError."""
    try:
        if kind == "Engine":
            _owners(host)
        return Capability(kind, name, True, "", test())
    except Missing as err:
        return Capability(kind, name, False, err.reason, err.message)
    except Denied as err:
        return Capability(
            kind, name, False, "NotPermitted", f"{err}: run the agent as root with its capabilities"
        )
    except Unavailable as err:
        return Capability(kind, name, False, "NotInKernel", str(err))
    except Garbled as err:
        return Capability(kind, name, False, "NotUnderstood", str(err))
    except KernelInterfaceError as err:
        return Capability(kind, name, False, "Failed", str(err))


def _owners(host: Host) -> None:
    """No engine moves a page whose owner is not known."""
    try:
        kpage.cgroups(host, _SOME_PFN, 1)
    except Denied:
        raise
    except Unavailable as err:
        raise Missing(
            "OwnersUnknown",
            f"{err}: whose a page is needs a kernel with CONFIG_PROC_PAGE_MONITOR and CONFIG_MEMCG",
        ) from err


def _feed(senders: int) -> str:
    if senders == 0:
        raise Missing(
            "NoSender",
            "nothing is connected to the feed socket: have the tool that reads a device's counters push them there",
        )
    return f"{senders} connected"


def _perf_mem(host: Host) -> str:
    events = perf.memory_events(host)
    if not events:
        raise Missing(
            "NoMemoryEvents",
            "this CPU offers neither Intel's mem-loads (PEBS) nor AMD's ibs_op: virtual machines seldom have them",
        )
    for event in events:
        try:
            perf.Sampler.open(host, event, _SPARSE_PERIOD, ring_pages=1).close()
        except Denied as err:
            raise Missing("NotPermitted", f"{err}: add CAP_PERFMON") from err
        except Failed as err:
            raise Missing("Failed", f"{event.name}: {err}") from err
    return ", ".join(event.name for event in events)


def _idle_page(host: Host) -> str:
    try:
        page_idle.read(host, _SOME_PFN, 1)
    except Denied:
        raise
    except Unavailable as err:
        raise Missing("NotInKernel", f"{err}: it needs a kernel with CONFIG_IDLE_PAGE_TRACKING") from err
    return "an access bit a page"


def _referenced(host: Host) -> str:
    try:
        kpage.flags(host, _SOME_PFN, 1)
    except Denied:
        raise
    except Unavailable as err:
        raise Missing("NotInKernel", f"{err}: it needs a kernel with CONFIG_PROC_PAGE_MONITOR") from err
    if multi_generational(host):
        return "hints of page cache: with the multi-generational LRU on, that it was read, and not how often"
    return "hints, of page cache more than of anonymous memory"


def multi_generational(host: Host) -> bool:
    """Whether the kernel keeps pages in generations, so that flags say less. Raises Denied, Failed or Garbled."""
    path = host.sys / "kernel/mm/lru_gen/enabled"
    try:
        text = read_line(path)
    except Denied:
        raise
    except Unavailable:
        return False
    if not re.fullmatch(r"0x[0-9a-f]{4}", text):
        raise Garbled(path, f"switches such as 0x0007 expected, found {text!r}", 1)
    return bool(int(text, 16) & 1)


_REASONS: Final = {
    Verdict.NOT_IN_KERNEL: "SystemCallMissing",
    Verdict.BLOCKED_BY_SECCOMP: "SystemCallBlockedBySeccomp",
    Verdict.NO_CAPABILITY: "NotPermitted",
    Verdict.ABI_NOT_UNDERSTOOD: "SystemCallNotUnderstood",
}


def _physical_call(host: Host) -> str:
    found = move_phy_pages.probe(host)
    if not found.available:
        raise Missing(_REASONS[found.verdict], found.sentence)
    return found.sentence


def _move_pages(host: Host) -> str:
    rights = seccomp.own(host)
    if not rights.initial_pid_namespace:
        raise Missing(
            "ProcessesHidden",
            "pages are found by the processes that map them, and a PID namespace hides those from this container: "
            "run the agent on the machine itself, or with hostPID",
        )
    pagemap.read(host, "self", id(_SPARSE_PERIOD), 1)
    if not rights.has(CAP_SYS_NICE):
        raise Missing("NotPermitted", "moving other processes' pages needs CAP_SYS_NICE: add that capability")
    return "every process that may map a page is searched for it: the expensive way"


class _Damon:
    """DAMON is asked once, for the source and the engine both."""

    def __init__(self, host: Host, known: frozenset[Action] | None) -> None:
        self._host = host
        self._actions = known
        self._asked = False

    def source(self) -> str:
        """Whether it can monitor."""
        self._ask()
        return "an estimate a region"

    def engine(self) -> str:
        """Whether it can migrate."""
        actions = self._ask()
        if actions is None:
            raise Missing(
                "NotAsked", "an agent that runs here, or was killed, has DAMON, which is not asked meanwhile"
            )
        if not actions >= {Action.MIGRATE_HOT, Action.MIGRATE_COLD}:
            raise Missing("NotInKernel", "this DAMON does not migrate pages: Linux 6.11 and later do")
        return "migrate_hot and migrate_cold schemes, checked by owner in the kernel"

    def _ask(self) -> frozenset[Action] | None:
        """What schemes can do; None where nobody knows, and it is not to be asked now."""
        if not self._asked:
            self._actions = self._actions_of(Admin(self._host))
            self._asked = True
        return self._actions

    def _actions_of(self, admin: Admin) -> frozenset[Action] | None:
        modules = [active.sentence for active in tiering.active(self._host) if active.mechanism.holds_damon]
        if modules:
            raise Missing("DamonBusy", f"DAMON is taken: {'; '.join(modules)}")
        try:
            if admin.holder() is Holder.OURS:
                # An agent is at work, or was killed. It has them because they can monitor; not all can migrate.
                return self._actions
            return self._found(admin)
        except Denied:
            raise
        except Busy as err:
            raise Missing("DamonBusy", str(err)) from err
        except Unavailable as err:
            raise Missing(
                "NotInKernel", f"{err}: it needs a kernel with CONFIG_DAMON_PADDR and CONFIG_DAMON_SYSFS"
            ) from err

    def _found(self, admin: Admin) -> frozenset[Action]:
        """Found out by a kdamond of ours, which is removed whatever happens."""
        try:
            admin.claim(1)
            if "paddr" not in admin.operations(0):
                raise Missing(
                    "NotInKernel", "this DAMON knows no physical addresses: it needs CONFIG_DAMON_PADDR"
                )
            return admin.actions(0)
        finally:
            admin.release()
