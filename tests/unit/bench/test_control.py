"""What is concluded from two rollouts, a small one and a large one."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.control import steady
from tests.bench.control.players import status
from tests.bench.control.rollout import Round, Run, rows
from tests.bench.nodes import Effort

ROUND = Round((10.0, 10.0), (9.0, 9.0), (4.0, 5.0), 2000, 0, 100.0, 6.0)
SMALL = Run(1000, (ROUND, ROUND, ROUND))
LARGE = Round((50.0, 52.0), (45.0, 45.5), (9.0, 8.0), 10_000, 0, 300.0, 40.0)


def values(*large: Round) -> dict[str, tuple[float | None, bool | None]]:
    found = rows([SMALL, Run(5000, large)])
    return {row.metric: (row.value, row.holds) for row in found}


def test_figures_are_of_the_large_one_and_of_how_it_grew() -> None:
    assert values(LARGE, LARGE, LARGE) == {
        "writes_per_change": (1.0, True),
        "lists_after_start": (0.0, True),
        "rollout_growth": (5.1, True),
        "rollout_vs_bare": (1.127, True),
        "operator_rss": (300.0, True),
        "operator_cpu": (4.0, None),
        "operator_restart": (8.5, True),
    }


def test_what_is_too_much_in_one_round_does_not_hold() -> None:
    bad = Round((70.0, 70.0), (45.0, 45.5), (9.0, 20.0), 11_200, 1, 500.0, 40.0)
    assert {name for name, (_, holds) in values(LARGE, bad, LARGE).items() if holds is False} == {
        "writes_per_change", "lists_after_start", "rollout_growth", "rollout_vs_bare", "operator_rss",
        "operator_restart",
    }  # fmt: skip


def test_a_machine_that_was_not_quiet_says_nothing_of_times() -> None:
    loud = replace(LARGE, bares=(45.0, 60.0))
    found = values(loud, loud, loud)
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
