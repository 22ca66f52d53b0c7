"""One byte a page: how long it has been known, in how many rounds it was seen accessed, how long it is idle.

The upper three bits are the *age*, the time since a page appeared at this frame, in ticks of some rounds: 0
is a page that nothing is known of, 1 one seen for the first time, 7 is old. The lower five are

    0-15    (accesses - 1) * 4 + idle: seen accessed in 1 to 4 rounds, none of them more than three rounds
            before the next, and idle for the last 0 to 3 rounds
    16-31   idle for longer, in steps that become longer

so that one table of 256 entries advances a page whatever its state. A page's appearance counts as an access:
whoever allocates a page writes it.

Steps and ticks are taken at round numbers divisible by their length, which takes no counter of its own. So a
page can take the first step of a new length early; _idle_rounds has the least that is then true, and nothing
is called cold, or rested, before it is.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from thermocline_agent.extent import Mask

AGE_SHIFT = 5
OLD = 7
MAX_HOT_ROUNDS = 4
_IDLE = 16
_STATES = np.arange(256)
# Each length twice: the first of a length can be short, the second is whole.
_STEPS = (1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64, 128)
# Shorter steps are what they are, whatever the longest wait is.
_STRETCHED = 8


def _steps(stretch: int) -> tuple[int, ...]:
    return tuple(step * stretch if step >= _STRETCHED else step for step in _STEPS)


@lru_cache
def _idle_rounds(stretch: int) -> tuple[int, ...]:
    """The least number of idle rounds that each code from 16 on stands for."""
    least = [4]
    before = 1
    for step in _steps(stretch):
        # A step as long as the one before is whole; the first longer one is at least as long as that.
        least.append(least[-1] + before)
        before = step
    return tuple(least)


def stretch(rounds: int) -> int:
    """By how much long idle steps must be longer, a power of two, for `rounds` idle rounds to be told."""
    factor = 1
    while _idle_rounds(factor)[-1] < rounds:
        factor *= 2
    return factor


def ticks(rounds: int) -> int:
    """How many rounds a tick must have for ages to tell pages apart that appeared `rounds` ago."""
    return max(1, -(-(rounds - 1) // (OLD - 2)))


def tables(number: int, tick: int, stretch: int) -> tuple[bytes, bytes]:
    """How every state goes on in round `number` (from 1): of pages not accessed in it, and of others."""
    age, code = _STATES >> AGE_SHIFT, _STATES & 31
    if number % tick == 0:
        age = np.minimum(age + (age > 0), OLD)
    due = np.array([number % step == 0 for step in _steps(stretch)] + [False])
    idle = np.where(
        code < _IDLE, np.where(code & 3 < 3, code + 1, _IDLE), code + due[np.maximum(code - _IDLE, 0)]
    )
    accessed = np.where(code < _IDLE, np.minimum(code // 4 + 1, 3) * 4, 0)
    both = [np.where(age > 0, age << AGE_SHIFT | after, 1 << AGE_SHIFT) for after in (idle, accessed)]
    return both[0].astype(np.uint8).tobytes(), both[1].astype(np.uint8).tobytes()


@lru_cache
def hot(rounds: int) -> Mask:
    """The states of pages seen accessed in at least `rounds` rounds, shape (256,). Raises ValueError."""
    if not 1 <= rounds <= MAX_HOT_ROUNDS:
        raise ValueError(f"hot rounds are 1 to {MAX_HOT_ROUNDS}, not {rounds}")
    code = _STATES & 31
    found: Mask = (_STATES >> AGE_SHIFT > 0) & (code < _IDLE) & (code // 4 + 1 >= rounds)
    found.flags.writeable = False
    return found


@lru_cache
def cold(rounds: int, stretch: int) -> Mask:
    """The states of pages idle for at least `rounds` rounds, shape (256,)."""
    code = _STATES & 31
    least = np.array(_idle_rounds(stretch))
    found: Mask = np.where(code < _IDLE, code & 3, least[np.maximum(code - _IDLE, 0)]) >= rounds
    found &= _STATES >> AGE_SHIFT > 0
    found.flags.writeable = False
    return found


@lru_cache
def aged(rounds: int, tick: int) -> Mask:
    """The states of pages known for at least `rounds` rounds, shape (256,)."""
    age = _STATES >> AGE_SHIFT
    # The first tick may come one round after a page appeared; each later one is whole.
    least = np.where(age < 2, 0, (age - 2) * tick + 1)
    found: Mask = (age > 0) & (least >= rounds)
    found.flags.writeable = False
    return found
