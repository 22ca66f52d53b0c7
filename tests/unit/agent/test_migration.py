"""Moves in batches: their size, their end, and who is asked before each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.unit.agent.rounds import LRU, PAGES, plant, write
from thermocline_agent.census import Register
from thermocline_agent.engines.engine import Outcome, Request, Result
from thermocline_agent.migration import Mover
from thermocline_agent.moves import Moves
from thermocline_agent.owners import Directory
from thermocline_kernel.host import Host


@dataclass
class Slow:
    """An engine that takes so long for a page."""

    page_seconds: float
    now: float = 0.0
    name: str = "PhysicalCall"
    sizes: list[int] = field(default_factory=list)
    fails_at: int = 1 << 30

    def migrate(self, moves: Request) -> Outcome:
        self.sizes.append(moves.pfns.size)
        self.now += moves.pfns.size * self.page_seconds
        if len(self.sizes) >= self.fails_at:
            return Outcome(np.full(moves.pfns.shape, Result.NOT_ATTEMPTED, dtype=np.uint8), 0.1, "broken")
        return Outcome(np.zeros(moves.pfns.shape, dtype=np.uint8), 0.1)

    def stop(self) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = plant(tmp_path)
    write(made, dict.fromkeys(range(2 * PAGES), ("work", LRU)))
    return made


def moves(count: int, owner: int, pages: int = 1) -> Moves:
    index = np.arange(count, dtype=np.int64) * pages
    return Moves(
        index, index.astype(np.uint64), np.full(count, pages, dtype=np.int64), np.ones(count, dtype=np.int32),
        np.full(count, owner, dtype=np.int64), np.zeros(count, dtype=np.int16), np.zeros(count, dtype=np.uint8),
    )  # fmt: skip


def registered(host: Host) -> tuple[Register, int]:
    register = Register()
    register.renew(Directory.read(host))
    return register, next(number for number, owner in register.owners.items() if owner.path == "work")


@pytest.mark.parametrize("page_seconds", [1e-6, 1e-4, 5e-3])
def test_batches_take_about_a_fifth_of_a_second(host: Host, page_seconds: float) -> None:
    engine = Slow(page_seconds)
    mover = Mover(host, lambda: engine.now)
    register, work = registered(host)
    for _ in range(6):
        carried = mover.carry_out(engine, moves(10_000, work), register, lambda: False)
        assert (carried.results == Result.MOVED).all()
        assert (carried.status == 1).all()
    # No batch is below 64 pages, which take what they take.
    assert engine.sizes[-2] * page_seconds <= max(0.3, 64 * page_seconds)


def test_batches_of_move_pages_are_worth_a_search(host: Host) -> None:
    engine = Slow(1e-2, name="MovePages")
    mover = Mover(host, lambda: engine.now)
    register, work = registered(host)
    mover.carry_out(engine, moves(10_000, work), register, lambda: False)
    assert engine.sizes == [256, 4096, 4096, 1552]


def test_a_folio_larger_than_a_batch_is_one(host: Host) -> None:
    engine = Slow(1.0)
    mover = Mover(host, lambda: engine.now, pages_at_once=512)
    register, work = registered(host)
    mover.carry_out(engine, moves(3, work, pages=1024), register, lambda: False)
    assert engine.sizes == [1, 1, 1]


def test_what_was_not_got_to_is_not_attempted(host: Host) -> None:
    engine = Slow(1e-4)
    register, work = registered(host)
    mover = Mover(host, lambda: engine.now)
    carried = mover.carry_out(engine, moves(5000, work), register, lambda: len(engine.sizes) == 2)
    done = sum(engine.sizes)
    assert 0 < done < 5000
    assert (carried.results[:done] == Result.MOVED).all()
    assert (carried.results[done:] == Result.NOT_ATTEMPTED).all()


def test_after_an_error_nothing_more_is_tried(host: Host) -> None:
    engine = Slow(1e-4, fails_at=2)
    register, work = registered(host)
    carried = Mover(host, lambda: engine.now).carry_out(engine, moves(5000, work), register, lambda: False)
    assert carried.error == "broken"
    assert len(engine.sizes) == 2


def test_another_owners_pages_are_not_handed_over(host: Host) -> None:
    engine = Slow(1e-4)
    register, work = registered(host)
    write(host, {pfn: ("work" if pfn % 2 else "other", LRU) for pfn in range(2 * PAGES)})
    carried = Mover(host, lambda: engine.now).carry_out(engine, moves(1000, work), register, lambda: False)
    assert (carried.results[0::2] == Result.CHANGED).all()
    assert (carried.results[1::2] == Result.MOVED).all()
    assert sum(engine.sizes) == 500


def test_owners_that_cannot_be_asked_stop_everything(host: Host) -> None:
    engine = Slow(1e-4)
    register, work = registered(host)
    (host.proc / "kpagecgroup").unlink()
    carried = Mover(host, lambda: engine.now).carry_out(engine, moves(10, work), register, lambda: False)
    assert carried.error is not None
    assert "owners could not be checked" in carried.error
    assert not engine.sizes
