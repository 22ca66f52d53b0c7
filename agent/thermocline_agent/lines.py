"""Reports as lines of text: one a round for the log, a table of a plan for a person. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from thermocline_agent.moves import FIRST_PROMOTION, Reason
from thermocline_agent.report import Report
from thermocline_api.conditions import Status, find
from thermocline_api.node import NodeCondition
from thermocline_kernel.host import PAGE_BYTES

_WHY = {
    Reason.CEILING: "its owner has more fast memory than the rule's maximum",
    Reason.SINK: "the rule prefers slow memory",
    Reason.ROOM: "free fast memory is below the watermark",
    Reason.SWAP: "a hotter page takes its place",
    Reason.PIN: "the rule pins it to fast memory",
    Reason.FLOOR: "its owner has less fast memory than the rule's minimum",
    Reason.HOT: "it is hot",
}


def reason_sentence(name: str) -> str:
    """What a reason's name means."""
    return _WHY[Reason[name]]


def is_promotion(name: str) -> bool:
    """Whether pages move to fast memory for this reason, by its name."""
    return Reason[name] >= FIRST_PROMOTION


def size(pages: int) -> str:
    """So many pages, in MiB."""
    return f"{pages * PAGE_BYTES / (1 << 20):.1f} MiB"


def plain(name: str) -> str:
    """A name as a terminal or a file can take it: a cgroup's may have any bytes but a slash."""
    return name if name.isprintable() else "".join(map(_escaped, name))


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def percent(share: float | None) -> str:
    """A share, or that it is not known."""
    return "unknown" if share is None else f"{100 * share:.1f} %"


def log_line(report: Report) -> str:
    """One round, as key=value."""
    status, last = report.status, report.last
    words = [
        f"round={last.number}",
        f"mode={status.mode}",
        f"policy={status.policy}",
        f"source={status.source}",
        f"engine={status.engine}",
        f"fast_hit={'unknown' if last.fast_hit_now is None else f'{last.fast_hit_now:.3f}'}",
        f"planned_pages={sum(each.pages for each in last.planned)}",
        f"promoted_pages={last.promoted_pages}",
        f"demoted_pages={last.demoted_pages}",
        f"results={','.join(f'{name}:{pages}' for name, pages in last.results.items()) or 'none'}",
        f"waits={','.join(last.waits) or 'none'}",
        f"seconds={last.round_seconds:.3f}",
    ]
    migrating = find(status.conditions, NodeCondition.MIGRATING)
    if migrating is not None:
        words.insert(2, f"migrating={migrating.status}:{migrating.reason}")
    return " ".join(words)


def plan_table(report: Report) -> Iterator[str]:
    """What a round would move, and what would come of it."""
    last = report.last
    if not last.planned:
        yield "nothing would move"
    else:
        yield f"{'RULE':<24} {'DIRECTION':<10} {'PAGES':>9} {'SIZE':>12}  BECAUSE"
    for each in sorted(last.planned, key=lambda each: (each.rule, each.reason)):
        direction = "promote" if is_promotion(each.reason) else "demote"
        yield (
            f"{each.rule:<24} {direction:<10} {each.pages:>9} {size(each.pages):>12}  {reason_sentence(each.reason)}"
        )
    for why in last.waits:
        yield f"not more is moved because of {why}"
    yield f"accesses that fast memory serves: {percent(last.fast_hit_now)} now, {percent(last.fast_hit_planned)} then"


def trouble(report: Report) -> Iterator[str]:
    """What a person should know: conditions that are not as they should be, and what failed."""
    for kind in (NodeCondition.TIERS_FOUND, NodeCondition.HOTNESS_AVAILABLE, NodeCondition.ENGINE_AVAILABLE):
        found = find(report.status.conditions, kind)
        if found is not None and found.status is Status.FALSE:
            yield f"{found.reason}: {found.message}"
    for kind in (NodeCondition.GUARD_TRIPPED, NodeCondition.KERNEL_TIERING_ACTIVE):
        found = find(report.status.conditions, kind)
        if found is not None and found.status is Status.TRUE:
            yield f"{found.reason}: {found.message}"
    yield from report.problems
