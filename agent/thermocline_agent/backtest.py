"""What a policy would have done to the memory of a trace. Pure: the same trace and policy give the same figures.

Each round the pages are where the policy has moved them by then, the planner sees what the source saw of them, and what
it plans is done, as far as there is room. How often a page was accessed is what the source saw while the trace was
recorded, wherever the page then was; of what it did not look at in a round, what it saw when it last did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from thermocline_agent.extent import F64, I64, Mask
from thermocline_agent.guards import Why
from thermocline_agent.recorded import Recorded
from thermocline_agent.replay import Loop
from thermocline_agent.settings import Settings
from thermocline_agent.trace import Moment, Trace

# Where no guard says within which time a page that moves back is one too many.
_WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """What became of the pages of a rule's owners; `name` None: of those that no rule governs.

    Pages are those at the end. `fast_hit`: which share of their accesses fast memory served.
    """

    name: str | None
    owners: int
    resident_pages: int
    fast_pages: int
    recorded_fast_pages: int
    fast_hit: float | None
    promoted_pages: int
    demoted_pages: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """`fast_hits`: which share of the accesses fast memory served, by round, None where none had been seen;
    `recorded_fast_hits`, where pages lay while the trace was recorded. `fast_hit`, `late_fast_hit`: of all rounds, and
    of the second half of them. `promoted`, `demoted`: pages by round. `refused_pages`: those that had no room, each
    time that they were to move. `returned_pages`: moves of pages that had been moved within the window before.
    `waits`: in how many rounds not everything moved that should, by the reason.
    """

    fast_hits: tuple[float | None, ...]
    recorded_fast_hits: tuple[float | None, ...]
    fast_hit: float | None
    late_fast_hit: float | None
    recorded_fast_hit: float | None
    recorded_late_fast_hit: float | None
    promoted: tuple[int, ...]
    demoted: tuple[int, ...]
    refused_pages: int
    returned_pages: int
    window_seconds: float
    waits: Mapping[Why, int] = field(hash=False)
    rules: tuple[RuleOutcome, ...]

    @property
    def moved_pages(self) -> int:
        """In both directions."""
        return sum(self.promoted) + sum(self.demoted)


def backtest(trace: Trace, settings: Settings, rule_of: NDArray[np.int16]) -> Outcome:
    """Replay the trace. `rule_of`: the rule of each owner, as Snapshot has it."""
    run = _Run(trace, settings, rule_of)
    for moment in trace.moments:
        run.step(moment)
    return run.outcome()


class _Run:
    """A replay, and what is counted of it: accesses by round, rule, and whether fast memory served them."""

    def __init__(self, trace: Trace, settings: Settings, rule_of: NDArray[np.int16]) -> None:
        self._trace, self._settings, self._rule_of = trace, settings, rule_of
        self._machine = Recorded(trace)
        # The agent's first interval ends with the first round.
        self._loop = Loop(
            self._machine, settings, rule_of, trace.moments[0].seconds - settings.interval_seconds
        )
        self._source = trace.moments[0].source
        limits = settings.guards.ping_pong
        self._window_seconds = limits.window_seconds if limits is not None else _WINDOW_SECONDS
        # What was last seen of each page, in accesses: a source may look at a part of memory at a time.
        self._latest: F64 = np.zeros(trace.layout.pages)
        self._moved_at: F64 = np.full(trace.layout.pages, -np.inf)
        # The last is of those that no rule governs.
        self._rules = len(settings.rules) + 1
        rounds = len(trace.moments)
        self._accesses = np.zeros((rounds, self._rules))
        self._hits = np.zeros((rounds, self._rules))
        self._recorded_hits = np.zeros(rounds)
        self._promoted: I64 = np.zeros((rounds, self._rules), dtype=np.int64)
        self._demoted: I64 = np.zeros((rounds, self._rules), dtype=np.int64)
        self._refused = self._returned = self._number = 0
        self._waits: dict[Why, int] = {}

    def step(self, moment: Moment) -> None:
        machine, loop = self._machine, self._loop
        if moment.source != self._source:
            # As the agent does: another source's counts are of another kind.
            loop.heat.begin()
            self._source = moment.source
        placed = machine.place.copy()
        loop.heat.forget(machine.advance(moment))
        new = machine.place != placed
        self._moved_at[new], self._latest[new] = -np.inf, 0.0
        self._count(moment)
        before = machine.in_fast
        plan = loop.step(machine.seen(moment), moment.seconds, moment.pressure)
        after = machine.in_fast
        self._enter(moment, before, after)
        moved = int(np.count_nonzero(before != after))
        self._refused += int(plan.moves.pages.sum()) - moved
        for why in plan.waits:
            self._waits[why] = self._waits.get(why, 0) + 1
        self._number += 1

    def outcome(self) -> Outcome:
        """The figures."""
        late = slice(len(self._accesses) // 2, None)
        hits, accesses = self._hits.sum(axis=1), self._accesses.sum(axis=1)
        recorded = self._recorded_hits
        return Outcome(
            _shares(hits, accesses),
            _shares(recorded, accesses),
            _share(hits.sum(), accesses.sum()),
            _share(hits[late].sum(), accesses[late].sum()),
            _share(recorded.sum(), accesses.sum()),
            _share(recorded[late].sum(), accesses[late].sum()),
            tuple(self._promoted.sum(axis=1).tolist()),
            tuple(self._demoted.sum(axis=1).tolist()),
            self._refused,
            self._returned,
            self._window_seconds,
            dict(sorted(self._waits.items(), key=lambda item: item[0].value)),
            self._by_rule(),
        )

    def _by_rule(self) -> tuple[RuleOutcome, ...]:
        machine = self._machine
        rule = self._rule(np.arange(len(machine.place)))
        owners = np.bincount(self._rule_of[1:].astype(np.int64) % self._rules, minlength=self._rules)
        resident, fast, recorded = (
            np.bincount(rule[which], minlength=self._rules)
            for which in (machine.lives, machine.in_fast, machine.was_in_fast)
        )
        names = [*(each.name for each in self._settings.rules), None]
        return tuple(
            RuleOutcome(
                name,
                int(owners[index]),
                int(resident[index]),
                int(fast[index]),
                int(recorded[index]),
                _share(self._hits[:, index].sum(), self._accesses[:, index].sum()),
                int(self._promoted[:, index].sum()),
                int(self._demoted[:, index].sum()),
            )
            for index, name in enumerate(names)
        )

    def _rule(self, page: I64) -> I64:
        """The index of the rule of each page, the last for none."""
        found: I64 = self._rule_of[self._machine.charged[page]].astype(np.int64) % self._rules
        return found

    def _count(self, moment: Moment) -> None:
        """What is accessed, where it lies now."""
        self._latest[moment.covered.frames()[0]] = 0.0
        page, count = moment.counts.frames()
        self._latest[page] = count * moment.accesses_per_count
        page = np.flatnonzero(self._machine.lives & (self._latest > 0))
        weight, rule, fast = self._latest[page], self._rule(page), self._machine.in_fast[page]
        self._accesses[self._number] = np.bincount(rule, weight, self._rules)
        self._hits[self._number] = np.bincount(rule[fast], weight[fast], self._rules)
        self._recorded_hits[self._number] = weight[self._machine.was_in_fast[page]].sum()

    def _enter(self, moment: Moment, before: Mask, after: Mask) -> None:
        for table, moved in ((self._promoted, after & ~before), (self._demoted, before & ~after)):
            page = np.flatnonzero(moved)
            table[self._number] = np.bincount(self._rule(page), minlength=self._rules)
            self._returned += int(
                np.count_nonzero(moment.seconds - self._moved_at[page] <= self._window_seconds)
            )
            self._moved_at[page] = moment.seconds


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _shares(parts: F64, wholes: F64) -> tuple[float | None, ...]:
    return tuple(_share(part, whole) for part, whole in zip(parts.tolist(), wholes.tolist(), strict=True))
