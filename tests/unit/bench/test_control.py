"""What is concluded from two rollouts, a small one and a large one."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.control import steady
from tests.bench.control.players import status
from tests.bench.control.rollout import Run, rows
from tests.bench.nodes import Effort

SMALL = Run(1000, 10.0, 9.0, 9.0, 1000, 0, 100.0, 3.0, 4.0)
LARGE = Run(5000, 51.0, 45.0, 45.5, 5000, 0, 300.0, 20.0, 9.0)


def values(small: Run, large: Run) -> dict[str, tuple[float | None, bool | None]]:
    return {row.metric: (row.value, row.holds) for row in rows([small, large])}


def test_figures_are_of_the_large_one_and_of_how_it_grew() -> None:
    assert values(SMALL, LARGE) == {
        "writes_per_change": (1.0, True),
        "lists_after_start": (0.0, True),
        "rollout_growth": (5.1, True),
        "rollout_vs_bare": (1.133, True),
        "operator_rss": (300.0, True),
        "operator_cpu": (4.0, None),
        "operator_restart": (9.0, True),
    }


def test_what_is_too_much_does_not_hold() -> None:
    bad = replace(LARGE, rollout_seconds=70.0, node_writes=5600, lists=1, rss_mib=500.0, restart_seconds=20.0)
    assert {name for name, (_, holds) in values(SMALL, bad).items() if holds is False} == {
        "writes_per_change", "lists_after_start", "rollout_growth", "rollout_vs_bare", "operator_rss",
        "operator_restart",
    }  # fmt: skip


def test_a_machine_that_was_not_quiet_says_nothing_of_times() -> None:
    found = values(SMALL, replace(LARGE, again_seconds=60.0))
    assert found["rollout_growth"] == found["rollout_vs_bare"] == (None, False)
    assert found["writes_per_change"] == (1.0, True)


def test_players_apply_what_their_nodes_were_given() -> None:
    spec = {"policy": "p", "revision": "p-1", "settings": {"mode": "Enforce"}}
    told = status({"metadata": {"generation": 7}, "spec": spec})
    assert (told["policy"], told["revision"], told["observedGeneration"], told["mode"]) == (
        "p",
        "p-1",
        7,
        "Enforce",
    )
    assert "policy" not in status({"metadata": {"generation": 1}, "spec": {}})


def test_an_agent_that_has_nothing_new_to_say_writes_every_four_minutes() -> None:
    assert steady.writes_of_a_day() == 360
    (row,) = steady.measure(Effort.quick())
    assert (row.value, row.holds) == (4.17, True)
