"""`run --once`: what ends it is said in a sentence, and what cannot be read keeps it from nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from thermocline_operator import run as runs
from thermocline_operator.reconcile import NotActing, Outcome, Reconciler
from thermocline_operator.run import Failed, Options
from thermocline_operator.state import Kind

META = {"uid": "1", "resourceVersion": "1", "creationTimestamp": "2026-01-02T03:04:05Z"}


class Server:
    """An API server with a node that can be read and one that cannot."""

    def __init__(self, *_: Any) -> None:
        return

    def time(self) -> None:
        return

    def objects(self, kind: Kind) -> list[Any]:
        return (
            [{"metadata": {"name": "bad"}}, {"metadata": META | {"name": "n1"}}] if kind is Kind.NODE else []
        )


class Held:
    """A lease that is ours."""

    def __init__(self, *_: Any) -> None:
        self.is_kept = threading.Event()

    def renew(self) -> bool:
        return True

    def keep(self, *_: Any) -> None:
        self.is_kept.set()

    def stop(self) -> None:
        return

    def release(self) -> None:
        return


def once(monkeypatch: pytest.MonkeyPatch, reconcile: Callable[[Any], Outcome]) -> int:
    monkeypatch.setattr(runs, "configure", lambda _: None)
    monkeypatch.setattr(runs, "Api", Server)
    monkeypatch.setattr(runs, "Lease", Held)
    monkeypatch.setattr(Reconciler, "reconcile", reconcile)
    return runs.run_once(Options("ns", "me"))


def test_its_lease_is_kept_and_what_cannot_be_read_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def reconcile(self: Any) -> Outcome:
        assert self.lease.is_kept.wait(60)
        assert set(self.cache.snapshot().nodes) == {"n1"}
        return Outcome(0, 0, None, 0.0)

    assert once(monkeypatch, reconcile) == 0


def test_a_lease_that_was_lost_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def reconcile(_: Any) -> Outcome:
        raise NotActing

    with pytest.raises(Failed, match="run it again"):
        once(monkeypatch, reconcile)
