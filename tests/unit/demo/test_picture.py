"""What the demo says of what it saw."""

from __future__ import annotations

from pathlib import Path

from tests.demo import picture
from tests.demo.picture import Moment
from tests.demo.stage import Reading


def moment(seconds: float, hot: float, migrated: int, request_us: float | None = 500.0) -> Moment:
    counters = {"pgmigrate_success": migrated, "move_phy_pages_success": migrated}
    return Moment(
        seconds, "patched", Reading(hot, 0.0, (0, 1 << 20), (1 << 20, 1 << 20), counters), request_us
    )


SEEN = [moment(-10, 0.0, 5), moment(0, 0.0, 5), moment(5, 0.4, 105), moment(10, 0.92, 305, 250.0)]


def test_the_table_has_before_and_after_and_when_it_came_about() -> None:
    lines = picture.table(SEEN)
    assert lines[1].split() == ["patched", "before", "0.0%", "50.0%", "500", "us", "0"]
    assert lines[2].split() == ["patched", "after", "92.0%", "50.0%", "500", "us", "300"]
    assert "first page moved: within 5 s, 90 % of hot values in DRAM: within 10 s" in lines[3]
    assert "300 of them by move_phy_pages(2)" in lines[4]


def test_what_never_came_about_is_told() -> None:
    told = picture.table([*SEEN[:2], moment(5, 0.0, 5)])
    assert "first page moved: never, 90 % of hot values in DRAM: never" in told[3]


def test_the_picture_has_both_measures_of_each_node(tmp_path: Path) -> None:
    file = tmp_path / "demo.svg"
    picture.draw(SEEN, file)
    # matplotlib writes each text as a comment beside its outlines.
    text = file.read_text()
    for told in ("redis' hot values", "batch job", "Enforce begins at 0 s", "a request, us"):
        assert f"{told} -->" in text
