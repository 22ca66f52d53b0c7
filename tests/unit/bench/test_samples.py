"""What is concluded from what measuring programs print."""

from __future__ import annotations

import pytest

from tests.bench import samples
from tests.bench.samples import NoSamples

TEXT = """\
ours 512 -1 999
ours 512 0 90
theirs 512 0 100
ours 512 1 160
theirs 512 1 200
again 512 0 101
again 512 1 200
ours 512 2 300
theirs 512 2 300
again 512 2 330
"""


def test_ratios_are_taken_within_a_round() -> None:
    boot = samples.parse(TEXT)
    assert boot.values("ours", "512") == [90, 160, 300]
    assert boot.ratio("ours", "theirs", "512") == 0.9
    assert boot.middle("theirs", "512") == 200


def test_two_windows_of_a_round_are_one_value() -> None:
    boot = samples.parse("a c 0 1\nb c 0 10\nb c 0 20\na c 0 2\n")
    assert boot.values("a", "c") == [3]
    assert boot.ratio("b", "a", "c") == 10


def test_boots_give_a_median_and_its_spread() -> None:
    boots = [
        samples.parse(f"a c 0 {value}\nb c 0 100\nagain c 0 {99 + i}\n")
        for i, value in enumerate((95, 90, 99))
    ]
    found = samples.ratio(boots, "a", "b", "c")
    assert (found.value, found.least, found.most) == (0.95, 0.90, 0.99)
    assert samples.middle(boots, "a", "c") == 95
    assert samples.control(boots, "again", "b", "c") in {0.99, 1.01}


@pytest.mark.parametrize("text", ["", "a c -1 5\n", "a c 0\n", "a c 0 -1\n", "a c 0 1.5\n", "Killed\n"])
def test_what_is_no_sample_is_no_figure(text: str) -> None:
    with pytest.raises(NoSamples):
        samples.parse(text)


def test_an_arm_that_did_not_run_is_missed() -> None:
    with pytest.raises(NoSamples, match="no sample of ours in case 16"):
        samples.parse(TEXT).ratio("ours", "theirs", "16")
    with pytest.raises(ValueError, match="zip"):
        samples.parse("a c 0 1\na c 1 1\nb c 0 1\n").ratio("a", "b", "c")
