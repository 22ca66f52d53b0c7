"""Feed: a unix socket on which others push counts by address: a CXL device's hotness unit, a vendor's tool.

docs/reference/feed-socket.md says what to send. A thread takes frames as they come and adds up their counts, so that
no sender waits for the agent's interval; what it holds is bounded, and what passes the bound is dropped and told.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from thermocline_agent.frames import Frames
from thermocline_agent.sources import feed_wire
from thermocline_agent.sources.counting import by_page, observation
from thermocline_agent.sources.feed_wire import BadFrame, Frame, Space
from thermocline_agent.sources.source import Observation
from thermocline_kernel import cxl
from thermocline_kernel.arrays import U64
from thermocline_kernel.cxl import Region
from thermocline_kernel.errors import KernelInterfaceError, Unavailable, failure
from thermocline_kernel.host import Host

MAX_SENDERS: Final = 16
# 16 MiB, between two observations.
MAX_PENDING_RECORDS: Final = 1 << 20
_PEER: Final = struct.Struct("3i")


def _room() -> U64:
    """For all that is held between two observations. It takes memory only as it is filled."""
    return np.empty((2, MAX_PENDING_RECORDS), dtype=np.uint64)


@dataclass(frozen=True, slots=True)
class Tally:
    """What has happened on the socket since it was opened."""

    records: int = 0
    # Beyond MAX_PENDING_RECORDS, or device addresses that no region holds.
    dropped_records: int = 0
    refused_senders: int = 0


@dataclass(slots=True)
class Feed:
    """The source. `regions` tells the CXL regions of now, for they come and go; `senders` is how many are connected."""

    host: Host
    path: Path
    name: str = "Feed"
    regions: Callable[[Host], tuple[Region, ...]] = cxl.regions
    tally: Tally = Tally()
    senders: int = 0
    _frames: tuple[Frames, ...] = ()
    # Addresses and counts, of which _pending_records are filled.
    _pending: U64 = field(default_factory=_room)
    _pending_records: int = 0
    _dropped_before: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None
    _cpu_seconds: float = 0.0
    _ended: threading.Event = field(default_factory=threading.Event)
    _wake: tuple[int, int] = (-1, -1)

    def start(self, frames: Sequence[Frames]) -> None:
        """Open the socket, if it is not, and count for these frames. Raises Busy, Unavailable, Denied or Failed."""
        with self._lock:
            self._frames = tuple(frames)
            self._pending_records = 0
        if self._thread is not None and self._thread.is_alive():
            return
        listener = _listen(self.path)
        self._wake = os.pipe()
        self._ended.clear()
        self._thread = threading.Thread(
            target=self._serve, args=(listener, self._wake[0]), name="feed", daemon=True
        )
        self._thread.start()

    def observe(self) -> Observation:
        """Counts by page since the observation before; without any, nothing is known. Raises Unavailable."""
        if self._thread is None or not self._thread.is_alive():
            raise Unavailable(self.path, "the feed socket is closed")
        began = time.thread_time()
        with self._lock:
            addresses, counts = self._pending[:, : self._pending_records]
            self._pending, self._pending_records = _room(), 0
            missed = self.tally.dropped_records - self._dropped_before
            self._dropped_before = self.tally.dropped_records
            thread_seconds, self._cpu_seconds = self._cpu_seconds, 0.0
        found = by_page(addresses, counts)
        seconds = time.thread_time() - began + thread_seconds
        return observation(self._frames, found, 1.0, seconds, missed)

    def stop(self) -> None:
        """Close the socket and remove it."""
        if self._thread is None:
            return
        self._ended.set()
        os.write(self._wake[1], b"x")
        self._thread.join()
        # Not before: the thread may end before it is woken.
        for each in self._wake:
            os.close(each)
        self._thread = None
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def _serve(self, listener: socket.socket, wake: int) -> None:
        """The thread: accept senders and take their frames until the source is stopped."""
        with selectors.DefaultSelector() as selector, listener:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(wake, selectors.EVENT_READ)
            senders: set[socket.socket] = set()
            while not self._ended.is_set():
                for key, _ in selector.select():
                    began = time.thread_time()
                    if key.fileobj is listener:
                        self._accept(listener, senders, selector)
                    elif isinstance(key.fileobj, socket.socket) and not self._receive(key.fileobj):
                        selector.unregister(key.fileobj)
                        senders.discard(key.fileobj)
                        key.fileobj.close()
                    with self._lock:
                        self.senders = len(senders)
                        self._cpu_seconds += time.thread_time() - began
            for sender in senders:
                sender.close()
        self.senders = 0

    def _accept(
        self, listener: socket.socket, senders: set[socket.socket], selector: selectors.BaseSelector
    ) -> None:
        try:
            sender, _ = listener.accept()
        except OSError:
            return  # it went away before its turn
        sender.setblocking(False)
        why = refusal(_peer_uid(sender), len(senders))
        if why is not None:
            _answer(sender, why)
            sender.close()
            self._count(refused_senders=1)
            return
        senders.add(sender)
        selector.register(sender, selectors.EVENT_READ)

    def _receive(self, sender: socket.socket) -> bool:
        """Take one frame; whether the sender may go on."""
        try:
            # A longer frame shows by the byte too many.
            data = sender.recv(feed_wire.MAX_FRAME_BYTES + 1)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        try:
            self._take(feed_wire.decode(data))
        except BadFrame as err:
            _answer(sender, str(err))
            self._count(refused_senders=1)
            return False
        return True

    def _take(self, frame: Frame) -> None:
        addresses, counts = frame.addresses, frame.counts
        if frame.space is Space.DPA:
            addresses, counts = translated(self._known_regions(), frame)
        dropped = frame.addresses.size - addresses.size
        with self._lock:
            at = self._pending_records
            kept = min(MAX_PENDING_RECORDS - at, addresses.size)
            self._pending[:, at : at + kept] = addresses[:kept], counts[:kept]
            self._pending_records += kept
            dropped += addresses.size - kept
        self._count(records=frame.addresses.size, dropped_records=dropped)

    def _known_regions(self) -> tuple[Region, ...]:
        try:
            return self.regions(self.host)
        except KernelInterfaceError as err:
            raise BadFrame(f"device addresses cannot be translated now: {err}") from err

    def _count(self, records: int = 0, dropped_records: int = 0, refused_senders: int = 0) -> None:
        with self._lock:
            self.tally = Tally(
                self.tally.records + records,
                self.tally.dropped_records + dropped_records,
                self.tally.refused_senders + refused_senders,
            )


def refusal(uid: int, senders: int) -> str | None:
    """Why a sender is refused, as a sentence; None when it is welcome. Pure."""
    if uid != 0:
        return f"only root may feed heat, and this is user {uid}"
    if senders >= MAX_SENDERS:
        return f"there are {MAX_SENDERS} senders already"
    return None


def translated(regions: Sequence[Region], frame: Frame) -> tuple[U64, U64]:
    """Host addresses of a frame of device addresses, and their counts; without those that no region holds. Pure.

    Raises BadFrame when no region has the device, or addresses cannot be found by what is known.
    """
    targets = [
        (region, target) for region in regions for target in region.targets if target.memdev == frame.memdev
    ]
    if not targets:
        raise BadFrame(f"no CXL region is made of {frame.memdev}")
    addresses: list[U64] = []
    counts: list[U64] = []
    for region, target in targets:
        try:
            found, inside = region.to_hpa(target, frame.addresses)
        except Unavailable as err:
            raise BadFrame(str(err)) from err
        addresses.append(found[inside])
        counts.append(frame.counts[inside])
    return np.concatenate(addresses), np.concatenate(counts)


def _listen(path: Path) -> socket.socket:
    """The socket, for root alone. A socket that nobody serves any more is replaced; anything else is not."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        if path.is_socket() and not _is_served(path):
            path.unlink()
        before = os.umask(0o177)
        try:
            listener.bind(os.fspath(path))
        finally:
            os.umask(before)
        listener.listen(MAX_SENDERS)
    except OSError as err:
        listener.close()
        raise failure(path, err) from err
    return listener


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return False
    return True


def _peer_uid(sender: socket.socket) -> int:
    _, uid, _ = _PEER.unpack(sender.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(uid)


def _answer(sender: socket.socket, sentence: str) -> None:
    """One message before the end. A sender that does not listen misses it."""
    with contextlib.suppress(OSError):
        sender.send(sentence.encode())
