"""What is made of a cluster of which only a part is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.cache import Cache
from tests.lab.cluster import cluster
from tests.lab.errors import LabError


@pytest.mark.parametrize("written", ["", '{"nodes": "patched", "par'])
def test_a_plan_that_was_written_by_half_counts_as_none(tmp_path: Path, written: str) -> None:
    cache = Cache(tmp_path)
    home = cluster.home_of(cache, "half")
    home.mkdir(parents=True)
    (home / cluster.PLAN_FILE).write_text(written)
    (home / "ready").touch()
    assert cluster.in_use(cache) == frozenset()
    with pytest.raises(
        LabError, match=r"did not come up: end what there is of it by .* cluster down --name half"
    ):
        cluster.load(cache, "half")
    assert cluster.down(cache, "half")
    assert not home.exists()
    assert not cluster.down(cache, "half")
