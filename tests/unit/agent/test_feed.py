"""The feed socket: its frames, its limits, and what happens to whoever does not keep to them."""

from __future__ import annotations

import os
import socket
import stat
import struct
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermocline_agent.frames import Frames
from thermocline_agent.sources import feed, feed_wire
from thermocline_agent.sources.feed import Feed, refusal, translated
from thermocline_agent.sources.feed_wire import BadFrame, Frame, Space
from thermocline_kernel.arrays import U64
from thermocline_kernel.cxl import Region, Target
from thermocline_kernel.errors import Failed, Unavailable
from thermocline_kernel.host import PAGE_BYTES, Host

REGION = Region(
    "region0", 1 << 32, 1 << 21, 2, 4096, (Target("mem0", 0, 0, 1 << 20), Target("mem1", 1, 8192, 1 << 20))
)


def words(*values: int) -> U64:
    return np.array(values, dtype=np.uint64)


def frame(space: int = 1, count: int = 1, *, magic: bytes = b"TCLF", version: int = 1, reserved: int = 0,
          name: bytes = b"", records: int | None = None) -> bytes:  # fmt: skip
    body = struct.pack("<QQ", 4096, 3) * (count if records is None else records)
    return struct.pack("<4sHHII32s", magic, version, space, count, reserved, name) + body


@given(
    st.sampled_from([(Space.HPA, ""), (Space.DPA, "mem0"), (Space.DPA, "mem123456")]),
    st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=20),
)
def test_what_is_encoded_is_decoded(where: tuple[Space, str], records: list[tuple[int, int]]) -> None:
    addresses, counts = words(*(each for each, _ in records)), words(*(each for _, each in records))
    told = feed_wire.decode(feed_wire.encode(*where, addresses, counts))
    assert (told.space, told.memdev) == where
    assert told.addresses.tolist() == addresses.tolist()
    assert told.counts.tolist() == counts.tolist()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "a frame has at least 48 bytes, this one has 0"),
        (frame(magic=b"NOPE"), "a frame begins with TCLF"),
        (frame(version=2), "version 2 is not understood, only 1 is"),
        (frame(space=3), "address space 3 is not known: write 1 for HPA or 2 for DPA"),
        (frame(reserved=1), "the reserved field must be 0"),
        (frame(count=8193, records=0), "8193 records: a frame takes at most 8192, so send several"),
        (frame(count=2, records=1), "2 records take 80 bytes, not 64"),
        (frame() + b"x", "1 records take 64 bytes, not 65"),
        (frame(name=b"mem0"), "host addresses belong to no memdev: leave its name empty"),
        (frame(space=2), "device addresses need the name of a memdev, such as mem0"),
        (frame(space=2, name=b"mem0\0mem1"), "device addresses need the name of a memdev, such as mem0"),
        (frame(space=2, name=b"../mem0"), "device addresses need the name of a memdev, such as mem0"),
    ],
)
def test_a_bad_frame_is_told_what_to_write(data: bytes, sentence: str) -> None:
    with pytest.raises(BadFrame) as caught:
        feed_wire.decode(data)
    assert str(caught.value) == sentence


@given(st.binary(max_size=200))
def test_noise_is_refused_or_understood(data: bytes) -> None:
    try:
        feed_wire.decode(b"TCLF" + data)
    except BadFrame:
        return


def test_device_addresses_are_translated() -> None:
    device = Frame(Space.DPA, "mem1", words(8192, 8192 + 4096, 0, 1 << 40), words(1, 2, 3, 4))
    addresses, counts = translated([REGION], device)
    assert addresses.tolist() == [(1 << 32) + 4096, (1 << 32) + 3 * 4096]
    assert counts.tolist() == [1, 2]
    with pytest.raises(BadFrame, match="no CXL region is made of mem7"):
        translated([REGION], Frame(Space.DPA, "mem7", words(0), words(1)))
    xor = Region("region1", 0, 1 << 20, 1, 256, (Target("mem1", 0, 0, 1 << 20),), "interleaved by XOR")
    with pytest.raises(BadFrame, match="XOR"):
        translated([xor], device)


def test_only_root_may_feed_and_not_too_many() -> None:
    assert refusal(0, 0) is None
    assert refusal(1000, 0) == "only root may feed heat, and this is user 1000"
    assert refusal(0, 16) == "there are 16 senders already"


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    if os.geteuid() != 0:
        # Whoever runs these tests stands for root.
        monkeypatch.setattr(feed, "_peer_uid", lambda _: 0)
    made = Feed(Host(), tmp_path / "feed.sock", regions=lambda _: (REGION,))
    made.start([Frames(0, 100), Frames((1 << 32) // PAGE_BYTES, (1 << 32) // PAGE_BYTES + 512)])
    yield made
    made.stop()


def connect(source: Feed) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.settimeout(10)
    made.connect(os.fspath(source.path))
    return made


def wait_for_records(source: Feed, records: int) -> None:
    deadline = time.monotonic() + 10
    while source.tally.records < records:
        assert time.monotonic() < deadline, "the records did not arrive"
        time.sleep(0.005)


def test_counts_arrive_and_are_added_up(source: Feed) -> None:
    with connect(source) as one, connect(source) as other:
        one.send(feed_wire.encode(Space.HPA, "", words(4096, 8191, 10**9), words(1, 2, 3)))
        other.send(feed_wire.encode(Space.HPA, "", words(4100), words(10)))
        other.send(feed_wire.encode(Space.DPA, "mem0", words(8192, 1 << 30), words(5, 1)))
        wait_for_records(source, 6)
    told = source.observe()
    first = (1 << 32) // PAGE_BYTES
    assert told.of(Frames(0, 3))[0].tolist() == [0, 13, 0]
    assert told.of(Frames(first, first + 6))[0].tolist() == [0, 0, 0, 0, 5, 0]
    # A device address that no region holds is told as missed.
    assert (told.missed, source.tally.dropped_records) == (1, 1)
    # They count once.
    assert source.observe().covered == ()


def test_a_bad_frame_ends_that_sender_alone(source: Feed) -> None:
    with connect(source) as good, connect(source) as bad:
        bad.send(b"TCLF")
        assert bad.recv(1000) == b"a frame has at least 48 bytes, this one has 4"
        assert bad.recv(1000) == b""
        good.send(feed_wire.encode(Space.HPA, "", words(0), words(1)))
        wait_for_records(source, 1)
    assert source.tally.refused_senders == 1


def test_a_frame_that_is_too_long_is_refused(source: Feed) -> None:
    with connect(source) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        sender.send(frame(count=8192) + b"x")
        assert b"records take" in sender.recv(1000)


def test_what_is_held_is_bounded(source: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_PENDING_RECORDS", 3)
    with connect(source) as sender:
        for _ in range(2):
            sender.send(feed_wire.encode(Space.HPA, "", words(0, 4096), words(1, 1)))
        wait_for_records(source, 4)
    told = source.observe()
    assert (int(told.counts.sum()), told.missed) == (3, 1)


def test_what_nobody_takes_holds_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_PENDING_RECORDS", 1000)
    source = Feed(Host(), tmp_path / "feed.sock")
    whole = np.zeros(8192, dtype=np.uint64)
    frames = [feed_wire.encode(Space.HPA, "", whole[:records], whole[:records]) for records in (0, 1, 8192)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for data in (frames[0], frames[1]):
            for _ in range(900):
                source._take(feed_wire.decode(data))
        for _ in range(20):
            # Only the first of these finds room, for some of its records; each has bytes of its own.
            source._take(feed_wire.decode(bytes(bytearray(frames[2]))))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert source._pending_records == 1000
    assert source.tally.dropped_records == 900 + 20 * 8192 - 1000
    assert after - before < 50_000


def test_too_many_senders_are_refused(source: Feed) -> None:
    senders = [connect(source) for _ in range(17)]
    try:
        assert senders[-1].recv(1000) == b"there are 16 senders already"
    finally:
        for each in senders:
            each.close()


def test_the_socket_is_for_its_owner_alone_and_goes_with_the_source(source: Feed) -> None:
    assert stat.S_IMODE(source.path.stat().st_mode) == 0o600
    source.stop()
    assert not source.path.exists()
    with pytest.raises(Unavailable):
        source.observe()


def test_a_socket_that_a_killed_agent_left_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "feed.sock"
    left = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    left.bind(os.fspath(path))
    left.close()
    source = Feed(Host(), path)
    source.start([Frames(0, 1)])
    # A second agent finds it in use.
    with pytest.raises(Failed):
        Feed(Host(), path).start([Frames(0, 1)])
    source.stop()
    path.write_text("mine")
    with pytest.raises(Failed):
        Feed(Host(), path).start([Frames(0, 1)])
    assert path.read_text() == "mine"
    with pytest.raises(Unavailable):
        Feed(Host(), tmp_path / "none/feed.sock").start([Frames(0, 1)])


def test_starting_again_forgets(source: Feed) -> None:
    with connect(source) as sender:
        sender.send(feed_wire.encode(Space.HPA, "", words(0), words(1)))
        wait_for_records(source, 1)
    source.start([Frames(0, 10)])
    assert source.observe().covered == ()


def test_the_documented_example_is_understood() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/feed-socket.md").read_text()
    program = page.partition("```python\n")[2].partition("\nfeed = ")[0]
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - the documentation's own
    told = feed_wire.decode(names["frame"](2, "mem0", [(0x1000, 250), (0x7F000, 12)]))
    assert (told.space, told.memdev, told.addresses.tolist(), told.counts.tolist()) == (
        Space.DPA, "mem0", [0x1000, 0x7F000], [250, 12]
    )  # fmt: skip
