"""What has been moved, what was refused, and what may be spent: what one round leaves for the next.

A page has no name that survives its move: it leaves a frame, and another frame of the other tier, nobody says
which, then has it. So what is remembered are counts by owner and tier. Pages that appeared within the window
on a tier that their owner's pages were moved to are held to be those; as pages that were just allocated look
the same, that is an upper bound.

Memory is bounded: rounds by the longest window, refusals by MOST_REFUSALS.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from thermocline_agent.budget import Bucket, Buckets, node_rate, pod_rate
from thermocline_agent.extent import F64, I32, I64, U8, U64, Tier
from thermocline_agent.guards import Guards, Measured
from thermocline_agent.moves import FIRST_PROMOTION, Moves, Plan
from thermocline_agent.settings import PAGE_BYTES, Settings

MOST_REFUSALS = 1 << 16
_MOST_ROUNDS = 256
# include/uapi/asm-generic/errno.h; Python's errno lacks it.
EHWPOISON = 133
# How long a page is left alone after it was first refused; each further refusal doubles it. What other CPUs
# touched last is busy for moments; a mapping that may not move stays so.
_PAUSES = {
    errno.EBUSY: 30.0,
    errno.ENOMEM: 30.0,
    errno.EACCES: 600.0,
    errno.EPERM: 600.0,
    EHWPOISON: 86400.0,
}
# The page is gone, or nobody got to it: there is nothing to wait for.
_NO_REFUSAL = (errno.ENOENT, errno.EINPROGRESS, errno.EINTR)
_OTHER_PAUSE = 60.0
_MOST_DOUBLINGS = 6
_REMEMBERED = 3600.0


@dataclass(frozen=True, slots=True, eq=False)
class Refusals:
    """Pages that did not move: ascending frame numbers, until when, the error, how often."""

    pfn: U64
    until: F64
    error: I32
    times: U8

    @staticmethod
    def none() -> Refusals:
        """No page was refused."""
        empty = np.zeros(0)
        return Refusals(empty.astype(np.uint64), empty, empty.astype(np.int32), empty.astype(np.uint8))

    def waiting(self, now: float) -> U64:
        """The frames to leave alone."""
        return self.pfn[self.until > now]

    def after(self, pfn: U64, error: I32, now: float) -> Refusals:
        """With the moves of frames `pfn`: `error` is an errno, or 0 for those that moved, which are
        forgotten.

        Refusals that ended are kept for a while, to know how often it was.
        """
        failed = (error != 0) & ~np.isin(error, _NO_REFUSAL)
        place = np.searchsorted(self.pfn, pfn[failed])
        inside = np.minimum(place, max(len(self.pfn) - 1, 0))
        known = (
            (place < len(self.pfn))
            & (self.pfn[inside] == pfn[failed])
            & (self.error[inside] == error[failed])
            if len(self.pfn)
            else np.zeros(len(place), dtype=np.bool_)
        )
        times = np.ones(len(place), dtype=np.uint8)
        times[known] = np.minimum(self.times[inside[known]], _MOST_DOUBLINGS) + 1
        pauses = np.array(
            [_PAUSES.get(code, _OTHER_PAUSE) for code in error[failed].tolist()], dtype=np.float64
        )
        until = now + pauses * 2.0 ** (times - 1)
        kept = (now < self.until + _REMEMBERED) & ~np.isin(self.pfn, pfn)
        merged = Refusals(
            np.concatenate((self.pfn[kept], pfn[failed])),
            np.concatenate((self.until[kept], until)),
            np.concatenate((self.error[kept], error[failed].astype(np.int32))),
            np.concatenate((self.times[kept], times)),
        )
        # Those that end last are worth most; of the others the next attempt tells.
        last = np.argsort(-merged.until, kind="stable")[:MOST_REFUSALS]
        order = last[np.argsort(merged.pfn[last], kind="stable")]
        return Refusals(merged.pfn[order], merged.until[order], merged.error[order], merged.times[order])


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """One round's moves that succeeded. `into`: pages by tier and owner, shape (2, owners). `promised`: see
    Plan.
    """

    at: float
    into: I64
    returned: int
    promised: float


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Begins at `at` with nothing to spend. `levels` are the last plan's."""

    at: float
    promote: Bucket
    demote: Bucket
    pods: Buckets
    levels: U8
    rounds: tuple[Round, ...] = ()
    refusals: Refusals = field(default_factory=Refusals.none)
    guards: Guards = field(default_factory=Guards)
    arrived: int = 0
    used: int = 0

    @staticmethod
    def begin(now: float) -> History:
        """The history of an agent that starts now."""
        empty = Bucket(0.0, now)
        return History(now, empty, empty, Buckets(np.zeros(0), now), np.zeros(1, dtype=np.uint8))

    def without(self, owners: Iterable[int]) -> History:
        """The same, with nothing known of these numbers, which others may get."""
        numbers = np.array(sorted(owners), dtype=np.int64)
        if not numbers.size:
            return self
        rounds = []
        for done in self.rounds:
            into = done.into.copy()
            into[:, numbers[numbers < into.shape[1]]] = 0
            rounds.append(replace(done, into=into))
        tokens = self.pods.tokens.copy()
        tokens[numbers[numbers < len(tokens)]] = 0.0
        return replace(self, rounds=tuple(rounds), pods=replace(self.pods, tokens=tokens))

    def sized_levels(self, owners: int) -> U8:
        """The thresholds of so many owners; of those that were not there, the largest of the others."""
        missing = max(0, owners - len(self.levels))
        largest = int(self.levels[1:].max(initial=0))
        return np.concatenate((self.levels[:owners], np.full(missing, largest, dtype=np.uint8)))

    def moved_into(self, owners: int, since: float) -> I64:
        """Pages moved since then, by tier and owner, shape (2, owners)."""
        found = np.zeros((2, owners), dtype=np.int64)
        for done in self.rounds:
            if done.at >= since:
                known = min(owners, done.into.shape[1])
                found[:, :known] += done.into[:, :known]
        return found

    def measured(self, since: float) -> Measured:
        """What the guards judge by."""
        within = [done for done in self.rounds if done.at >= since]
        moved = sum(int(done.into.sum()) for done in within)
        promoted = sum(int(done.into[Tier.FAST].sum()) for done in within)
        promised = sum(done.promised for done in within) / promoted if promoted else 1.0
        return Measured(moved, sum(done.returned for done in within), self.arrived, self.used, promised)

    def filled(self, settings: Settings, owners: int, now: float) -> History:
        """With the tokens that came in until `now`."""
        limits = settings.limits
        pods = self.pods
        if limits.pod_bytes_per_minute is not None:
            pods = pods.filled(now, pod_rate(limits.pod_bytes_per_minute, settings), owners)
        return replace(
            self,
            promote=self.promote.filled(now, node_rate(limits.promote_bytes_per_second, settings)),
            demote=self.demote.filled(now, node_rate(limits.demote_bytes_per_second, settings)),
            pods=pods,
        )

    def after(self, plan: Plan, status: I32, settings: Settings, now: float) -> History:
        """The history once the plan was carried out. `status`: of each move a node, or a negative errno.

        Only pages that moved are paid for.
        """
        if now < self.at:
            return self
        owners = len(plan.levels)
        filled = self.filled(settings, owners, now)
        moves = plan.moves
        moved = status == moves.node
        into = _into(moves, moved, owners)
        pods = filled.pods
        if settings.limits.pod_bytes_per_minute is not None:
            spent = np.zeros(len(pods.tokens))
            spent[:owners] = into.sum(axis=0) * float(PAGE_BYTES)
            pods = pods.without(spent)
        guards = settings.guards.ping_pong
        window = max(settings.rest_seconds, guards.window_seconds if guards else 0.0)
        share = float(moved.sum()) / max(len(moves), 1)
        done = Round(now, into, int(plan.returned * share), plan.promised * share)
        rounds = tuple(old for old in self.rounds if old.at >= now - window)
        return replace(
            filled,
            at=now,
            promote=filled.promote.without(int(into[Tier.FAST].sum()) * PAGE_BYTES),
            demote=filled.demote.without(int(into[Tier.SLOW].sum()) * PAGE_BYTES),
            pods=pods,
            levels=plan.levels,
            rounds=((*rounds, done) if len(moves) else rounds)[-_MOST_ROUNDS:],
            refusals=self.refusals.after(moves.pfn, np.where(status < 0, -status, 0).astype(np.int32), now),
            guards=plan.guards,
            arrived=plan.arrived,
            used=plan.used,
        )


def _into(moves: Moves, moved: np.ndarray[tuple[int], np.dtype[np.bool_]], owners: int) -> I64:
    into = np.zeros((2, owners), dtype=np.int64)
    up = moves.reason >= FIRST_PROMOTION
    for tier, chosen in ((Tier.FAST, moved & up), (Tier.SLOW, moved & ~up)):
        into[tier] = np.bincount(moves.owner[chosen], moves.pages[chosen], owners).astype(np.int64)
    return into
