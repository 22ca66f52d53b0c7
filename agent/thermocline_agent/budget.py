"""Token buckets: what may move now, so that no span of time sees more than its share.

A bucket starts empty, also after a restart, and so whatever was spent before it cannot be spent twice. In any
span of w seconds at most `most + rate * w` bytes leave a bucket. `most` is one interval's worth, or one folio
of 2 MiB: smaller budgets save up for one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thermocline_agent.extent import F64
from thermocline_agent.settings import MAX_FOLIO_PAGES, PAGE_BYTES, Settings

_FOLIO_BYTES = MAX_FOLIO_PAGES * PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes that come in each second, and how many bytes are kept at most."""

    per_second: float
    most: float


def node_rate(bytes_per_second: int, settings: Settings) -> Rate:
    """The rate of one direction on the whole node."""
    return Rate(bytes_per_second, max(bytes_per_second * settings.interval_seconds, _FOLIO_BYTES))


def pod_rate(bytes_per_minute: int, settings: Settings) -> Rate:
    """The rate of one owner: with what is kept, a span of 60 seconds comes to bytes_per_minute, no more."""
    most = bytes_per_minute * settings.interval_seconds / (60 + settings.interval_seconds)
    most = min(max(most, _FOLIO_BYTES), bytes_per_minute / 2)
    return Rate((bytes_per_minute - most) / 60, most)


@dataclass(frozen=True, slots=True)
class Bucket:
    """`tokens` bytes were there at time `at`."""

    tokens: float
    at: float

    def filled(self, now: float, rate: Rate) -> Bucket:
        """The bucket at `now`; unchanged when that is not later."""
        if now <= self.at:
            return self
        return Bucket(min(self.tokens + (now - self.at) * rate.per_second, rate.most), now)

    def without(self, spent_bytes: int) -> Bucket:
        """The bucket after that was taken out."""
        return Bucket(self.tokens - spent_bytes, self.at)

    @property
    def pages(self) -> int:
        """How many pages may move."""
        return max(0, int(self.tokens // PAGE_BYTES))


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """A bucket for each owner, shape (owners,), all of time `at`."""

    tokens: F64
    at: float

    def filled(self, now: float, rate: Rate, owners: int) -> Buckets:
        """The buckets at `now`, at least for `owners`: newcomers start empty."""
        tokens = np.concatenate((self.tokens, np.zeros(max(0, owners - len(self.tokens)))))
        if now <= self.at:
            return Buckets(tokens, self.at)
        return Buckets(np.minimum(tokens + (now - self.at) * rate.per_second, rate.most), now)

    def without(self, spent_bytes: F64) -> Buckets:
        """The buckets after that was taken out, for each of them."""
        return Buckets(self.tokens - spent_bytes, self.at)
