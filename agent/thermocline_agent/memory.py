"""How far back each owner's past counts.

Heat is a mean over the last rounds, and the longer it reaches back, the better it tells lukewarm pages from
cold ones, and the longer it takes to see that a hot set has moved. So the length is not fixed: an owner's
memory starts at one round, doubles while the past predicts the present, up to 2^LONGEST rounds, and starts
again once it does not. The test is where accesses fall. If most of an owner's accesses hit the pages that
were hot before, and from one round to the next only half as many do, then its hot set has moved; thousands of
samples say that long before any single page's own count can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thermocline_agent.extent import F64, U8, Mask

LONGEST = 4
# From so many rounds on, an owner's pages can be told apart, more or less.
KNOWN = 4
_FULL = 1 << LONGEST
# From so many rounds on, an owner's pages had the time to be sorted by a full memory.
SETTLED = 2 * _FULL
# Less evidence than this is no judgement.
_ENOUGH = 64
# In standard deviations.
_BEYOND_CHANCE = 4.0
# Rounds after a start in which the share of hits is still learnt: while few rounds are remembered, many pages
# are as hot as the threshold, and by chance as many counts fall on those.
_LEARNING = 7


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """For each owner, shape (owners,): rounds since its memory began, the share of hits that is usual, and
    whether it began because the hot set moved and is not full yet.
    """

    rounds: U8
    usual: F64
    shaken: Mask

    @staticmethod
    def of(owners: int) -> Memory:
        """Nothing is remembered of anybody."""
        return Memory(
            np.zeros(owners, dtype=np.uint8), np.full(owners, np.nan), np.zeros(owners, dtype=np.bool_)
        )

    def sized(self, owners: int) -> Memory:
        """The same for at least so many owners.

        Who comes later starts as all do, with nothing to remember.
        """
        missing = owners - len(self.rounds)
        if missing <= 0:
            return self
        return Memory(
            np.concatenate((self.rounds, np.zeros(missing, dtype=np.uint8))),
            np.concatenate((self.usual, np.full(missing, np.nan))),
            np.concatenate((self.shaken, np.zeros(missing, dtype=np.bool_))),
        )

    def without(self, owner: int) -> Memory:
        """The same, for an index that is given to a new owner."""
        rounds, usual, shaken = self.rounds.copy(), self.usual.copy(), self.shaken.copy()
        rounds[owner], usual[owner], shaken[owner] = 0, np.nan, False
        return Memory(rounds, usual, shaken)

    @property
    def shifts(self) -> U8:
        """log2 of the rounds that a new observation is weighed against, itself included."""
        lengths: U8 = np.log2(np.clip(self.rounds, 1, _FULL)).astype(np.uint8)
        return lengths

    @property
    def began(self) -> Mask:
        """Whose memory began in this round, because the hot set moved."""
        began: Mask = self.shaken & (self.rounds == 1)
        return began

    def after(self, hits: F64, total: F64) -> Memory:
        """One round on: of each owner's counts `total`, `hits` fell on pages that were hot before.

        Both have shape (owners,).
        """
        rounds = np.minimum(self.rounds + 1, SETTLED).astype(np.uint8)
        judged = total >= _ENOUGH
        share = hits / np.maximum(total, 1)
        usual = self.usual.copy()
        learning = judged & (self.rounds >= 1) & (self.rounds <= _LEARNING)
        usual[learning] = share[learning]
        settled = judged & (self.rounds > _LEARNING)
        # Nothing is usual yet where the first rounds had too little evidence.
        usual[settled & np.isnan(usual)] = share[settled & np.isnan(usual)]
        # Where few counts were expected to hit, few less are chance.
        expected = usual * total
        moved = settled & (share < usual / 2) & (expected - hits > _BEYOND_CHANCE * np.sqrt(expected))
        rounds[moved] = 1
        usual[moved] = np.nan
        steady = settled & ~moved
        usual[steady] += (share[steady] - usual[steady]) / 4
        return Memory(rounds, usual, moved | self.shaken & (rounds < _FULL))
