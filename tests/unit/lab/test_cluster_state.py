"""What is made of a cluster of which only a part is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.cache import Cache
from tests.lab.cluster import cluster
from tests.lab.errors import LabError


@pytest.mark.parametrize("written", ["", '{"nodes": "patched", "par'])
@pytest.mark.parametrize(("was_up", "state"), [(False, "did not come up"), (True, "is not running any more")])
def test_a_plan_that_was_written_by_half_counts_as_none(
    tmp_path: Path, written: str, was_up: bool, state: str
) -> None:
    cache = Cache(tmp_path)
    home = cluster.home_of(cache, "half")
    home.mkdir(parents=True)
    (home / cluster.PLAN_FILE).write_text(written)
    if was_up:
        (home / "ready").touch()
    assert cluster.in_use(cache) == frozenset()
    with pytest.raises(LabError, match=rf"{state}: end what there is of it by .* cluster down --name half"):
        cluster.load(cache, "half")
    assert cluster.down(cache, "half")
    assert not home.exists()
    assert not cluster.down(cache, "half")
