"""Bulk data: the array types that go in and out of this package, and files that are arrays of 64-bit words.

The kernel speaks 64-bit words and 32-bit signed ints of the machine's own byte order, and so do these arrays;
nothing is copied on the way. Nothing else in this package allocates or checks an array that the kernel fills.
"""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from thermocline_kernel.errors import Failed, Garbled, failure

# Frame numbers, addresses, flags, inode numbers.
U64: TypeAlias = NDArray[np.uint64]
# Node numbers and statuses: a node, or a negative errno.
I32: TypeAlias = NDArray[np.int32]
Mask: TypeAlias = NDArray[np.bool_]

WORD_BYTES = 8
_MAX_OFFSET = (1 << 63) - 1
_GAP_WORDS = 16


def read_words(path: Path, first: int, count: int, *, may_lack: int = 0, into: U64 | None = None) -> U64:
    """Words `first` to `first + count` of a file, shape (count,), read in one go.

    `into`, an array of at least `count` words, is filled, and the result is a view of it: to read again and again,
    for new memory costs a page fault each 512 words. The result is shorter where the file ends up to `may_lack` words
    earlier. Raises Unavailable, Denied or Failed as the kernel says, and Garbled when more is missing: what is not
    known must not pass for zero.
    """
    if first < 0 or count < 0 or (first + count) * WORD_BYTES > _MAX_OFFSET:
        raise ValueError(f"no {count} words can lie from word {first} on")
    words = np.empty(count, dtype=np.uint64) if into is None else into[:count]
    if words.size < count:
        raise ValueError(f"{count} words do not fit into {words.size}")
    data = words.view(np.uint8).data
    filled = 0
    try:
        with path.open("rb", buffering=0) as file:
            # A signal may end a long read early; then the next one goes on.
            while filled < len(data):
                got = os.preadv(file.fileno(), [data[filled:]], first * WORD_BYTES + filled)
                if got == 0:
                    break
                filled += got
    except OSError as err:
        raise failure(path, err) from err
    if filled % WORD_BYTES or filled // WORD_BYTES < count - may_lack:
        raise Garbled(path, f"{count} words from word {first} on expected, found {filled / WORD_BYTES:g}")
    return words[: filled // WORD_BYTES]


def read_words_at(path: Path, places: U64) -> U64:
    """The words of a file at these places, in any order and repeated or not, shape (n,). Raises as read_words does.

    Places near each other are read together: a call costs as much as the kernel's work for about ten pages.
    """
    order = np.argsort(places, kind="stable")
    wanted = places[order]
    found = np.empty(places.shape, dtype=np.uint64)
    if wanted.size == 0:
        return found
    if int(wanted[-1]) > _MAX_OFFSET // WORD_BYTES - 1:
        raise ValueError(f"no word can lie at {int(wanted[-1])}")
    starts = np.concatenate(([0], np.flatnonzero(np.diff(wanted) > _GAP_WORDS) + 1, [wanted.size])).tolist()
    try:
        with path.open("rb", buffering=0) as file:
            for start, end in itertools.pairwise(starts):
                first = int(wanted[start])
                count = int(wanted[end - 1]) - first + 1
                data = os.pread(file.fileno(), count * WORD_BYTES, first * WORD_BYTES)
                if len(data) != count * WORD_BYTES:
                    what = f"{count} words from word {first} on expected, found {len(data) / WORD_BYTES:g}"
                    raise Garbled(path, what)
                offsets = wanted[start:end] - np.uint64(first)
                found[order[start:end]] = np.frombuffer(data, dtype=np.uint64)[offsets]
    except OSError as err:
        raise failure(path, err) from err
    return found


def write_words(path: Path, first: int, words: U64, *, may_lack: int = 0) -> None:
    """Write words from word `first` of a file on. Raises Unavailable, Denied or Failed.

    `may_lack`: of so many words at the end the kernel may say that it took nothing.
    """
    left = words.view(np.uint8).data
    offset = first * WORD_BYTES
    try:
        with path.open("r+b", buffering=0) as file:
            # sysfs takes a page at a time.
            while left:
                done = os.pwrite(file.fileno(), left, offset)
                if done == 0:
                    break
                left, offset = left[done:], offset + done
    except OSError as err:
        raise failure(path, err) from err
    if len(left) > may_lack * WORD_BYTES:
        raise Failed(path, f"{len(left)} of {words.nbytes} bytes were not taken", errno.EIO)


def any_bit(words: U64, bits: int | np.uint64) -> Mask:
    """Which words have any of these bits."""
    found: Mask = (words & np.uint64(bits)) != 0
    return found


def address_of(array: NDArray[Any], dtype: type[np.generic], name: str) -> int:
    """Where the elements of a flat array are, for the kernel to read or fill.

    Raises TypeError when they are of another type, and ValueError when they are not one after the other: a
    silent copy would cost what bulk calls save, and the kernel would fill the copy.
    """
    if array.dtype != dtype:
        raise TypeError(f"{name} must be {np.dtype(dtype)}, not {array.dtype}")
    if array.ndim != 1 or not array.flags.c_contiguous:
        raise ValueError(f"{name} must be one-dimensional and contiguous")
    return array.ctypes.data
