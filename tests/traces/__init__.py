"""Small traces from seeds, on which backtests are held to exact figures: `python3 -m tests.traces` makes them anew.

Those of scenarios are the simulation's (tests/bench/simulation), seen by its observers; `churn` has what those lack:
large folios, memory that is freed and allocated again, and a source that looks at a part of memory a round. `node` was
recorded in a node of the lab (tests/vm/test_traces.py): 24 MiB hot in slow memory, 8 of them in huge pages, and
16 MiB idle in fast memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from tests.bench.simulation.generator import FAST_PAGES, PAGES, SCENARIOS
from tests.bench.simulation.measure import INTERVAL_SECONDS
from tests.bench.simulation.observers import BITS, REGIONS, Observer
from tests.bench.simulation.policies import best
from thermocline_agent.assignment import Pod
from thermocline_agent.extent import Layout, Span, Tier
from thermocline_agent.frames import Frames
from thermocline_agent.guards import Pressure
from thermocline_agent.heat import Heat
from thermocline_agent.observation import AccessBits
from thermocline_agent.owners import Owner, owner_of
from thermocline_agent.ownership import Ownership
from thermocline_agent.recorder import Recorder, Seen
from thermocline_agent.replay import Machine
from thermocline_agent.settings import Watermarks
from thermocline_agent.snapshot import Node, Snapshot
from thermocline_agent.tails import Tails
from thermocline_agent.topology import MemoryNode
from thermocline_agent.trace import Trace
from thermocline_kernel.numa import Performance

FOLDER: Final = Path(__file__).parent
POLICIES: Final = ("plain", "shares")
FIGURES: Final = FOLDER / "figures.json"
_CALM: Final = Pressure(0, 0)
_NO_RULE: Final = np.full(8, -1, dtype=np.int16)
_BURSTABLE: Final = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice"
_UIDS: Final = tuple(f"{number}a1b2c3d_0000_4000_8000_00000000000{number}" for number in range(1, 5))
_PODS: Final = {
    uid.replace("_", "-"): Pod(uid.replace("_", "-"), namespace, f"pod-{number}", {"app": "secret-app"})
    for number, (uid, namespace) in enumerate(
        zip(_UIDS, ("prod", "prod", "team-secret", "kube-system"), strict=True), 1
    )
}
_TENANTS: Final = {number: owner_of(number, f"tenants/{number}") for number in (1, 2, 3)}


def scenario(
    name: str, observer: Observer, rounds: int, owners: Mapping[int, Owner], *, names: bool, seed: int = 1
) -> Trace:
    """A scenario of the simulation, as an agent that moves nothing sees it."""
    told = SCENARIOS[name]
    random = np.random.default_rng(seed)
    start = best(random.random(PAGES), FAST_PAGES)
    # What watermarks keep free comes on top.
    fast_frames = int(np.ceil(FAST_PAGES / (1 - Watermarks().demote_until)))
    machine = Machine(fast_frames, PAGES, told.owner_of, start)
    recorder = Recorder(INTERVAL_SECONDS, names=names)
    for number, rates in enumerate(told.rates(random, rounds)):
        observation = observer.tell(machine.by_frame(observer.see(random.poisson(rates), random)))
        snapshot = Snapshot(
            machine.layout, Heat(machine.layout), Ownership.of(machine.owner), _NO_RULE, machine.nodes, _CALM
        )
        now = 1000.0 + number * INTERVAL_SECONDS
        recorder.take(Seen(snapshot, observation, owners, None, (), observer.name, now))
    return _whole(recorder)


def churn(rounds: int = 48, seed: int = 1) -> Trace:
    """Four owners on three nodes, one of which comes and goes, in folios of 512 pages and in single ones.

    Half of each large folio's owner's memory is hot; a third of memory is looked at each round.
    """
    random = np.random.default_rng(seed)
    spans = (
        Span(512, 2048, 0, Tier.FAST),
        Span(4096, 1000, 1, Tier.FAST),
        Span(8192, 8192, 2, Tier.SLOW),
    )
    layout = Layout(spans)
    pfn = layout.pfn(np.arange(layout.pages)).astype(np.int64)
    owners = {number: owner_of(number, _BURSTABLE.format(_UIDS[number - 1])) for number in range(1, 5)}
    recorder = Recorder(5.0, names=False)
    nodes = tuple(_node(span) for span in spans)
    for number, (owner, tails) in enumerate(_lives(layout, random, rounds)):
        block = pfn // 512
        hot = (owner > 0) & np.where(tails | (owner == 4), block % 2 == 0, random.random(layout.pages) < 0.3)
        third = -(-layout.pages // 3)
        first = number % 3 * third
        covered = (first, min(first + third, layout.pages))
        seen = np.zeros(layout.pages, dtype=np.bool_)
        seen[slice(*covered)] = hot[slice(*covered)]
        observation = AccessBits(np.packbits(seen, bitorder="little"), (covered,))
        used = [
            int(np.count_nonzero(owner[start : start + span.pages]))
            for start, span in zip(layout.starts, spans, strict=True)
        ]
        free = tuple(
            Node(span.node, span.tier, span.pages + 64, span.pages - count)
            for span, count in zip(spans, used, strict=True)
        )
        snapshot = Snapshot(layout, Heat(layout), Ownership.of(owner), _NO_RULE, free, _CALM, Tails.of(tails))
        recorder.take(Seen(snapshot, observation, owners, _PODS, nodes, "IdlePage", 7.0 + 5.1 * number))
    return _whole(recorder)


def _lives(
    layout: Layout, random: np.random.Generator, rounds: int
) -> Iterator[tuple[np.ndarray[tuple[int], np.dtype[np.uint16]], np.ndarray[tuple[int], np.dtype[np.bool_]]]]:
    """Owner and tails by round. Frames 0 to 2048 and 3048 on are whole folios' places."""
    owner = np.zeros(layout.pages, dtype=np.uint16)
    tails = np.zeros(layout.pages, dtype=np.bool_)
    owner[:1700] = 1
    owner[2048:2900] = 2
    for first in range(3048, 3048 + 6 * 512, 512):
        owner[first : first + 512] = 3
        tails[first + 1 : first + 512] = True
    for number in range(rounds):
        if number % 12 == 5:
            owner[6200:8200] = np.where(random.random(2000) < 0.9, 4, 0)
        elif number % 12 == 11:
            owner[6200:8200] = 0
        if number == 20:
            # The kernel splits a folio.
            tails[3048 : 3048 + 512] = False
        if number % 7 == 3:
            some = random.choice(1700, 40, replace=False)
            owner[some] = np.where(owner[some] > 0, 0, 1)
        yield owner.copy(), tails.copy()


def _node(span: Span) -> MemoryNode:
    fast = span.tier is Tier.FAST
    performance = Performance(frozenset((0,)), 90 if fast else 250, None, None, None)
    frames = (Frames(span.first_pfn, span.first_pfn + span.pages),)
    return MemoryNode(
        span.node, int(not fast), fast, (span.pages + 64) * 4096, 0, frames, False, performance, (), ()
    )


def _whole(recorder: Recorder) -> Trace:
    found = recorder.trace()
    assert found is not None, "there were rounds"
    return found


_WORK: Final = {1: owner_of(1, "work/app")}
_HOG: Final = {4: owner_of(4, "batch/hog")}
TRACES: Final[Mapping[str, Callable[[], Trace]]] = {
    "shifting": lambda: scenario("shifting", BITS, 30, _WORK, names=True),
    "clustered": lambda: scenario("clustered", REGIONS, 24, _WORK, names=False),
    "tenants": lambda: scenario("tenants", BITS, 20, _TENANTS | _HOG, names=True),
    "churn": churn,
}
# Those that no seed makes again, and all.
RECORDED: Final = ("node",)
ALL: Final = (*TRACES, *RECORDED)
