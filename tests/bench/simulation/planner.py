"""What a round costs the planner: seconds for each page tracked, and bytes kept of it.

A node in its usual state: 110 pods by six rules, two of them with shares, whose pages lie in runs of 16. A
quarter of the pages is in use, each in nearly every interval; of the others one in a hundred is. The agent
has had the time to put all where it belongs. A round is heat taking in an interval's access bits, and the
plan; what is kept from one to the next are heat's two bytes and what the census knows: whose a page is, and
whether it is a tail of a large folio.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from thermocline_agent.extent import Mask
from thermocline_agent.observation import AccessBits
from thermocline_agent.ownership import Ownership
from thermocline_agent.plan import pace, plan_round
from thermocline_agent.replay import Loop, Machine
from thermocline_agent.settings import Amount, FastShare, Limits, Placement, Rule, Settings
from thermocline_agent.snapshot import Snapshot
from thermocline_agent.tails import Tails

GIB_PAGES = 1 << 18
OWNERS = 110
_RUN = 16
_HUGE = 512
_SETTLING_ROUNDS = 40

RULES = (
    Rule("critical", Placement.PIN_FAST),
    Rule("host", Placement.PREFER_SLOW),
    Rule("system", Placement.IGNORE),
    Rule("batch", fast_share=FastShare(Amount(share=0.1), Amount(share=0.4), 200)),
    Rule("store", fast_share=FastShare(Amount(share=0.2))),
    Rule("all"),
)
# Which rule how many of ten pods have.
_SPREAD = (0, 1, 2, 3, 4, 5, 5, 5, 5, 5)
# Of 256 intervals, in how many a page is touched.
_USED, _IDLE = 250, 2


@dataclass(frozen=True, slots=True)
class Cost:
    """Of each round: CPU seconds to observe and to plan, and the pages planned. Kept from one to the next are
    `heat_bytes` and `census_bytes`: `huge_census_bytes` if all were in huge pages.
    """

    pages: int
    observe_seconds: list[float]
    plan_seconds: list[float]
    moves: list[int]
    heat_bytes: int
    census_bytes: int
    huge_census_bytes: int

    @property
    def ns_per_page(self) -> list[float]:
        """Of each round, both together."""
        return [
            (seen + planned) / self.pages * 1e9
            for seen, planned in zip(self.observe_seconds, self.plan_seconds, strict=True)
        ]


def cost(gib: int, rounds: int, seed: int = 1) -> Cost:
    """Rounds on a node of so many GiB, half of it fast."""
    random = np.random.default_rng(seed)
    frames = gib * GIB_PAGES
    pages = frames * 13 // 16
    owner_of = np.repeat(random.integers(1, OWNERS + 1, pages // _RUN + 1).astype(np.uint16), _RUN)[:pages]
    rule_of = np.concatenate(([-1], random.choice(_SPREAD, OWNERS))).astype(np.int16)
    in_use = random.random(pages) < 0.25
    machine = Machine(frames // 2, frames // 2, owner_of, random.random(pages) < 0.5)
    settings = Settings(RULES, limits=Limits(1 << 40, 1 << 40))
    loop = Loop(machine, settings, rule_of)
    observe, plan, moves = [], [], []
    for number in range(1, _SETTLING_ROUNDS + rounds + 1):
        now = number * settings.interval_seconds
        observation = _bits(machine, in_use, random)
        levels = loop.history.sized_levels(OWNERS + 1)
        owner = Ownership.of(machine.owner)
        started = time.process_time()
        loop.heat.observe(observation, owner, now, levels=levels, pace=pace(settings))
        seen = time.process_time()
        snapshot = Snapshot(machine.layout, loop.heat, owner, rule_of, machine.nodes)
        made = plan_round(snapshot, settings, loop.history, now)
        done = time.process_time()
        status = machine.move(made.moves.index, made.moves.node)
        loop.history = loop.history.after(made, status, settings, now)
        loop.heat.forget(made.moves.index[status >= 0])
        if number > _SETTLING_ROUNDS:
            observe.append(seen - started)
            plan.append(done - seen)
            moves.append(int(made.moves.pages.sum()))
    heat_bytes = loop.heat.heat.nbytes + loop.heat.state.nbytes
    single = Ownership.of(machine.owner).nbytes + Tails(frames).nbytes
    whose = np.repeat(random.integers(1, OWNERS + 1, frames // _HUGE), _HUGE)
    huge = Ownership.of(whose).nbytes + Tails.of(np.arange(frames) % _HUGE > 0).nbytes
    return Cost(frames, observe, plan, moves, heat_bytes, single, huge)


def _bits(machine: Machine, in_use: Mask, random: np.random.Generator) -> AccessBits:
    drawn = np.frombuffer(random.bytes(len(in_use)), dtype=np.uint8)
    touched = np.where(in_use, drawn < _USED, drawn < _IDLE)
    by_frame = np.zeros(machine.layout.pages, dtype=np.uint8)
    by_frame[machine.frame_of] = touched
    return AccessBits(np.packbits(by_frame, bitorder="little"), ((0, machine.layout.pages),))
