"""A trace's file: what was written is read, by anybody, and whatever is no trace is said in one sentence."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.environment import CHECKOUT
from tests.traces import FOLDER, churn
from tests.unit.agent.traces import told, traces
from thermocline_agent import trace_file
from thermocline_agent.recorded import Recorded
from thermocline_agent.trace import Trace
from thermocline_agent.trace_file import NoTrace


def written(trace: Trace) -> bytes:
    file = io.BytesIO()
    trace_file.write(trace, file)
    return file.getvalue()


def read(content: bytes, folder: Path) -> Trace:
    path = folder / "some.npz"
    path.write_bytes(content)
    return trace_file.read(path)


@given(traces())
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, trace: Trace) -> None:
    content = written(trace)
    found = read(content, tmp_path_factory.mktemp("trace"))
    assert told(found) == told(trace)
    assert written(found) == content


def test_the_manuals_lines_read_it_with_numpy_alone() -> None:
    page = (CHECKOUT / "docs/traces.md").read_text()
    (program,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=FOLDER, capture_output=True, text=True, check=True
    )
    trace = trace_file.read(FOLDER / "churn.npz")
    machine = Recorded(trace)
    wanted = []
    for moment in trace.moments:
        machine.advance(moment)
        frames, _ = moment.counts.frames()
        pages = np.bincount(machine.owner[frames], minlength=len(trace.owners) + 1)
        wanted.append(f"{moment.seconds} {pages}")
    assert done.stdout.splitlines() == wanted
    assert len(set(wanted)) > 20


def changed(content: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """The same zip with other members."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return file.getvalue()


def header(**words: Any) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        members["header.json"] = json.dumps(json.loads(members["header.json"]) | words).encode()

    return change


def first_round(**words: Any) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        told = json.loads(members["header.json"])
        told["rounds"][0] |= words
        members["header.json"] = json.dumps(told).encode()

    return change


def array(name: str, values: Any) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        file = io.BytesIO()
        np.lib.format.write_array(file, np.array(values), version=(1, 0))
        members[f"{name}.npy"] = file.getvalue()

    return change


def without(name: str) -> Callable[[dict[str, bytes]], None]:
    def change(members: dict[str, bytes]) -> None:
        del members[name]

    return change


def first_count(value: int) -> Callable[[dict[str, bytes]], None]:
    """The first round's first run of counts, in a wider array."""

    def change(members: dict[str, bytes]) -> None:
        column = np.load(io.BytesIO(members["counts_pages.npy"])).astype(np.uint64)
        column[0] = value
        array("counts_pages", column)(members)

    return change


def first_order(members: dict[str, bytes]) -> None:
    """The first order, in a wider array: its lowest byte is 0."""
    column = np.load(io.BytesIO(members["changed_order.npy"])).astype(np.uint64)
    column[0] = 256
    array("changed_order", column)(members)


def bloated(members: dict[str, bytes]) -> None:
    """A header of an array that claims to be large."""
    members["counts_skip.npy"] = members["counts_skip.npy"].replace(b"(", b"(9", 1)


GOOD = churn(rounds=4)
NODE = {"node": 0, "tier": "fast", "pages": 1, "readLatencyNs": None}
SPAN = {"firstPfn": 0, "pages": 1 << 40, "node": 0}
ROUND = json.loads(zipfile.ZipFile(io.BytesIO(written(GOOD))).read("header.json"))["rounds"][0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (header(version=2), "format 2, and this agent reads up to 1: use an agent as new"),
        (header(version="new"), "'new' is no version"),
        (header(format="other"), 'is no trace: its header.json does not say "format": "thermocline-trace"'),
        (header(pageBytes=16384), "has pages of 16384 bytes"),
        (header(rounds=[]), "is damaged: changed_skip.npy does not have 0 unsigned numbers"),
        (header(rounds=[ROUND, ROUND]), "unsigned numbers"),
        (header(rounds=5), "is damaged"),
        (header(spans=[SPAN]), "more than 4 TiB"),
        (header(spans=[SPAN | {"pages": -1}]), "is damaged"),
        (header(nodes=[]), "is damaged"),
        (header(owners=[]), "is damaged: its round 1 has an owner that it does not list"),
        (header(owners=[{"id": 7, "kind": "pod"}]), "is damaged: its owner 1 is none"),
        (header(nodes=[NODE | {"node": 1 << 40}]), "is damaged"),
        (header(nodes=[NODE | {"node": each, "pages": -1} for each in (0, 1, 2)]), "its nodes are none"),
        (header(owners=[{"id": 1, "kind": "service", "path": 7}]), "its owner 1 has names that are no text"),
        (header(owners=[{"id": 1, "kind": "pod", "labels": {"a": []}}]), "its owner 1 has names that are no text"),
        (header(owners=[{"id": 1, "kind": "pod", "labels": ["a"]}]), "is damaged"),
        (first_round(full=0), "its round 1 has counts above 255"),
        (first_round(accessesPerCount=float("nan")), "its round 1 does not tell what a count stands for"),
        (first_round(freePages=[1, -1, 1]), "its round 1 does not tell what each node has free"),
        (first_round(freePages=[1]), "its round 1 does not tell what each node has free"),
        (first_round(seconds=float("nan")), "its round 1 does not come after the one before"),
        (first_round(seconds=99), "its round 2 does not come after the one before"),
        (first_round(changedRuns=-1), "is damaged"),
        (header(intervalSeconds=0), "its interval is not longer than 0 s"),
        (header(intervalSeconds=float("inf")), "its interval is not longer than 0 s"),
        (without("header.json"), "is no trace: it has no header.json"),
        (without("counts_pages.npy"), "is damaged"),
        (array("counts_pages", np.array([object()])), "does not have"),
        (array("counts_pages", [0.5]), "does not have"),
        (array("counts_pages", np.zeros(3, dtype=np.uint8)), "does not have"),
        (first_order, "its round 1 has folios larger than 2^18 pages"),
        (bloated, "does not have"),
        (first_count(0), "its round 1 has frames that are not in its layout"),
        (first_count(1 << 20), "its round 1 has frames that are not in its layout"),
        (first_count(1 << 60), "numbers above 2^30"),
        (lambda members: members.update({"header.json": b"{"}), "is damaged"),
        (lambda members: members.update({"header.json": b"\xff\xff"}), "is damaged"),
        (lambda members: members.update({"counts_pages.npy": b"no array"}), "is damaged"),
    ],
)  # fmt: skip
def test_what_is_no_trace_is_said(
    change: Callable[[dict[str, bytes]], None], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(NoTrace) as caught:
        read(changed(written(GOOD), change), tmp_path)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK", b"apiVersion: v1\n", b"\x93NUMPY" + b"\0" * 200])
def test_another_file_is_no_trace(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(NoTrace, match="is no trace, or one that was cut short"):
        read(content, tmp_path)


def test_a_file_that_is_not_there_and_a_folder_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(NoTrace, match="cannot be read"):
            trace_file.read(path)


CONTENT = written(GOOD)


@given(st.integers(0, len(CONTENT) - 1))
def test_one_that_was_cut_short_is_no_trace(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    with pytest.raises(NoTrace):
        read(CONTENT[:length], tmp_path_factory.mktemp("cut"))


@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_one_whose_bytes_have_changed_is_no_trace_or_the_same(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    """Dates of members, say, mean nothing."""
    mangled = bytearray(CONTENT)
    mangled[place] ^= change
    try:
        found = read(bytes(mangled), tmp_path_factory.mktemp("mangled"))
    except NoTrace:
        return
    assert told(found) == told(GOOD)
