"""A trace's file: a zip of header.json and numpy arrays, which numpy.load opens, without pickles. docs/traces.md.

    header.json      everything but what is told of single frames
    changed_*.npy    skip, pages, owner, order
    covered_*.npy    skip, pages
    counts_*.npy     skip, pages, count

The header tells how many runs of each table a round has. The same trace makes the same bytes, with the same zlib.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from thermocline_agent.extent import Layout, Span, Tier
from thermocline_agent.guards import Pressure
from thermocline_agent.trace import Moment, Trace, TraceNode, TraceOwner
from thermocline_agent.trace_columns import COLUMNS, MOST_FRAMES, Columns, tables, written
from thermocline_kernel.host import PAGE_BYTES

FORMAT: Final = "thermocline-trace"
VERSION: Final = 1
_HEADER: Final = "header.json"
# What no trace of a real machine needs; a file that says so would only fill the reader's memory.
_MOST_BYTES: Final = 1 << 30


class NoTrace(Exception):
    """The file cannot be used; the message says why, and goes on after the file's name."""


def write(trace: Trace, file: BinaryIO) -> None:
    """Write it. Raises OSError."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        _put(archive, _HEADER, json.dumps(_header(trace), indent=1).encode())
        for table, columns in tables(trace).items():
            for name, column in zip(COLUMNS[table], columns, strict=True):
                _put(archive, f"{table}_{name}.npy", written(column))


def read(path: Path) -> Trace:
    """The trace in a file. Raises NoTrace."""
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as err:
        raise NoTrace(f"cannot be read: {err.strerror or err}") from err


def _read(file: BinaryIO) -> Trace:
    try:
        with zipfile.ZipFile(file) as archive:
            header = _read_header(archive)
            return _made(header, Columns(partial(_bytes, archive)))
    except zipfile.BadZipFile as err:
        raise NoTrace(
            "is no trace, or one that was cut short: write one with `thermocline-agent record`"
        ) from err
    except (zlib.error, EOFError, NotImplementedError, RuntimeError) as err:
        raise NoTrace(f"is damaged: {err}") from err
    except KeyError as err:
        raise NoTrace(f"is damaged: it has no {err.args[0]}") from err
    except (TypeError, ValueError, AttributeError, OverflowError) as err:
        raise NoTrace(f"is damaged: {err}") from err


def _read_header(archive: zipfile.ZipFile) -> Mapping[str, Any]:
    """Raises NoTrace for what is another's, or newer."""
    if _HEADER not in archive.namelist():
        raise NoTrace(f"is no trace: it has no {_HEADER}")
    header = json.loads(_bytes(archive, _HEADER))
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise NoTrace(f'is no trace: its {_HEADER} does not say "format": "{FORMAT}"')
    version = header.get("version")
    if not isinstance(version, int) or version < 1:
        raise NoTrace(f"is damaged: {version!r} is no version")
    if version > VERSION:
        raise NoTrace(
            f"has format {version}, and this agent reads up to {VERSION}: use an agent as new as the one that wrote it"
        )
    if header["pageBytes"] != PAGE_BYTES:
        raise NoTrace(f"has pages of {header['pageBytes']} bytes; only {PAGE_BYTES} are understood")
    return header


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # A ZipInfo of its own has a date that does not change.
    archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def _bytes(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > _MOST_BYTES:
        raise NoTrace(f"is damaged: its {name} claims to have more than 1 GiB")
    return archive.read(name)


def _header(trace: Trace) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "pageBytes": PAGE_BYTES,
        "intervalSeconds": trace.interval_seconds,
        "inKubernetes": trace.in_kubernetes,
        "hasNames": trace.has_names,
        "nodes": [
            {
                "node": each.number,
                "tier": each.tier.name.lower(),
                "pages": each.pages,
                "readLatencyNs": each.read_latency_ns,
            }
            for each in trace.nodes
        ],
        "spans": [
            {"firstPfn": each.first_pfn, "pages": each.pages, "node": each.node}
            for each in trace.layout.spans
        ],
        "owners": [_owner(number, each) for number, each in enumerate(trace.owners, 1)],
        "rounds": [_round(each) for each in trace.moments],
    }


def _owner(number: int, owner: TraceOwner) -> dict[str, Any]:
    told: dict[str, Any] = {"id": number, "kind": "pod" if owner.is_pod else "service"}
    optional = {
        "qos": owner.qos,
        "path": owner.path,
        "namespace": owner.namespace,
        "name": owner.name,
        "labels": owner.labels,
        "namespaceLabels": owner.namespace_labels,
    }
    if owner.is_pod:
        told["leftAlone"] = owner.left_alone
    return told | {key: value for key, value in optional.items() if value is not None}


def _round(moment: Moment) -> dict[str, Any]:
    pressure = moment.pressure
    return {
        "seconds": moment.seconds,
        "source": moment.source,
        "full": moment.full,
        "accessesPerCount": moment.accesses_per_count,
        "freePages": list(moment.free_pages),
        "pressure": pressure
        and {"someAvg60BasisPoints": pressure.some_avg60, "fullAvg10BasisPoints": pressure.full_avg10},
        "changedRuns": len(moment.changed.first),
        "coveredRuns": len(moment.covered.first),
        "countsRuns": len(moment.counts.first),
    }


def _made(header: Mapping[str, Any], columns: Columns) -> Trace:
    nodes = tuple(
        TraceNode(int(each["node"]), Tier[each["tier"].upper()], int(each["pages"]), each["readLatencyNs"])
        for each in header["nodes"]
    )
    tier_of = {node.number: node.tier for node in nodes}
    spans = tuple(
        Span(int(each["firstPfn"]), int(each["pages"]), int(each["node"]), tier_of[each["node"]])
        for each in header["spans"]
    )
    if sum(span.pages for span in spans) > MOST_FRAMES:
        raise ValueError("it claims to have more than 4 TiB of memory")
    rounds = header["rounds"]
    for table in COLUMNS:
        columns.begin(table, [each[f"{table}Runs"] for each in rounds])
    return Trace(
        float(header["intervalSeconds"]),
        bool(header["inKubernetes"]),
        bool(header["hasNames"]),
        nodes,
        Layout(spans),
        tuple(_made_owner(number, each) for number, each in enumerate(header["owners"], 1)),
        tuple(_made_moment(each, columns) for each in rounds),
    )


def _made_owner(number: int, told: Mapping[str, Any]) -> TraceOwner:
    if told["id"] != number or told["kind"] not in ("pod", "service"):
        raise ValueError(f"its owner {number} is none")
    texts = [told.get(key) for key in ("qos", "path", "namespace", "name")]
    labels = [told.get(key) for key in ("labels", "namespaceLabels")]
    words = [word for each in labels if each is not None for pair in each.items() for word in pair]
    if any(not isinstance(each, str | None) for each in (*texts, *words)):
        raise ValueError(f"its owner {number} has names that are no text")
    qos, *names = texts
    return TraceOwner(told["kind"] == "pod", qos, told.get("leftAlone", False), *names, *labels)


def _made_moment(told: Mapping[str, Any], columns: Columns) -> Moment:
    pressure = told["pressure"]
    return Moment(
        float(told["seconds"]),
        str(told["source"]),
        None if told["full"] is None else int(told["full"]),
        float(told["accessesPerCount"]),
        tuple(map(int, told["freePages"])),
        None
        if pressure is None
        else Pressure(int(pressure["someAvg60BasisPoints"]), int(pressure["fullAvg10BasisPoints"])),
        columns.runs("changed", "owner"),
        columns.orders(),
        columns.runs("covered", None),
        columns.runs("counts", "count"),
    )
