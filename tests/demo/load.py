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
BATCH = 16
PAUSE_SECONDS = 0.05


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

    def ask(commands: list[list[bytes]]) -> None:
        stream.sendall(
            b"".join(
                b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
                for words in commands
            )
        )
        for words in commands:
            head = answers.readline()
            if words[0] == b"GET":
                assert answers.read(int(head[1:]) + 2).startswith(b"<"), head
            else:
                assert head == b"+OK\r\n", head

    numbers = sorted(range(VALUES), key=lambda number: number % HOT_EVERY != 0)
    for start in range(0, VALUES, BATCH):
        ask([[b"SET", b"%06d" % number, value(number)] for number in numbers[start : start + BATCH]])
    print("stored", flush=True)
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
            ask([[b"GET", b"%06d" % number] for number in wanted])
            spent += time.monotonic() - asked
            count += BATCH
            # A load, and not all that the node's CPUs can do: the rest of the node wants to run as well.
            time.sleep(PAUSE_SECONDS)
        print(f"{spent / count * 1e6:.0f}", flush=True)


def value(number: int) -> bytes:
    """What is stored."""
    kind = b"cold" if number % HOT_EVERY else b"hot"
    return (b"<%s value %06d>" % (kind, number)).ljust(VALUE_BYTES, b".")


main()
