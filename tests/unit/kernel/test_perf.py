"""Records of perf_event_open(2)'s ring buffers, and events from trees that stand for /sys."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kernel import trees
from thermocline_kernel import perf
from thermocline_kernel.errors import Garbled, Unavailable
from thermocline_kernel.host import Host
from thermocline_kernel.perf import Event

FORMATS = {
    "event": "config:0-7",
    "umask": "config:8-15",
    "ldlat": "config1:0-15",
    "split": "config:0-3,32-35",
}
DEVICES = "bus/event_source/devices"


def sample(address: int, misc: int = 2) -> bytes:
    return struct.pack("=IHHQ", 9, misc, 16, address)


def lost(count: int) -> bytes:
    return struct.pack("=IHHQQ", 2, 0, 24, 1, count)


THROTTLE = struct.pack("=IHHQQQ", 5, 0, 32, 1, 2, 3)


def test_samples_alone_and_among_other_records() -> None:
    told = perf.decode(sample(0x1000) + sample(0, misc=0x4001) + sample(2**52))
    assert (told.addresses.tolist(), told.lost, told.throttled) == ([0x1000, 0, 2**52], 0, 0)
    told = perf.decode(sample(1) + lost(7) + THROTTLE + sample(2) + lost(1))
    assert (told.addresses.tolist(), told.lost, told.throttled) == ([1, 2], 8, 1)
    assert perf.decode(b"").addresses.size == 0


@given(st.lists(st.one_of(st.builds(sample, st.integers(0, 2**64 - 1)), st.builds(lost, st.integers(0, 9)))))
def test_both_ways_of_decoding_agree(records: list[bytes]) -> None:
    data = b"".join(records)
    told, slowly = perf.decode(data), perf._decode_each(data)
    assert told.addresses.tolist() == slowly.addresses.tolist()
    assert told.lost == slowly.lost


@pytest.mark.parametrize(
    "data",
    [
        sample(1)[:4],
        sample(1)[:12],
        struct.pack("=IHHQ", 9, 0, 0, 1),
        struct.pack("=IHHQ", 9, 0, 12, 1),
        struct.pack("=IHHQ", 9, 0, 32, 1),
        struct.pack("=IHHQQ", 9, 0, 24, 1, 2),
        struct.pack("=IHHQ", 2, 0, 16, 1),
    ],
)
def test_garbled_records_are_refused(data: bytes) -> None:
    with pytest.raises(Garbled, match="perf_event_open"):
        perf.decode(data)


@given(st.binary(max_size=200))
def test_noise_is_decoded_or_refused(data: bytes) -> None:
    try:
        told = perf.decode(data)
    except Garbled:
        return
    assert told.addresses.size <= len(data) // 16


def test_a_ring_wraps_around() -> None:
    ring = bytes(range(16))
    assert perf.unwrap(ring, 0, 0) == b""
    assert perf.unwrap(ring, 4, 8) == ring[4:8]
    assert perf.unwrap(ring, 16 * 5 + 12, 16 * 6 + 4) == ring[12:] + ring[:4]
    assert perf.unwrap(ring, 3, 19) == ring[3:] + ring[:3]
    for tail, head in ((0, 17), (5, 4)):
        with pytest.raises(Garbled):
            perf.unwrap(ring, tail, head)


def test_events_are_encoded_by_their_formats() -> None:
    assert perf.encode("event=0xcd,umask=0x1,ldlat=3", FORMATS) == {"config": 0x1CD, "config1": 3}
    assert perf.encode("split=0xab", FORMATS) == {"config": 0xB | 0xA << 32}
    for event in ("event=0x1cd", "nothing=1", "event=x", ""):
        with pytest.raises(Garbled):
            perf.encode(event, FORMATS)
    with pytest.raises(Garbled):
        perf.encode("event=1", {"event": "config:7-0"})


def intel(name: str, kind: int) -> dict[str, str]:
    base = f"{DEVICES}/{name}"
    return {
        f"{base}/type": f"{kind}\n",
        f"{base}/events/mem-loads": "event=0xcd,umask=0x1,ldlat=3\n",
        **{f"{base}/format/{term}": f"{bits}\n" for term, bits in FORMATS.items()},
    }


def test_intels_loads(tmp_path: Path) -> None:
    trees.plant(tmp_path, intel("cpu", 4))
    assert perf.memory_events(Host(sys=tmp_path)) == (
        Event("cpu/mem-loads/", 4, config=0x1CD, config1=3, precise=2),
    )


def test_a_hybrid_with_a_leader(tmp_path: Path) -> None:
    trees.plant(tmp_path, intel("cpu_core", 4) | intel("cpu_atom", 10))
    trees.plant(
        tmp_path,
        {
            f"{DEVICES}/cpu_core/cpus": "0-3\n",
            f"{DEVICES}/cpu_core/events/mem-loads-aux": "event=0x03,umask=0x82\n",
            f"{DEVICES}/cpu_atom/cpus": "4-7\n",
        },
    )
    core, atom = perf.memory_events(Host(sys=tmp_path))
    assert (core.cpus, core.leader_config) == (frozenset(range(4)), 0x8203)
    assert (atom.cpus, atom.leader_config, atom.type) == (frozenset(range(4, 8)), None, 10)


def test_amds_op_counts_the_kernel_too(tmp_path: Path) -> None:
    trees.plant(tmp_path, {f"{DEVICES}/ibs_op/type": "11\n"})
    assert perf.memory_events(Host(sys=tmp_path)) == (Event("ibs_op", 11, user_only=False, ibs=True),)


def test_most_virtual_machines_have_none(tmp_path: Path) -> None:
    assert perf.memory_events(Host(sys=tmp_path)) == ()


def test_attributes_are_laid_out_as_the_header_says() -> None:
    data = Event("e", 4, config=0x1CD, config1=30, precise=2).attributes(1009)
    kind, size, config, period, sample_type = struct.unpack_from("=IIQQQ", data)
    (flags,) = struct.unpack_from("=Q", data, 40)
    assert (kind, size, config, period, sample_type) == (4, 112, 0x1CD, 1009, 1 << 19)
    assert size == len(data)
    # disabled, exclude_kernel, exclude_hv, and 2 in precise_ip
    assert flags == 1 | 1 << 5 | 1 << 6 | 2 << 15
    assert struct.unpack_from("=Q", data, 56) == (30,)
    grouped = Event("e", 4, user_only=False, leader_config=0x8203)
    # Only the leader is off: switching it on switches on both.
    assert struct.unpack_from("=Q", grouped.attributes(7), 40) == (0,)
    leader = grouped.leader_attributes()
    assert struct.unpack_from("=QQQ", leader, 8) == (0x8203, 0, 0)
    assert struct.unpack_from("=Q", leader, 40) == (1,)


@pytest.mark.parametrize(("asked", "fitting"), [(10_007, 10_000), (1_009, 1_008), (144, 144), (1, 0x90)])
def test_ibs_takes_periods_in_sixteens(monkeypatch: pytest.MonkeyPatch, asked: int, fitting: int) -> None:
    told: list[int] = []
    monkeypatch.setattr(perf._Ring, "set_period", lambda _, period: told.append(period))
    ring: Any = perf._Ring(-1, -1, cast(Any, None), 0)
    for event, wanted in ((Event("ibs_op", 11, ibs=True), fitting), (Event("e", 4), asked)):
        assert struct.unpack_from("=Q", event.attributes(asked), 16) == (wanted,)
        perf.Sampler(event, [ring]).set_period(asked)
        assert told.pop() == wanted


def test_no_cpu_with_the_event(tmp_path: Path) -> None:
    trees.plant(tmp_path, {"devices/system/cpu/online": "0-1\n"})
    with pytest.raises(Unavailable, match="no CPU on line"):
        perf.Sampler.open(Host(sys=tmp_path), Event("e", 1, cpus=frozenset({5})), 1)
