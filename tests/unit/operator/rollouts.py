"""A policy on six nodes, and what goes on around it: the beginnings of tests of rollouts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.unit.operator.simulation import Simulation, node, policy
from thermocline_api.conditions import find

NAMES = [f"n{number}" for number in range(6)]


def begun(count: int = 6, **changes: Any) -> Simulation:
    """Nodes whose agents report, and policy p."""
    sim = Simulation()
    for name in NAMES[:count]:
        sim.truth.nodes[name] = node(name)
    sim.deliver_all()
    sim.reconcile()
    for name in NAMES[:count]:
        sim.answer(name)
    sim.truth.policies["p"] = policy("p", **changes)
    sim.deliver_all()
    return sim


def turn(sim: Simulation, *silent: str, seconds: float = 61) -> None:
    """Everybody answers but some, news arrive, time passes, and the operator acts."""
    for name in sim.truth.tier_nodes:
        if name not in silent:
            sim.answer(name, quiet=False)
    sim.wait(seconds)
    sim.deliver_all()
    sim.reconcile()


def done(sim: Simulation, turns: int = 12) -> None:
    for _ in range(turns):
        turn(sim)
        sim.hear_all()


def stage(sim: Simulation, name: str = "p") -> str:
    found = find(sim.truth.policies[name].status.conditions, "Progressing")
    assert found is not None
    return found.reason


def edit(sim: Simulation, version: int, **changes: Any) -> None:
    before = sim.truth.policies["p"]
    sim.truth.policies["p"] = replace(
        policy("p", version=version, **{"rollout": before.rollout, **changes}), status=before.status
    )
    sim.deliver_all()


def having(sim: Simulation, version: int) -> set[str]:
    return {name for name, each in sim.truth.tier_nodes.items() if each.settings == {"version": version}}
