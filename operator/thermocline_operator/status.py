"""What a policy's status says of its nodes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from thermocline_api.conditions import Condition, Status, updated
from thermocline_api.policy import NodeCounts, Phase, PolicyCondition, PolicyStatus, Revisions
from thermocline_api.settings import Mode
from thermocline_operator.health import trouble
from thermocline_operator.resolve import ground
from thermocline_operator.rollout import Member, Situation, Stage, Step
from thermocline_operator.state import Marks, Policy, Revision
from thermocline_operator.totals import dry_run_of, totals_of

_NAMED_NODES: Final = 3
_LONGEST_MESSAGE: Final = 1024

_Writer = Callable[[PolicyCondition, bool, str, str], Condition]


@dataclass(frozen=True, slots=True)
class View:
    """What a status is made of. `losses` are the policies that govern in this one's stead, on so many nodes."""

    at: Situation
    step: Step
    current: Revision | None
    last_good: Revision | None
    losses: Mapping[str, int] = field(default_factory=dict, hash=False)
    policies: Mapping[str, Policy] = field(default_factory=dict, hash=False)

    @property
    def is_superseded(self) -> bool:
        return bool(self.losses) and not self.at.members


def status_of(view: View) -> PolicyStatus:
    """The status of a policy that is valid."""
    at, policy = view.at, view.at.policy
    reports = [each.tier_node.report for each in at.members if each.tier_node is not None]
    heard = [report for report in reports if report is not None]
    ailing = _ailing(policy, at.members)
    counts = _counts(view, ailing)
    conditions = _conditions(view, counts, ailing)
    return PolicyStatus(
        observed_generation=policy.generation,
        phase=_phase(view, conditions),
        revisions=Revisions(
            current=None if view.current is None else view.current.name,
            target=at.target.name,
            last_good=None if view.last_good is None else view.last_good.name,
        ),
        nodes=counts,
        pods_matched=sum(report.pods_matched or 0 for report in heard),
        totals=totals_of(heard),
        dry_run=dry_run_of(heard) if policy.mode is Mode.DRY_RUN else None,
        conditions=updated(policy.status.conditions, conditions),
    )


def status_of_invalid(policy: Policy, now: datetime) -> PolicyStatus:
    """The status of a policy that breaks the schema: nothing is done for it, and its nodes stay as they are."""
    message = _cut(f"The policy is not valid, and its nodes stay as they are: {policy.problem}")
    accepted = Condition(PolicyCondition.ACCEPTED, Status.FALSE, "Invalid", message, now, policy.generation)
    ready = Condition(PolicyCondition.READY, Status.FALSE, "Invalid", message, now, policy.generation)
    return PolicyStatus(
        observed_generation=policy.generation,
        phase=Phase.INVALID,
        revisions=policy.status.revisions,
        conditions=updated(policy.status.conditions, (accepted, ready)),
    )


def status_of_unread(policy: Policy, names: Sequence[str], now: datetime) -> PolicyStatus:
    """The status of a policy whose record cannot be read: what it said of nodes is left, and why nothing is done."""
    message = _cut(
        f"ControllerRevision {', '.join(names)} may be there, but cannot be read: until it can, no node is given"
        " anything but a pause. Correct it, or delete it to have the rollout begin anew."
    )
    reason = "RevisionUnreadable"
    valid = "The policy is valid."
    conditions = (
        Condition(PolicyCondition.ACCEPTED, Status.TRUE, "Valid", valid, now, policy.generation),
        Condition(PolicyCondition.PROGRESSING, Status.UNKNOWN, reason, message, now, policy.generation),
        Condition(PolicyCondition.READY, Status.UNKNOWN, reason, message, now, policy.generation),
        Condition(PolicyCondition.DEGRADED, Status.TRUE, reason, message, now, policy.generation),
    )
    return replace(
        policy.status,
        observed_generation=policy.generation,
        phase=Phase.PAUSED if policy.paused else Phase.DEGRADED,
        conditions=updated(policy.status.conditions, conditions),
    )


def _ailing(policy: Policy, members: Sequence[Member]) -> dict[str, str]:
    """Nodes whose agents report trouble or are silent, and what it is."""
    found = {}
    for member in members:
        report = None if member.tier_node is None else member.tier_node.report
        if member.is_lost:
            found[member.name] = member.health.why
        elif report is not None and (condition := trouble(policy, report)) is not None:
            found[member.name] = f"{condition.type} {condition.reason}"
    return found


def _counts(view: View, ailing: Mapping[str, str]) -> NodeCounts:
    at = view.at
    given = [
        each for each in at.members if each.tier_node is not None and each.tier_node.policy == at.policy.name
    ]
    return NodeCounts(
        matched=len(at.members),
        updated=len(at.having()),
        ready=sum(each.is_applied and each.name not in ailing for each in given),
        degraded=len(ailing),
        aborted=0 if view.step.marks.abort is None else view.step.marks.abort.count,
    )


def _conditions(view: View, counts: NodeCounts, ailing: Mapping[str, str]) -> tuple[Condition, ...]:
    at, stage = view.at, view.step.stage

    def condition(kind: PolicyCondition, holds: bool, reason: str, message: str) -> Condition:
        status = Status.TRUE if holds else Status.FALSE
        return Condition(kind, status, reason, _cut(message), at.now, at.policy.generation)

    is_ready = stage is Stage.COMPLETE and bool(counts.ready) and counts.ready == counts.matched
    words = f"{counts.ready} of {counts.matched} nodes are ready."
    is_degraded = bool(ailing) or stage in (Stage.ABORTED, Stage.STUCK)
    return (
        condition(PolicyCondition.ACCEPTED, True, "Valid", "The policy is valid."),
        condition(PolicyCondition.PROGRESSING, stage.is_moving, stage, _progress(view, counts)),
        condition(
            PolicyCondition.READY,
            is_ready,
            "AllNodesReady" if is_ready else "NodesNotReady" if counts.matched else "NoNodes",
            words if counts.matched else "The policy governs no node.",
        ),
        condition(
            PolicyCondition.DEGRADED,
            is_degraded,
            stage if stage in (Stage.ABORTED, Stage.STUCK) else "NodesInTrouble" if ailing else "AsExpected",
            _named(ailing)
            if ailing
            else _progress(view, counts)
            if is_degraded
            else "No node reports trouble.",
        ),
        _rolled_back(view, condition),
        _superseded(view, condition),
    )


def _rolled_back(view: View, condition: _Writer) -> Condition:
    stage, marks = view.step.stage, view.step.marks
    kind = PolicyCondition.ROLLED_BACK
    if stage is Stage.ROLLED_BACK and marks.abort is not None and marks.abort.trips:
        message = (
            f"Revision {view.at.target.name} was {_why_aborted(marks)}; nodes returned to {_goal(view.step)}."
        )
        return condition(kind, True, marks.abort.trips[0].reason, message)
    if stage is Stage.ROLLING_BACK:
        return condition(kind, False, stage, f"Nodes are returning to {_goal(view.step)}.")
    return condition(kind, False, "NotRolledBack", "The revision that the policy asks for is not given up.")


def _superseded(view: View, condition: _Writer) -> Condition:
    kind = PolicyCondition.SUPERSEDED
    if not view.losses:
        return condition(
            kind, False, "NotSuperseded", "No other policy governs a node that this one selects."
        )
    words = ", ".join(
        f"{name} governs {count} {'node' if count == 1 else 'nodes'}"
        f" ({ground(view.policies[name], view.at.policy)})"
        for name, count in sorted(view.losses.items())
    )
    if view.is_superseded:
        return condition(kind, True, "OnAllNodes", f"Of the nodes that this policy selects, {words}.")
    kept = f"this policy governs the other {len(view.at.members)}"
    return condition(kind, False, "OnSomeNodes", f"Of the nodes that this policy selects, {words}; {kept}.")


def _phase(view: View, conditions: Sequence[Condition]) -> Phase:
    holds = {each.type for each in conditions if each.status is Status.TRUE}
    if view.is_superseded:
        return Phase.SUPERSEDED
    if view.at.policy.paused:
        return Phase.PAUSED
    for kind, phase in (
        (PolicyCondition.ROLLED_BACK, Phase.ROLLED_BACK),
        (PolicyCondition.PROGRESSING, Phase.PROGRESSING),
        (PolicyCondition.DEGRADED, Phase.DEGRADED),
        (PolicyCondition.READY, Phase.READY),
    ):
        if kind in holds:
            return phase
    return Phase.PENDING


def _progress(view: View, counts: NodeCounts) -> str:
    """Where the rollout is, in a sentence."""
    at, target = view.at, view.at.target.name
    have = f"{counts.updated} of {counts.matched} nodes have revision {target}"
    match view.step.stage:
        case Stage.NO_NODES:
            said = "The policy governs no node."
        case Stage.CANARY:
            said = f"{have}; {at.canary} try it first, and all of them must apply it."
        case Stage.SOAKING:
            said = (
                f"{have}; it soaks for {at.policy.rollout.soak_seconds:g} s since {_clock(view.step.marks)}."
            )
        case Stage.WAVE:
            said = f"{have}; at most {at.most_unavailable} are in change at a time."
        case Stage.STUCK:
            said = (
                f"{have}, but too many did not apply it in time: correct the policy, or look at their agents."
            )
        case Stage.PAUSED:
            said = f"{have}; the rollout waits while the policy is paused."
        case Stage.COMPLETE:
            said = f"{have}."
        case Stage.ABORTED:
            said = f"{have}; {_why_aborted(view.step.marks)}, and autoRollback is off: correct the policy."
        case _:
            said = f"{have}; {_why_aborted(view.step.marks)}. Nodes return to {_goal(view.step)}."
    return said


def _clock(marks: Marks) -> str:
    return "now" if marks.soaking_since is None else f"{marks.soaking_since:%H:%M:%S} UTC"


def _goal(step: Step) -> str:
    return (
        "observing alone, for no revision before it was complete"
        if step.wanted is None
        else f"revision {step.wanted.name}"
    )


def _why_aborted(marks: Marks) -> str:
    if marks.abort is None:
        return "nothing aborted it"
    reasons: dict[str, list[str]] = {}
    for trip in marks.abort.trips:
        reasons.setdefault(trip.node, []).append(trip.reason)
    named = [f"{' and '.join(reasons[node])} on {node}" for node in list(reasons)[:_NAMED_NODES]]
    more = marks.abort.count - len(named)
    return f"aborted by {', '.join(named)}{f' and {more} more' if more else ''}"


def _named(ailing: Mapping[str, str]) -> str:
    first = [f"{name}: {ailing[name]}" for name in sorted(ailing)[:_NAMED_NODES]]
    more = len(ailing) - len(first)
    return f"{'; '.join(first)}{f'; and {more} more' if more else ''}."


def _cut(message: str) -> str:
    """No longer than the API takes."""
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[: _LONGEST_MESSAGE - 1]}…"
