"""docs/benchmarks/index.md, written from placement.jsonl and kernel.json and from nothing else; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.bench import report
from tests.bench.placement import breakeven, figures
from tests.bench.placement.arms import ARMS
from tests.bench.placement.figures import Match
from tests.bench.placement.runs import Run
from tests.bench.placement.workloads import (
    CAPACITY_MIB,
    FLOOR_MIB,
    INTERVALS,
    NODE,
    WARM_UP,
    WORKING_SET_MIB,
    WORKLOADS,
)
from tests.bench.rows import Row

_KERNELS: Final = ("kernel", "DAMON")


def page(runs: Sequence[Run], rows: Sequence[Row], kernel: Sequence[Row]) -> str:
    """The report. `rows` are those that figures.rows() made of these runs, `kernel` those of kernel.json."""
    found = figures.matches(runs)
    return "\n".join(
        (
            _HEAD,
            "## What was found\n",
            _findings(found),
            "## Placement\n",
            *(_workload(name, each) for name, each in found.items()),
            "## The call against the alternatives\n",
            breakeven.text(kernel),
            "## How placement is measured\n",
            _METHOD,
            _arms(),
            "## What is missing, and what this does not show\n",
            _missing(found),
            _LIMITS,
            "## All figures\n",
            report.markdown(rows),
            report.versions(rows),
        )
    )


_HEAD: Final = """\
# The proof: is physical hotness enough, and is the call worth it?

    make bench-placement                           # plays what is missing, and writes this page; as root
    python3 -m tests.environment run python3 -m tests.bench.placement zipf --quick --runs FILE      # to see that it works
    python3 -m tests.environment run python3 -m tests.bench.placement --render                      # only writes it anew

Two questions. Can pages be placed well by what is known of physical addresses alone? And is moving them by physical
address worth a system call? Every figure is made from [placement.jsonl](placement.jsonl), which has what was seen in
every interval of every run, or from [kernel.json](kernel.json); [placement.json](placement.json) has the rows.

**Under emulation memory has no speed**: no figure here is a latency, a bandwidth or a throughput. They are where pages
lie, how many moved, and instructions. The planner in simulation, with many seeds, has [its own page](planner.md), and
so have [the call](kernel.md), [the agent](agent.md) and [the control plane](control.md).
"""

_METHOD: Final = f"""\
A node of the lab (`{NODE}`) counts instructions: one is a nanosecond of its clock, and what else its host
does changes nothing. A program's {WORKING_SET_MIB} MiB all lie on slow memory when it starts. Ballast that is locked
leaves {CAPACITY_MIB} MiB of fast memory, and {FLOOR_MIB} MiB more that the kernel keeps free. All arms of a workload play in
one boot, one after the other, with the same seed.

In each of {INTERVALS} intervals of 10 s a program reads its pages 32,768 times by its law. When an interval begins and when it
ends it asks where its pages are (`move_pages` without nodes, which disturbs nothing): the part of its accesses that
fast memory serves is the law's weights times the mean of both placements, and nothing is estimated.

* **fast hits**: that part, the mean of intervals {WARM_UP + 1} to {INTERVALS}.
* **capture**: (arm - none) / (oracle - none). The oracle knows the rates with which the program means to read, has
  {CAPACITY_MIB} MiB, and no budget.
* **moves**: pages moved, for each that the oracle moves, from the first interval on. Below 1, some never moved.
* **ping-pong**: the part of moves that bring a page back within 60 s. Moves within an interval that cancel out are not
  seen.
* **promotions**: against those of the kernel's arm.
* **mover's CPU**: the agent's process, kswapd, kcompactd and kdamonds, and what the programs took more than in `none`
  (hint faults, and TLB misses of cleared access bits).
* **for 64 GiB**: that, times 64 GiB / {figures.SMALL_GIB:g} GiB, as if all of it grew with memory. It does not: a round of the
  agent has a part that is the same on every machine, and `cpuLimit` bounds what it spends on finding heat by looking at
  fewer pages. So it is an upper bound, and a poor one.
* **bystander**: a program that no rule names, half of its 4 MiB on either node, the half on slow memory in use. What
  of it moved: a violation for the agent; the kernel's arms know no rules.
* **adapts in**: the first interval with 90 % of the oracle's hits.
"""

_LIMITS: Final = """\
* One program of known law is no application, and 48 MiB are no machine. Programs use 1 % of a CPU.
* No latency differs, so nothing here says how much faster a program becomes.
* The programs' law is drawn by page: nothing hot lies beside anything hot. That is the worst case for DAMON's regions,
  in its own arm and in ours.
* The kernel's arm has its scans sped up, as said above, for programs that hardly run; one that uses whole CPUs might
  see other figures.
* Arms are configured by their documentation and not tuned for these workloads; ours neither.
"""


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---"] * len(head), *lines))


def _workload(name: str, found: Sequence[Match]) -> str:
    """The first seed's table; other seeds are in the rows' spread."""
    match = found[0]
    lines = [
        [
            arm,
            f"{score.fast_hits:.3f}",
            f"{match.capture(arm):.3f}",
            f"{match.moves(arm):.2f}",
            f"{match.ping_pong(arm):.3f}",
            f"{match.promotions(arm):.2f}",
            _interval(match, arm),
            f"{match.cpu(arm) * 100:.2f} %" if arm not in ("none", "oracle") else "",
            f"{score.bystander:,}",
        ]
        for arm, score in match.scores.items()
    ]
    head = (
        "arm", "fast hits", "capture", "moves", "ping-pong", "promotions", "adapts in", "mover's CPU", "bystander",
    )  # fmt: skip
    tenants = ""
    if len(match.workload.programs) > 1:
        shares = [
            [
                arm,
                *(
                    f"{score.fast_pages[group] / match.workload.entitled(group):.3f}"
                    for group in score.fast_pages
                ),
            ]
            + [f"{match.fairness(arm):.3f}"]
            for arm, score in match.scores.items()
        ]
        tenants = (
            "What each has of fast memory, as a part of what is its own, and Jain's index of that:\n\n"
            + _table(["arm", *match.workload.programs, "fairness"], shares)
        )
    return f"""\
### {name}

{match.workload.what[0].upper() + match.workload.what[1:]}.

{_table(head, lines)}
{tenants}
![{name}: accesses that fast memory serves, by interval](placement-{name}.svg)
"""


def _interval(match: Match, arm: str) -> str:
    reached = match.adapted(arm)
    return str(reached) if reached <= len(match.scores[arm].hits) else "never"


def _findings(found: dict[str, list[Match]]) -> str:
    """What the tables say, workload by workload, for and against us."""
    lines = []
    for name, each in found.items():
        match = each[0]
        ours = [arm for arm in match.scores if ARMS[arm].ours]
        theirs = [arm for arm in _KERNELS if arm in match.scores]
        if not ours:
            continue
        best, rival = (max(arms, key=match.capture) for arms in (ours, theirs))
        target = match.workload.capture
        verdict = (
            "**An arm of the kernel's is better.**"
            if match.capture(rival) > match.capture(best)
            else "It is above every arm of the kernel's."
        )
        reached = "which reaches" if match.capture(best) >= target else "which misses"
        lines.append(
            f"* **{name}**: the best of ours ({best}) captures {match.capture(best):.3f} of what the oracle gains, {reached} "
            f"the target of {target}; the best of the kernel's ({rival}) captures {match.capture(rival):.3f}. {verdict} "
            f"Ours moved {match.moves(best):.2f} pages for each that the oracle moves, {rival} {match.moves(rival):.2f}."
        )
    violations = [
        score.bystander for each in found.values() for arm, score in each[0].scores.items() if ARMS[arm].ours
    ]
    lines.append(
        f"* **Policy**: in {len(violations)} runs of ours, {sum(violations)} pages moved of a program that no rule names."
    )
    return "\n".join(lines) + "\n"


def _arms() -> str:
    return _table(("arm", "settings"), [(arm.name, arm.settings) for arm in ARMS.values()]) + (
        "\nAll-fast and all-slow are computed: 1 and 0. The agent's settings are its defaults (10 s, 100m, coldAfter 60s, "
        "hotRounds 2, 100Mi a second), but for watermarks of 1 % and 2 %, which are the kernel's own floor here, and a "
        "pressure guard that never trips, for an emulated CPU is always busy. It has had two rounds before programs start.\n"
    )


def _missing(found: dict[str, list[Match]]) -> str:
    lines = [
        f"* {name}: {', '.join(gone)}, which no run has"
        for name in WORKLOADS
        if (gone := [arm for arm in ARMS if name not in found or arm not in found[name][0].scores])
    ]
    seeds = {name: len(each) for name, each in found.items()}
    few = sorted({count for count in seeds.values()})
    lines += [
        f"* Seeds: {', '.join(map(str, few)) or 'none'} for each workload. A figure of one seed has no spread, and says nothing "
        "of chance.",
        "* Workloads not played: redis, late anonymous memory behind a file cache, many short processes, a server that "
        "forks and shares, and a hot set larger than fast memory.",
        "* Not measured: throughput, slowdown of neighbours under movement, staleness, the sources Feed, PerfMem and "
        "Referenced, and the engine MovePages.",
    ]
    return "\n".join(lines) + "\n"
