"""A round's report: what was seen, planned and done, told as values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from thermocline_agent.assignment import Pod
from thermocline_agent.conditions import Facts
from thermocline_agent.engines.engine import Result
from thermocline_agent.extent import I64
from thermocline_agent.guards import Measured
from thermocline_agent.ledger import Ledger
from thermocline_agent.migration import Carried
from thermocline_agent.moves import Moves, Plan
from thermocline_agent.node_status import counters, node_status
from thermocline_agent.observer import Observed
from thermocline_agent.owner_reports import matched, owner_reports
from thermocline_agent.owners import Owner
from thermocline_agent.probe import Capability
from thermocline_agent.report import HEAT_STEPS, OwnerReport, Reasoned, Report, RoundReport
from thermocline_agent.selection import Governed
from thermocline_api.node import NodeStatus
from thermocline_api.report import NodeDryRun
from thermocline_api.rule import Rule
from thermocline_api.settings import Settings
from thermocline_kernel.host import PAGE_BYTES

_NO_PAGES: I64 = np.zeros((1, 2, HEAT_STEPS), dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """What one round came to. `plan` None: nothing was observed; its moves are those asked for, in DryRun too.

    `carried` None: nothing was moved, as `dry` says or because nothing may be. `heat`: as portrait has it.
    """

    number: int
    observed: Observed = field(default_factory=Observed)
    plan: Plan | None = None
    dry: bool = False
    carried: Carried | None = None
    moved: tuple[int, int] = (0, 0)
    measured: Measured = field(default_factory=Measured)
    heat: I64 | None = None
    tracked_pages: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside that."""

    before: NodeStatus
    capabilities: Sequence[Capability]
    owners: Mapping[int, Owner]
    governed: Mapping[int, Governed]
    pods: Mapping[str, Pod] | None
    ledger: Ledger
    oom_kills: int | None
    problems: Sequence[str] = ()


def summarize(facts: Facts, settings: Settings, done: Done, known: Known, now: datetime) -> Report:
    """The report of a round."""
    plan = done.plan
    facts = replace(
        facts,
        observed=plan is not None,
        waits=plan.waits if plan is not None else (),
        moved_pages=sum(done.moved),
        engine_error=done.carried.error if done.carried is not None else None,
        refused=_refused(done.carried) if done.carried is not None and not any(done.moved) else None,
    )
    pages = done.heat if done.heat is not None else _NO_PAGES
    reports = owner_reports(known.owners, known.governed, settings.rules, known.pods, pages, known.ledger)
    hits = plan.fast_hits if plan is not None else None
    status = node_status(
        facts,
        known.before,
        now,
        capabilities=known.capabilities,
        counters=counters(known.ledger, done.number, hits, done.measured, known.oom_kills),
        owners=_planned_reports(done, known, settings, pages, now) if done.dry else reports,
        dry_run=_dry_run(plan) if done.dry and plan is not None else None,
        pods_matched=matched(reports),
    )
    problems = list(known.problems)
    if facts.assignment.problem is not None:
        problems.insert(0, facts.assignment.problem)
    if facts.engine_error is not None:
        problems.append(f"{status.engine}: {facts.engine_error}")
    return Report(
        now,
        settings.hotness.interval_seconds,
        status,
        _round(done, settings.rules),
        reports,
        tuple(problems),
    )


def _round(done: Done, rules: Sequence[Rule]) -> RoundReport:
    plan, seen = done.plan, done.observed.seen
    hits = plan.fast_hits if plan is not None else None
    return RoundReport(
        number=done.number,
        planned=tuple(
            Reasoned(rules[rule].name, reason.name, pages)
            for (rule, reason), pages in (plan.moves.by_rule().items() if plan is not None else ())
        ),
        promoted_pages=done.moved[0],
        demoted_pages=done.moved[1],
        results=_results(plan.moves, done.carried) if plan is not None and done.carried is not None else {},
        waits=tuple(why.value for why in (plan.waits if plan is not None else ())),
        fast_hit_now=hits.now if hits is not None else None,
        fast_hit_planned=hits.planned if hits is not None else None,
        source_cpu_seconds=done.observed.cpu_seconds,
        engine_cpu_seconds=done.carried.cpu_seconds if done.carried is not None else 0.0,
        round_seconds=done.seconds,
        covered_pages=sum(each.pages for each in seen.covered) if seen is not None else 0,
        tracked_pages=done.tracked_pages,
        missed_samples=seen.missed if seen is not None else 0,
    )


def _refused(carried: Carried) -> tuple[Result, int] | None:
    """What most pages had that were tried; None when none was."""
    tried = carried.results[carried.results != Result.NOT_ATTEMPTED]
    if not tried.size:
        return None
    return Result(int(np.bincount(tried).argmax())), int(tried.size)


def _results(moves: Moves, carried: Carried) -> Mapping[str, int]:
    found = np.bincount(carried.results, moves.pages, len(Result)).astype(np.int64)
    return {result.name: int(found[result]) for result in Result if found[result]}


def _dry_run(plan: Plan) -> NodeDryRun:
    hits = plan.fast_hits
    return NodeDryRun(
        plan.moves.promoted_pages * PAGE_BYTES,
        plan.moves.demoted_pages * PAGE_BYTES,
        None if hits is None else int(100 * hits.planned),
    )


def _planned_reports(
    done: Done, known: Known, settings: Settings, pages: I64, now: datetime
) -> tuple[OwnerReport, ...]:
    """Owners as they would be, had the plan been carried out."""
    imagined = Ledger(now)
    if done.plan is not None:
        imagined.enter(done.plan.moves, np.zeros(len(done.plan.moves), dtype=np.uint8), now)
    return owner_reports(known.owners, known.governed, settings.rules, known.pods, pages, imagined)
