"""What is told of each owner: who it is, what governs it, how hot its pages are, what was moved of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from thermocline_agent.assignment import Pod
from thermocline_agent.extent import I64, Tier
from thermocline_agent.ledger import Ledger, Tally
from thermocline_agent.owners import Owner
from thermocline_agent.report import OwnerReport
from thermocline_agent.selection import NO_RULE, Governed
from thermocline_api.rule import Placement, Rule

# A machine has a few hundred pods; of more owners those with most pages are told.
MOST_OWNERS = 1000
_NOTHING = Tally()


def owner_reports(
    owners: Mapping[int, Owner],
    governed: Mapping[int, Governed],
    rules: Sequence[Rule],
    pods: Mapping[str, Pod] | None,
    pages: I64,
    ledger: Ledger,
) -> tuple[OwnerReport, ...]:
    """Owners that have pages, or that a rule governs, those with most pages first. `pages` are as portrait has them."""
    found = []
    for number, owner in owners.items():
        where = governed.get(number, Governed(NO_RULE, "it has just appeared"))
        own = pages[number] if number < len(pages) else pages[0] * 0
        if where.rule == NO_RULE and not own.any():
            continue
        rule = rules[where.rule] if where.rule != NO_RULE else None
        pod = pods.get(owner.pod_uid) if pods is not None and owner.pod_uid is not None else None
        tally = ledger.owners.get(number, _NOTHING)
        found.append(
            OwnerReport(
                path=owner.path,
                why=where.why,
                rule=rule.name if rule is not None else None,
                placement=rule.placement.value if rule is not None else None,
                pod_uid=owner.pod_uid,
                namespace=pod.namespace if pod is not None else None,
                name=pod.name if pod is not None else None,
                fast_pages=tuple(own[Tier.FAST].tolist()),
                slow_pages=tuple(own[Tier.SLOW].tolist()),
                promoted_pages=tally.promoted_pages,
                demoted_pages=tally.demoted_pages,
                failed=dict(tally.failed),
                last_moved_at=tally.last_moved_at,
                last_reasons=dict(tally.last_reasons),
            )
        )
    found.sort(key=lambda each: (-sum(each.fast_pages) - sum(each.slow_pages), each.path))
    return tuple(found[:MOST_OWNERS])


def matched(reports: Sequence[OwnerReport]) -> int:
    """How many of them a rule other than an Ignore rule governs, and have pages or are pods."""
    return sum(
        1
        for each in reports
        if each.placement not in (None, Placement.IGNORE.value)
        and (each.pod_uid is not None or sum(each.fast_pages) + sum(each.slow_pages))
    )
