"""From samples to rows, for each question about the agent."""

from __future__ import annotations

from tests.bench import samples
from tests.bench.agent import idle_interference, scan_tax
from tests.bench.samples import Boot


def boot(text: str) -> Boot:
    return samples.parse(text)


def test_the_scan_tax_is_the_agents_time_over_the_bare_calls() -> None:
    (row,) = scan_tax.rows(
        [
            boot(
                "agent page 0 108\nagent_again page 0 108\nbare page 0 100\nbare_again page 0 100\npages page 0 10\n"
            )
        ]
    )
    assert (row.value, row.holds) == (1.08, True)
    assert row.arms == {"agent": 10.8, "bare": 10.0, "A/A": 1.0}


IDLE = """\
without page 0 990
without_again page 0 991
with page 0 1000
with_again page 0 1001
wall page 0 5000
wall page 0 5000
agent page 0 30
agent page 0 20
peak_kib resident 0 71680
resident_kib resident 0 61440
pages resident 0 1048576
"""


def test_interference_is_the_time_without_over_the_time_with() -> None:
    loss, memory = idle_interference.rows([boot(IDLE)])
    assert (loss.value, loss.holds) == (0.99, False)
    assert loss.arms["agent's share of a CPU"] == 0.005
    assert (memory.value, memory.holds) == (68.0, False)
    assert memory.arms["peak MiB"] == 70.0


def test_interference_of_a_run_that_is_not_quiet_is_void() -> None:
    loss, _ = idle_interference.rows([boot(IDLE.replace("with_again page 0 1001", "with_again page 0 1100"))])
    assert loss.void
    assert loss.holds is False
