"""One round: observe, plan, migrate, report. Whatever fails makes the round do less, and never the agent end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from thermocline_agent import terms
from thermocline_agent.assignment import Assignment, PolicySource
from thermocline_agent.clock import Clock
from thermocline_agent.conditions import Chosen, Facts, restraint, tiers
from thermocline_agent.history import History
from thermocline_agent.ledger import Ledger
from thermocline_agent.machine import Machine
from thermocline_agent.migration import Carried, Mover
from thermocline_agent.moves import Moves, Plan
from thermocline_agent.observation import Observation
from thermocline_agent.observer import Observer
from thermocline_agent.parts import Kind, Parts
from thermocline_agent.plan import pace, plan_round
from thermocline_agent.portrait import portrait
from thermocline_agent.probe import probe
from thermocline_agent.recorder import Seen
from thermocline_agent.report import Report
from thermocline_agent.selection import Governed, govern
from thermocline_agent.snapshot import Snapshot
from thermocline_agent.summary import Done, Known, summarize
from thermocline_agent.topology import Topology, changes
from thermocline_agent.tracking import Tracking
from thermocline_api.node import NodeStatus
from thermocline_api.settings import KernelTiering, Mode, Settings
from thermocline_kernel.errors import KernelInterfaceError
from thermocline_kernel.host import Host

_log: Final = logging.getLogger(__name__)
_PROBE_SECONDS: Final = 300.0


@dataclass(slots=True)
class Rounds:
    """Everything that one round leaves for the next. `mode` is what is done whatever the policy's mode is; `witness` is
    told what each round that saw something has seen.
    """

    host: Host
    policy: PolicySource
    clock: Clock
    parts: Parts
    mode: Mode | None = None
    witness: Callable[[Seen], None] | None = None
    machine: Machine = field(init=False)
    observer: Observer = field(init=False)
    mover: Mover = field(init=False)
    ledger: Ledger = field(init=False)
    history: History = field(init=False)
    tracking: Tracking | None = None
    number: int = 0
    status: NodeStatus = field(default_factory=NodeStatus)
    _probed_at: float = float("-inf")
    _governed: dict[int, Governed] = field(default_factory=dict)
    _governed_by: tuple[object, object] = (None, None)

    def __post_init__(self) -> None:
        self.machine = Machine(self.host)
        self.parts.halted = self._halted
        self.observer = Observer(self.host, self.parts, self.clock.interruptible)
        self.mover = Mover(self.host, self.clock.monotonic)
        self.ledger = Ledger(self.clock.now())
        self.history = History.begin(self.clock.monotonic())

    def assignment(self) -> Assignment:
        """What shall be done now, in the mode that was asked for on the command line."""
        found = self.policy.current()
        if self.mode is None or found.settings is None:
            return found
        return replace(found, settings=replace(found.settings, mode=self.mode))

    def run(self, *, moving: bool = True) -> Report:
        """One round, to its report. Without `moving` heat is only brought up to date.

        Raises Ended when the agent is told to end before anything has moved; after that, the round comes to its report.
        """
        began = self.clock.monotonic()
        self.number += 1
        assignment = self.assignment()
        settings = assignment.settings or Settings()
        with self.clock.interruptible():
            self._probe(began)
        facts = self._facts(assignment, settings)
        if facts.topology is None or facts.topology.problem is not None or _refuses(settings, facts):
            self.parts.drop_source()
            self.parts.drop_engine()
            return self._report(facts, settings, Done(self.number), began)
        tracking = self._laid_out(facts.topology)
        return self._round(facts, settings, tracking, began, moving=moving)

    @property
    def looks(self) -> int:
        """How often memory is looked at between the last round and the next, that one included."""
        return self.parts.looks

    def look(self) -> None:
        """Look at memory before the next round does. Raises Ended."""
        self.observer.look(self.clock.monotonic())

    def close(self) -> None:
        """Leave nothing running in the kernel."""
        self.parts.close()

    def _round(
        self, facts: Facts, settings: Settings, tracking: Tracking, began: float, *, moving: bool
    ) -> Report:
        wanted = terms.planner_settings(settings, tracking.topology)
        self.parts.wanted = {
            "Source": list(map(str, settings.hotness.sources)),
            "Engine": list(map(str, settings.migration.engines)),
        }
        observed = self.observer.observe(tracking, settings.hotness, began)
        self.history = self.history.without(observed.gone)
        self.ledger.forget(observed.gone)
        for number in observed.gone:
            if number < len(tracking.heat.memory.rounds):
                tracking.heat.memory = tracking.heat.memory.without(number)
        rule_of = self._rules(settings, tracking)
        self._use_engine(settings, tracking.topology, began)
        facts = replace(
            facts,
            source=self._chosen("Source", settings.hotness.sources, self.parts.source, began),
            engine=self._chosen("Engine", settings.migration.engines, self.parts.engine, began),
        )
        levels = self.history.sized_levels(len(rule_of))
        seen = observed.seen
        with self.clock.interruptible():
            learnt = None
            if seen is not None:
                learnt = self.observer.learn(tracking, seen, levels, pace(wanted), began)
            if learnt is None:
                return self._report(facts, settings, Done(self.number, observed), began)
            snapshot = Snapshot(
                tracking.layout, tracking.heat, tracking.census.owner, rule_of, tracking.nodes,
                self.machine.pressure(), tracking.census.tails,
            )  # fmt: skip
            if self.witness is not None:
                self.witness(self._witnessed(snapshot, learnt, began))
            plan = plan_round(snapshot, wanted, self.history, began)
        done = Done(
            self.number,
            observed,
            heat=portrait(snapshot),
            measured=self.history.measured(began - _window_seconds(settings)),
            tracked_pages=tracking.layout.pages,
        )
        held = restraint(facts)
        if not moving or (held is not None and held.reason != "DryRun"):
            plan = _still(plan)
        dry = held is not None and held.reason == "DryRun"
        carried, moved = None, (0, 0)
        if held is None and len(plan.moves):
            carried = self._carry_out(plan, tracking, began)
            moved = self.ledger.enter(plan.moves, carried.results, self.clock.now())
        status = carried.status if carried is not None else np.zeros(0, dtype=np.int32)
        self.history = self.history.after(plan if held is None else _still(plan), status, wanted, began)
        return self._report(
            facts, settings, replace(done, plan=plan, dry=dry, carried=carried, moved=moved), began
        )

    def _witnessed(self, snapshot: Snapshot, learnt: Observation, now: float) -> Seen:
        assert self.tracking is not None  # noqa: S101 - what was seen was seen of it
        owners = self.tracking.census.register.owners
        source = self.parts.source.name if self.parts.source is not None else "none"
        return Seen(snapshot, learnt, owners, self.policy.pods(), self.tracking.topology.nodes, source, now)

    def _carry_out(self, plan: Plan, tracking: Tracking, now: float) -> Carried:
        engine = self.parts.engine
        assert engine is not None, "without one, nothing may move"  # noqa: S101 - restraint has said so
        carried = self.mover.carry_out(engine, plan.moves, tracking.census.register, self._halted)
        if carried.error is not None:
            self.parts.failed("Engine", engine.name, carried.error, now)
        else:
            self.parts.worked("Engine", engine.name)
        gone = carried.status >= 0
        tracking.forget(plan.moves.index[gone], plan.moves.pages[gone])
        return carried

    def _halted(self) -> bool:
        """Whether a round must stop in the middle: the agent ends, or the policy says so."""
        if self.clock.ending():
            return True
        assignment = self.assignment()
        return (
            assignment.paused or assignment.settings is None or assignment.settings.mode is not Mode.ENFORCE
        )

    def _facts(self, assignment: Assignment, settings: Settings) -> Facts:
        topology = self.machine.topology(settings.tiers)
        no_topology = "; ".join(self.machine.problems) if topology is None else None
        active = self.machine.tiering()
        unknown = self.machine.problems[-1] if active is None else None
        return Facts(assignment, topology, no_topology, Chosen(None), Chosen(None), active, unknown)

    def _laid_out(self, topology: Topology) -> Tracking:
        before = self.tracking
        if before is None:
            self.tracking = Tracking.of(topology)
        else:
            for change in changes(before.topology, topology):
                _log.info("topology: %s", change)
            self.tracking = before.with_topology(topology)
        return self.tracking

    def _rules(self, settings: Settings, tracking: Tracking) -> NDArray[np.int16]:
        """The rule of each owner, shape (owners,). Owners are judged anew when the rules or the pods have changed."""
        pods = self.policy.pods()
        owners = tracking.census.register.owners
        if self._governed_by != (settings.rules, pods):
            # Whoever tells of pods may go on changing what it has handed out.
            kept = dict(pods) if pods is not None else None
            self._governed, self._governed_by = {}, (settings.rules, kept)
        before = self._governed
        self._governed = {
            number: before.get(number) or govern(owner, settings.rules, pods)
            for number, owner in owners.items()
        }
        rule_of = np.full(max(owners, default=0) + 1, -1, dtype=np.int16)
        for number, found in self._governed.items():
            rule_of[number] = found.rule
        return rule_of

    def _use_engine(self, settings: Settings, topology: Topology, now: float) -> None:
        fast = frozenset(node.number for node in topology.fast)
        self.parts.use_engine([str(each) for each in settings.migration.engines], fast, now)

    def _chosen(self, kind: Kind, wanted: Sequence[object], part: object, now: float) -> Chosen:
        """What is in use, and why what goes before it is not."""
        name = getattr(part, "name", None)
        hindered = []
        for each in map(str, wanted):
            if each == name:
                break
            if (why := self.parts.hindrance(kind, each, now)) is not None:
                hindered.append((each, *why))
        return Chosen(name, tuple(hindered))

    def _probe(self, now: float) -> None:
        if now < self._probed_at + _PROBE_SECONDS:
            return
        self._probed_at = now
        kdamonds = self.parts.kdamonds
        # Where DAMON does not work, the probe says why.
        with suppress(KernelInterfaceError):
            kdamonds.clear()
        self.parts.capabilities = probe(self.host, self.parts.senders, kdamonds.actions).capabilities

    def _report(self, facts: Facts, settings: Settings, done: Done, began: float) -> Report:
        oom_kills = self.machine.oom_kills()
        problems = (*self.machine.problems, *self.observer.problems)
        self.machine.problems.clear()
        self.observer.problems.clear()
        known = Known(
            self.status,
            self.parts.told(began),
            self.tracking.census.register.owners if self.tracking is not None else {},
            self._governed,
            self.policy.pods(),
            self.ledger,
            oom_kills,
            problems,
        )
        done = replace(done, seconds=self.clock.monotonic() - began)
        report = summarize(facts, settings, done, known, self.clock.now())
        self.status = report.status
        return report


def _refuses(settings: Settings, facts: Facts) -> bool:
    """Whether not even heat is observed while the kernel tiers memory itself, or may do so."""
    if settings.guards.kernel_tiering is not KernelTiering.REFUSE:
        return False
    return facts.tiering is None or any(map(tiers, facts.tiering))


def _still(plan: Plan) -> Plan:
    """The plan without its moves."""
    return replace(plan, moves=Moves.none(), returned=0, promised=0.0)


def _window_seconds(settings: Settings) -> float:
    return max(settings.guards.ping_pong.window_seconds, 2 * settings.hotness.interval_seconds)
