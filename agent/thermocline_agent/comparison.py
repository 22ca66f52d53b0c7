"""Policies on traces, side by side: as lines for a person, and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thermocline_agent.backtest import Outcome, RuleOutcome
from thermocline_agent.lines import percent, size
from thermocline_agent.trace import Trace
from thermocline_agent.trial import Trial
from thermocline_kernel.host import PAGE_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A policy, by the name that tells it from the others, and what it did."""

    policy: str
    trial: Trial


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """What each policy did on one trace."""

    name: str
    trace: Trace
    rows: tuple[Row, ...]


def table(found: Comparison) -> Iterator[str]:
    """The policies, then what each did by rule, then what is to be said."""
    trace, outcome = found.trace, found.rows[0].trial.outcome
    sources = ", ".join(sorted({moment.source for moment in trace.moments}))
    yield (
        f"{found.name}: {len(trace.moments)} rounds, one every {trace.interval_seconds:g} s, seen by {sources}; "
        f"owners: {len(trace.owners)}{'' if trace.has_names else ', without names'}"
    )
    width = max(16, *(len(row.policy) for row in found.rows))
    yield (
        f"{'POLICY':<{width}} {'FAST HITS':>10} {'2ND HALF':>10} {'PROMOTED':>12} {'DEMOTED':>12} {'NO ROOM':>12} "
        f"{'PING-PONG':>10}"
    )
    recorded = (percent(outcome.recorded_fast_hit), percent(outcome.recorded_late_fast_hit))
    yield f"{'(as recorded)':<{width}} {recorded[0]:>10} {recorded[1]:>10}"
    for row in found.rows:
        yield _line(row, width)
    for row in found.rows:
        yield ""
        yield from _rules(row)
    for row in found.rows:
        waits = row.trial.outcome.waits
        if waits:
            told = ", ".join(f"{why.value} in {rounds}" for why, rounds in waits.items())
            yield f"{row.policy}: not everything moved at once; rounds that waited: {told}"
    yield from dict.fromkeys(f"{row.policy}: {note}" for row in found.rows for note in row.trial.notes)


def _line(row: Row, width: int) -> str:
    outcome = row.trial.outcome
    sizes = " ".join(
        f"{size(pages):>12}" for pages in (sum(outcome.promoted), sum(outcome.demoted), outcome.refused_pages)
    )
    return (
        f"{row.policy:<{width}} {percent(outcome.fast_hit):>10} {percent(outcome.late_fast_hit):>10} {sizes} "
        f"{percent(_returned(outcome)):>10}"
    )


def _rules(row: Row) -> Iterator[str]:
    outcome = row.trial.outcome
    fast = sum(rule.fast_pages for rule in outcome.rules)
    width = max(16, *(len(rule.name or "(no rule)") for rule in outcome.rules))
    yield (
        f"{row.policy:<{width}} {'OWNERS':>6} {'RESIDENT':>12} {'FAST AT END':>12} {'WAS':>12} {'OF FAST':>8} "
        f"{'FAST HITS':>10} {'PROMOTED':>12} {'DEMOTED':>12}"
    )
    for rule in outcome.rules:
        if rule.owners:
            held = percent(rule.fast_pages / fast if fast else None)
            yield (
                f"{rule.name or '(no rule)':<{width}} {rule.owners:>6} {size(rule.resident_pages):>12} "
                f"{size(rule.fast_pages):>12} {size(rule.recorded_fast_pages):>12} {held:>8} "
                f"{percent(rule.fast_hit):>10} {size(rule.promoted_pages):>12} {size(rule.demoted_pages):>12}"
            )


def _returned(outcome: Outcome) -> float | None:
    return outcome.returned_pages / outcome.moved_pages if outcome.moved_pages else 0.0


def as_json(found: Sequence[Comparison]) -> dict[str, Any]:
    """All of it, for programs."""
    return {
        "traces": [
            {
                "trace": each.name,
                "intervalSeconds": each.trace.interval_seconds,
                "rounds": len(each.trace.moments),
                "recordedFastHit": each.rows[0].trial.outcome.recorded_fast_hit,
                "recordedLateFastHit": each.rows[0].trial.outcome.recorded_late_fast_hit,
                "policies": [_policy(each.trace, row) for row in each.rows],
            }
            for each in found
        ]
    }


def _policy(trace: Trace, row: Row) -> dict[str, Any]:
    outcome = row.trial.outcome
    seconds = [moment.seconds for moment in trace.moments]
    return {
        "policy": row.policy,
        "fastHit": outcome.fast_hit,
        "lateFastHit": outcome.late_fast_hit,
        "promotedBytes": sum(outcome.promoted) * PAGE_BYTES,
        "demotedBytes": sum(outcome.demoted) * PAGE_BYTES,
        "refusedBytes": outcome.refused_pages * PAGE_BYTES,
        "returnedBytes": outcome.returned_pages * PAGE_BYTES,
        "pingPongWindowSeconds": outcome.window_seconds,
        "waits": {why.value: rounds for why, rounds in outcome.waits.items()},
        "rules": [_rule(each) for each in outcome.rules],
        "owners": [
            {
                "id": number,
                "rule": None if each.rule < 0 else outcome.rules[each.rule].name,
                "undecided": each.undecided is not None,
                "why": each.why,
            }
            for number, each in enumerate(row.trial.rulings, 1)
        ],
        "notes": list(row.trial.notes),
        "rounds": [
            {
                "seconds": at,
                "fastHit": hit,
                "recordedFastHit": was,
                "promotedBytes": up * PAGE_BYTES,
                "demotedBytes": down * PAGE_BYTES,
            }
            for at, hit, was, up, down in zip(
                np.round(seconds, 3).tolist(), outcome.fast_hits, outcome.recorded_fast_hits,
                outcome.promoted, outcome.demoted, strict=True,
            )
        ],
    }  # fmt: skip


def _rule(rule: RuleOutcome) -> dict[str, Any]:
    return {
        "rule": rule.name,
        "owners": rule.owners,
        "residentBytes": rule.resident_pages * PAGE_BYTES,
        "fastBytes": rule.fast_pages * PAGE_BYTES,
        "recordedFastBytes": rule.recorded_fast_pages * PAGE_BYTES,
        "fastHit": rule.fast_hit,
        "promotedBytes": rule.promoted_pages * PAGE_BYTES,
        "demotedBytes": rule.demoted_pages * PAGE_BYTES,
    }
