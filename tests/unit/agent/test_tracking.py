"""What is tracked: every frame of each node, and what stays known when memory comes and goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.unit.agent.rounds import topology
from thermocline_agent.extent import Span, Tier
from thermocline_agent.frames import Frames
from thermocline_agent.history import History, Round
from thermocline_agent.tracking import Tracking, spans


def test_every_frame_is_tracked_however_nodes_are_aligned() -> None:
    found = topology(fast_pages=2000, slow_pages=2001, first_pfn=100)
    assert spans(found) == (Span(100, 2000, 0, Tier.FAST), Span(2100, 2001, 1, Tier.SLOW))


def test_a_folio_that_moved_is_forgotten_whole() -> None:
    tracking = Tracking.of(topology(fast_pages=1024, slow_pages=1024))
    tracking.heat.heat[:], tracking.heat.state[:] = 9, 40
    tracking.census.owner.write(0, np.full(2048, 3))
    tracking.forget(np.array([8, 512]), np.array([4, 2]))
    gone = [8, 9, 10, 11, 512, 513]
    for array in (tracking.heat.heat, tracking.heat.state, tracking.census.owner[:]):
        assert np.flatnonzero(array == 0).tolist() == gone


def test_what_is_known_of_frames_that_stay_is_kept() -> None:
    before = Tracking.of(topology(fast_pages=1024, slow_pages=1024))
    before.heat.heat[:] = np.arange(2048) % 200
    before.census.owner.write(0, np.arange(2048))
    before.heat.number = 7
    assert before.with_topology(replace(before.topology, basis="otherwise")).heat is before.heat
    fast, slow = before.topology.nodes
    smaller = replace(before.topology, nodes=(fast, replace(slow, frames=(Frames(1536, 2560),))))
    after = before.with_topology(smaller)
    assert after.layout.spans[1] == Span(1536, 1024, 1, Tier.SLOW)
    assert after.heat.number == 7
    assert (after.heat.heat[:1024] == before.heat.heat[:1024]).all()
    assert (after.heat.heat[1024:1536] == before.heat.heat[1536:2048]).all()
    assert not after.heat.heat[1536:].any()
    assert (after.census.owner[1024:1536] == before.census.owner[1536:2048]).all()
    assert after.census.register is before.census.register


def test_a_number_that_another_gets_has_no_history() -> None:
    into = np.array([[0, 5, 6], [0, 7, 8]])
    history = replace(History.begin(0.0), rounds=(Round(1.0, into, 0, 0.0),))
    assert history.without(()) is history
    assert history.without((1, 9)).moved_into(3, 0.0).tolist() == [[0, 0, 6], [0, 0, 8]]
    assert history.moved_into(3, 0.0).tolist() == into.tolist()
