"""Revisions of policies: their names, their order, and which are kept. Pure.

A revision is named after its policy and a digest of its settings, so that the same settings of the same policy
are the same revision, whenever they come back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from thermocline_operator.state import Marks, Policy, Revision

# As many as a DaemonSet keeps.
HISTORY: Final = 10
_DIGITS: Final = 10
_LONGEST_PREFIX: Final = 253 - 1 - _DIGITS


def digest(settings: Mapping[str, Any]) -> str:
    """What settings have in common only with themselves, in whatever order they are written."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def revision_name(policy: Policy) -> str:
    """The name of the revision that a policy's spec is. A policy that was deleted and made again has others."""
    seal = hashlib.sha256(f"{policy.uid} {policy.digest}".encode()).hexdigest()[:_DIGITS]
    return f"{policy.name[:_LONGEST_PREFIX].rstrip('.-')}-{seal}"


def target_of(policy: Policy, known: Iterable[Revision]) -> Revision:
    """The revision that a policy's spec is, newest of all: made, or brought back.

    What was given up may be tried again when something else was wanted in between. What was the last good
    needs no new trial.
    """
    mine = [each for each in known if each.policy_uid == policy.uid]
    newest = max((each.number for each in mine), default=0)
    name = revision_name(policy)
    found = next((each for each in mine if each.name == name), None)
    if found is None:
        return Revision(name, policy.name, policy.uid, newest + 1, policy.settings, policy.digest)
    if found.number == newest:
        return found
    good = last_good(mine)
    marks = replace(found.marks, abort=None) if good is found else Marks()
    return replace(found, number=newest + 1, marks=marks)


def last_good(known: Iterable[Revision]) -> Revision | None:
    """The newest revision that all nodes applied without trouble."""
    good = [each for each in known if each.marks.good_at is not None]
    return max(good, key=lambda each: each.number, default=None)


def last_complete(known: Iterable[Revision]) -> Revision | None:
    """The revision of the last rollout that was complete."""
    done = [each for each in known if each.marks.completed_at is not None]
    return max(done, key=lambda each: each.number, default=None)


def surplus(known: Iterable[Revision], needed: Iterable[str]) -> list[Revision]:
    """The oldest revisions beyond the history, without those that some node has or may go back to."""
    ranked = sorted(known, key=lambda each: each.number, reverse=True)
    keep = {each.name for each in ranked[:HISTORY]} | set(needed)
    return [each for each in ranked if each.name not in keep]
