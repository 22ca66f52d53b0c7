"""What the figures say, in sentences: each is made of the figures that it is about; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from tests.bench.placement import breakeven
from tests.bench.placement.arms import ARMS
from tests.bench.placement.figures import MAIN, Match, arms_of, noise, values
from tests.bench.placement.workloads import CAPACITY_MIB, INTERVALS
from tests.bench.rows import Row


def summary(found: Mapping[str, Sequence[Match]]) -> str:
    """The main arm of ours, in sentences that the README has too: workloads that have a target, and who is ahead."""
    captures = {
        arm: {
            name: median(told)
            for name, each in found.items()
            if each[0].workload.capture is not None and (told := values(each, arm, Match.capture))
        }
        for arm in (MAIN, "kernel", "DAMON")
    }
    ours = captures[MAIN]
    if not ours:
        return ""
    rivals = {name: max(captures[arm].get(name, 0.0) for arm in ("kernel", "DAMON")) for name in ours}
    ahead = [name for name in ours if ours[name] > rivals[name]]
    seeds = min(len(values(found[name], MAIN, Match.capture)) for name in ours)
    reached = [name for name in ours if ours[name] >= (found[name][0].workload.capture or 0)]
    return (
        f"Of what an oracle gains, access bits by page frame capture {_each(ours)}; the kernel's own tiering captures "
        f"{_each(captures['kernel'])}, and DAMON's schemes {_each(captures['DAMON'])}. Above both is ours under "
        f"{', '.join(ahead) or 'none of them'}, and our own target it reaches under "
        f"{', '.join(reached) or 'none of them'}. Seeds of ours: {seeds}, each of {INTERVALS} intervals."
    )


def _each(captured: Mapping[str, float]) -> str:
    return ", ".join(f"{value:.2f} ({name})" for name, value in captured.items())


def findings(found: Mapping[str, Sequence[Match]], kernel: Sequence[Row]) -> str:
    """For and against us: workload by workload, then the call. `kernel` are rows of kernel.json, if there are any."""
    lines = [_finding(name, each) for name, each in found.items() if _of(each, ours=True)]
    played = [
        score.bystander for each in found.values() for match in each for arm, score in match.scores.items()
        if ARMS[arm].ours
    ]  # fmt: skip
    if played:
        lines.append(
            f"* **Policy**: in the runs of ours, {len(played)}, pages that no rule names moved {sum(played)} times."
        )
    if kernel:
        lines.append(f"* **The call**: {breakeven.summary(kernel)}")
    said = summary(found)
    return "\n".join([*([f"{said}\n"] if said else []), *lines]) + "\n"


def reading(found: Mapping[str, Sequence[Match]]) -> str:
    """What one has to know to compare the arms, and how far apart they are in it; nothing without two sides."""
    lines = []
    ours = _ranges(found, Match.fast_mib, ours=True)
    others = _ranges(found, Match.fast_mib, ours=False)
    if ours and others:
        lines.append(
            "* **Room is not the same for all.** The kernel's arms know no policy: they sink what others have in fast "
            "memory, and so make a program more room than the oracle was given. The agent moves what rules name, and "
            f"has the memory of its own process there. Of {CAPACITY_MIB} MiB that are meant to be had, programs had "
            f"{ours:.1f} with ours and {others:.1f} with the kernel's. Capture counts what came of it; `choice` "
            "counts only which pages were taken."
        )
    for what, of, form in (
        ("**Choice**, of as many pages as each had", lambda match, arm: match.scores[arm].choice, ".2f"),
        ("**Moves**, for each that the oracle makes", Match.moves, ".2f"),
        (f"**Adapted** (90 % of the oracle's hits) in interval, {INTERVALS + 1} for never", Match.adapted, ".0f"),
        ("**Mover's CPU**, in hundredths of one", lambda match, arm: 100 * match.cpu(arm), ".2f"),
        ("**Throughput**, accesses an instruction against nothing moving", Match.throughput, ".3f"),
        ("**The neighbour's work**, an instruction, against nothing moving", Match.neighbour, ".3f"),
    ):  # fmt: skip
        ours, others = _ranges(found, of, ours=True), _ranges(found, of, ours=False)
        if ours and others:
            lines.append(f"* {what}: {ours:{form}} with ours, {others:{form}} with the kernel's.")
    tenants = found.get("tenants", ())
    told = [f"{arm} {median(values(tenants, arm, Match.farthest)):.2f}" for arm in _of(tenants, ours=None)]
    if told:
        lines.append(
            "* **Tenants**: how far the tenant that is farthest from what is its own is from it, as a part of that: "
            f"{', '.join(told)}. The kernel's arms know no shares."
        )
    return "\n".join(["Over workloads and seeds:\n", *lines]) + "\n" if lines else ""


def missing(found: Mapping[str, Sequence[Match]], workloads: Sequence[str]) -> str:
    """Arms and seeds that were not played, and what was not played twice."""
    gone = {name: [arm for arm in ARMS if arm not in arms_of(found.get(name, ()))] for name in workloads}
    lines = [
        f"* Not played under {name}: {'anything' if len(arms) == len(ARMS) else ', '.join(arms)}."
        for name, arms in gone.items()
        if arms
    ]
    single = {
        name: [arm for arm in arms_of(each) if ARMS[arm].seeds > 1 and len(values(each, arm, Match.capture)) == 1]
        for name, each in found.items()
    }  # fmt: skip
    lines += [
        f"* One seed alone under {name}, which says nothing of chance: {', '.join(arms)}."
        for name, arms in single.items()
        if arms
    ]
    after = {
        # Runs of then did not look at the bystander's work by the clock.
        name: [arm for arm in arms_of(each) if len(values(each, arm, _looked)) < len(values(each, arm, Match.capture))]
        for name, each in found.items()
    }  # fmt: skip
    lines += [
        f"* Played after others in the same node under {name}, which makes a difference: {', '.join(arms)}."
        for name, arms in after.items()
        if arms
    ]
    once = [name for name, each in found.items() if noise(each, Match.capture) is None]
    if once:
        lines.append(
            f"* No arm was played twice, so that it is not known how far runs repeat: {', '.join(once)}."
        )
    return "".join(f"{line}\n" for line in lines)


def _looked(match: Match, arm: str) -> float | None:
    return match.scores[arm].bystander_work_ns or None


def _of(found: Sequence[Match], *, ours: bool | None) -> list[str]:
    """Arms that find out themselves what to move: ours, the kernel's, or both."""
    return [
        arm for arm in arms_of(found)
        if ARMS[arm].moves_pages and not ARMS[arm].repeats and ours in (None, ARMS[arm].ours)
    ]  # fmt: skip


class _Range(tuple[float, float]):
    """The least and the greatest, for a format of either."""

    __slots__ = ()

    def __format__(self, form: str) -> str:
        return f"{self[0]:{form}} to {self[1]:{form}}"


def _ranges(
    found: Mapping[str, Sequence[Match]], of: Callable[[Match, str], float], *, ours: bool
) -> _Range | None:
    told = [
        each for every in found.values() for arm in _of(every, ours=ours) for each in values(every, arm, of)
    ]
    return _Range((min(told), max(told))) if told else None


def _finding(name: str, found: Sequence[Match]) -> str:
    capture = {arm: median(values(found, arm, Match.capture)) for arm in _of(found, ours=None)}
    best = max(_of(found, ours=True), key=capture.__getitem__)
    kernels = _of(found, ours=False)
    rival = max(kernels, key=capture.__getitem__)
    target = found[0].workload.capture
    reached = (
        "" if target is None
        else f", which reaches the target of {target}" if capture[best] >= target
        else f", which misses the target of {target}"
    )  # fmt: skip
    return (
        f"* **{name}**: the best of ours ({best}) captures {capture[best]:.3f} of what the oracle gains{reached}; the "
        f"best of the kernel's ({rival}) captures {capture[rival]:.3f}. {_verdict(found, capture, best, kernels)} "
        f"{_beside('Choice', found, best, rival, lambda match, arm: match.scores[arm].choice)} in "
        f"{_mib(found, best)} and {_mib(found, rival)} MiB; "
        f"{_beside('pages moved for each that the oracle moves', found, best, rival, Match.moves)}; "
        f"{_beside('hundredths of a CPU', found, best, rival, lambda match, arm: 100 * match.cpu(arm))}."
    )


def _verdict(found: Sequence[Match], capture: Mapping[str, float], best: str, kernels: Sequence[str]) -> str:
    """Who is ahead by more than two runs of the same differ."""
    least = noise(found, Match.capture) or 0.0
    above = [arm for arm in kernels if capture[arm] - capture[best] > least]
    level = [arm for arm in kernels if abs(capture[arm] - capture[best]) <= least]
    if above:
        return f"**Better than ours: {', '.join(above)}.**"
    if level:
        return f"No more apart than two runs of the same ({least:.3f}): {', '.join(level)}."
    return "Ours is above them."


def _beside(
    what: str, found: Sequence[Match], best: str, rival: str, of: Callable[[Match, str], float]
) -> str:
    first, second = (median(values(found, arm, of)) for arm in (best, rival))
    return f"{what}: {first:.2f} and {second:.2f}"


def _mib(found: Sequence[Match], arm: str) -> str:
    return f"{median(values(found, arm, Match.fast_mib)):.1f}"
