"""Runs in a pod, beside redis: stores values, then reads them with a skew, and prints what a request takes.

    load.py VALUES VALUE_BYTES HOT_EVERY

A value begins with a mark by which it is found in memory. Hot ones are stored first, for a page that a hot and a cold
one share is neither. Each line that is printed is the microseconds of one request, over about two seconds.
"""

from __future__ import annotations

import random
import socket
import sys
import time

VALUES, VALUE_BYTES, HOT_EVERY = map(int, sys.argv[1:4])
# Sent at once: an emulated node is slow at each exchange of packets, and not at what redis does.
BATCH = 128
STORED_AT_ONCE = 16
STORED = b"+OK\r\n"
PAUSE_SECONDS = 0.05
# A request reads the beginning of a value, and so touches its page; whole ones would cost more than all else together.
READ_BYTES = 16
ANSWER_BYTES = len(b"$%d\r\n\r\n" % READ_BYTES) + READ_BYTES


def connect() -> socket.socket:
    """To redis, once it is there."""
    while True:
        try:
            return socket.create_connection(("127.0.0.1", 6379))
        except OSError:
            time.sleep(0.5)


def main() -> None:
    """Store, then ask for ever."""
    stream = connect()
    answers = stream.makefile("rb")
    numbers = sorted(range(VALUES), key=lambda number: number % HOT_EVERY != 0)
    for start in range(0, VALUES, STORED_AT_ONCE):
        stored = numbers[start : start + STORED_AT_ONCE]
        stream.sendall(b"".join(command(b"SET", b"%06d" % number, value(number)) for number in stored))
        answer = answers.read(len(STORED) * len(stored))
        assert answer == STORED * len(stored), answer
    print("stored", flush=True)
    reads = [
        command(b"GETRANGE", b"%06d" % number, b"0", b"%d" % (READ_BYTES - 1)) for number in range(VALUES)
    ]
    seed = random.Random(5)  # noqa: S311 - a load, and no secret
    while True:
        began, spent, count = time.monotonic(), 0.0, 0
        while time.monotonic() - began < 2:
            wanted = [
                seed.randrange(VALUES)
                if seed.random() < 0.05
                else seed.randrange(VALUES // HOT_EVERY) * HOT_EVERY
                for _ in range(BATCH)
            ]
            asked = time.monotonic()
            stream.sendall(b"".join(reads[number] for number in wanted))
            told = answers.read(BATCH * ANSWER_BYTES)
            spent += time.monotonic() - asked
            count += BATCH
            assert told.count(b" value ") == BATCH, told
            # A load, and not all that the node's CPUs can do: the rest of the node wants to run as well.
            time.sleep(PAUSE_SECONDS)
        print(f"{spent / count * 1e6:.0f}", flush=True)


def command(*words: bytes) -> bytes:
    """A command as redis' protocol has it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def value(number: int) -> bytes:
    """What is stored."""
    kind = b"cold" if number % HOT_EVERY else b"hot"
    return (b"<%s value %06d>" % (kind, number)).ljust(VALUE_BYTES, b".")


main()
