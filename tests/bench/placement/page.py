"""docs/benchmarks/index.md, written from placement.jsonl and kernel.json and from nothing else; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tests.bench import report
from tests.bench.placement import breakeven, figures
from tests.bench.placement.arms import ARMS
from tests.bench.placement.figures import Match, Score
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
_COLUMNS: Final = (
    "arm", "fast hits", "capture", "MiB", "choice", "at last", "moves", "ping-pong", "promotions", "adapts in",
    "mover's CPU", "bystander",
)  # fmt: skip

_HEAD: Final = """\
# The proof: is physical hotness enough, and is the call worth it?

    make bench-placement                            # plays what is missing, and writes this page; as root
    RUN="python3 -m tests.environment run python3 -m tests.bench.placement"
    $RUN zipf --quick --runs FILE                   # to see that it works: fewer intervals, and this page is left alone
    $RUN --render                                   # plays nothing, and writes this page anew

Two questions. Can pages be placed well by what is known of physical addresses alone? And is moving them by physical
address worth a system call? Every figure is made from [placement.jsonl](placement.jsonl), which has what was seen in
every interval of every run, or from [kernel.json](kernel.json); [placement.json](placement.json) has the rows.

**Under emulation memory has no speed**: no figure here is a latency, a bandwidth or a throughput. They are where pages
lie, how many moved, and instructions. The planner in simulation, with many seeds, has [its own page](planner.md), and
so have [the call](kernel.md), [the agent](agent.md) and [the control plane](control.md).
"""

_METHOD: Final = f"""\
A node of the lab (`{NODE}`) counts instructions: one is a nanosecond of its clock, and
what else its host does changes nothing. A program's {WORKING_SET_MIB} MiB all lie on slow memory when it starts.
Ballast that nobody can move leaves {CAPACITY_MIB} MiB of fast memory, and {FLOOR_MIB} MiB for the kernel's floor.
Arms play one after the other in the same boot where they can, all with the same seed.

In each of {INTERVALS} intervals of 10 s a program reads its pages 32,768 times by its law. When an interval begins and
when it ends it asks where its pages are (`move_pages` without nodes, which disturbs nothing): the part of its accesses
that fast memory serves is the law's weights times the mean of both placements, and nothing is estimated.

* **fast hits**: that part, the mean of intervals {WARM_UP + 1} to {INTERVALS}.
* **capture**: (arm - none) / (oracle - none). The oracle knows the rates with which the program means to read, has
  {CAPACITY_MIB} MiB, and no budget. An arm that makes itself more room than that, of what else there is in fast
  memory or of what the kernel keeps free, may have more than 1.
* **MiB**: the program's fast memory, so that one sees it. **choice**: how well its pages there are chosen, however many
  they are: 0 as if drawn by lot, 1 the right ones, (hits - chance) / (best of as many - chance); **at last**: in the
  last interval alone. The right ones are those with the highest rates: a scan's turn may make it a little above 1.
* **moves**: pages moved, for each that the oracle moves, from the first interval on. Below 1, some never moved.
* **ping-pong**: the part of moves that bring a page back within 60 s. Moves within an interval that cancel out are not
  seen.
* **promotions**: against those of the kernel's arm.
* **mover's CPU**: the agent's process, kswapd, kcompactd and kdamonds, and what the programs took more than in `none`
  (hint faults, and TLB misses of cleared access bits).
* **for 64 GiB** (`node_mover_cpu_64_gib`): that, times 64 GiB / {figures.SMALL_GIB:g} GiB, as if all of it grew with
  memory. It does not: a round of the agent has a part that is the same on every machine, and `cpuLimit` bounds what
  it spends on finding heat by looking at fewer pages. So it is an upper bound, and a poor one.
* **bystander**: a program that no rule names, half of its 4 MiB on either node, the half on slow memory in use. What
  of it moved: a violation for the agent; the kernel's arms know no rules.
* **adapts in**: the first interval with 90 % of the oracle's hits.
"""

_WHY: Final = """\
How to read that:

* **Room is not the same for all.** The kernel's arms know no policy: they sink what other programs and the kernel's
  caches have in fast memory, the bystander's pages too, and so make their program more room than the oracle was given.
  The agent moves what rules name, leaves the rest where it is, and has the memory of its own process there. Capture
  counts what came of it; `choice` counts only which pages were taken.
* **What costs ours most is time.** When programs start fast memory is empty, and the agent fills it with all that was
  used in two rounds, hot or lukewarm. From then on a page that has moved rests (the ping-pong window is 60 s, six
  intervals here), and an exchange waits until counts tell the hotter page for sure: intervals pass in which nothing
  moves, as placement.jsonl shows. What it would take: a longer look before the first fill, or to exchange on less
  evidence soon after it and soon after a shift.
* **Tenants**: what was free beyond the watermark, less what the agent's own process grew by, was less than the two
  minimums of 8 MiB together. So both stayed below theirs, as fast memory was when they had filled it, and the one with
  hot and cold pages did not exchange them either. The other arms have no shares: their tenants took what they could,
  beyond what is theirs.
* **Its CPU is above the kernel's in every workload**: access bits of all memory are read in each round, by Python. The
  kernel's own tiering is the cheapest of all arms.
"""

_SETTINGS: Final = """
All-fast and all-slow are computed: 1 and 0. The agent's settings are its defaults (10 s, 100m, coldAfter 60s, hotRounds
2, 100Mi a second), but for watermarks of 1 % and 2 %, which are the kernel's own floor here, and a pressure guard that
never trips, for an emulated CPU is always busy. It has had two rounds before programs start.
"""

_LIMITS: Final = """\
* Workloads not played: redis, late anonymous memory behind a file cache, many short processes, a server that forks and
  shares, and a hot set larger than fast memory.
* Not measured: throughput, slowdown of neighbours, staleness, the sources Feed, PerfMem and Referenced, and the engine
  MovePages.
* No A/A arm, and nothing was played twice: counted instructions repeat, but how far these runs do was not measured.
* 16 intervals: fewer than it takes some arms to settle, as the plots show.
* One program of known law is no application, and 48 MiB are no machine. Programs use less than 1 % of a CPU.
* No latency differs, so nothing here says how much faster a program becomes.
* The programs' law is drawn by page: what is hot lies beside what is not. That is the worst case for DAMON's regions,
  in its own arm and in ours.
* The kernel's arm has its scans sped up, as said above, for programs that hardly run; one that uses whole CPUs might
  see other figures.
* Arms are configured by their documentation and not tuned for these workloads; ours neither.
"""


def page(runs: Sequence[Run], rows: Sequence[Row], kernel: Sequence[Row]) -> str:
    """The report. `rows` are those that figures.rows() made of these runs, `kernel` those of kernel.json."""
    found = figures.matches(runs)
    return "\n".join(
        (
            _HEAD,
            "## What was found\n",
            _findings(found, kernel),
            _WHY,
            "## Placement\n",
            *(_workload(name, each) for name, each in found.items()),
            "## The call against the alternatives\n",
            breakeven.text(kernel),
            "## How placement is measured\n",
            _METHOD,
            _table(("arm", "settings"), [(arm.name, arm.settings) for arm in ARMS.values()]) + _SETTINGS,
            "## What is missing, and what this does not show\n",
            _missing(found) + _LIMITS,
            "## All figures\n",
            report.markdown(rows),
            report.versions(rows),
        )
    )


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---"] * len(head), *lines))


def _workload(name: str, found: Sequence[Match]) -> str:
    """The first seed's table; what other seeds say is in the spread of the rows."""
    match = found[0]
    what = match.workload.what
    return f"""\
### {name}

{what[0].upper() + what[1:]}.

{_table(_COLUMNS, [_line(match, arm) for arm in match.scores])}
{_shares(match) if len(match.workload.programs) > 1 else ""}
![{name}: accesses that fast memory serves, by interval](placement-{name}.svg)
"""


def _line(match: Match, arm: str) -> list[str]:
    score = match.scores[arm]
    reached = match.adapted(arm)
    return [
        arm,
        f"{score.fast_hits:.3f}",
        f"{match.capture(arm):.3f}",
        _mib(score).removesuffix(" MiB"),
        f"{score.choice:.3f}",
        f"{score.choice_at_last:.3f}",
        f"{match.moves(arm):.2f}",
        f"{match.ping_pong(arm):.3f}",
        f"{match.promotions(arm):.2f}",
        str(reached) if reached <= len(score.hits) else "never",
        "" if arm in ("none", "oracle") else f"{match.cpu(arm) * 100:.2f} %",
        f"{score.bystander:,}",
    ]


def _shares(match: Match) -> str:
    """What each of several programs has."""
    lines = [
        [
            arm,
            *(f"{pages / match.workload.entitled:.3f}" for pages in score.fast_pages.values()),
            f"{match.fairness(arm):.3f}",
        ]
        for arm, score in match.scores.items()
    ]
    told = "What each has of fast memory, as a part of what is its own, and Jain's index of that:\n\n"
    return told + _table(["arm", *match.workload.programs, "fairness"], lines)


def _findings(found: Mapping[str, Sequence[Match]], kernel: Sequence[Row]) -> str:
    """What the tables say, workload by workload, for and against us."""
    lines = [
        _finding(name, each[0])
        for name, each in found.items()
        if any(ARMS[arm].ours for arm in each[0].scores)
    ]
    ours = [score for each in found.values() for arm, score in each[0].scores.items() if ARMS[arm].ours]
    moved = sum(score.bystander for score in ours)
    lines.append(
        f"* **Policy**: in the runs of ours, {len(ours)}, pages that no rule names moved {moved} times."
    )
    lines.append(f"* **The call**: {breakeven.summary(kernel)}\n")
    return "\n".join(lines)


def _finding(name: str, match: Match) -> str:
    best = max((arm for arm in match.scores if ARMS[arm].ours), key=match.capture)
    rival = max((arm for arm in _KERNELS if arm in match.scores), key=match.capture)
    target = match.workload.capture
    reached = "which reaches" if match.capture(best) >= target else "which misses"
    above = [arm for arm in _KERNELS if arm in match.scores and match.capture(arm) > match.capture(best)]
    verdict = f"**Better than ours: {', '.join(above)}.**" if above else "Ours is above them."
    first, second = match.scores[best], match.scores[rival]
    return (
        f"* **{name}**: the best of ours ({best}) captures {match.capture(best):.3f} of what the oracle gains, "
        f"{reached} the target of {target}; the best of the kernel's ({rival}) captures {match.capture(rival):.3f}. "
        f"{verdict} Choice: {first.choice:.3f} in {_mib(first)}, and {second.choice:.3f} in {_mib(second)}; pages "
        f"moved for each that the oracle moves, {match.moves(best):.2f} and {match.moves(rival):.2f}; mover's CPU, "
        f"{match.cpu(best) * 100:.2f} % and {match.cpu(rival) * 100:.2f} %."
    )


def _mib(score: Score) -> str:
    return f"{sum(score.fast_pages.values()) / 256:.1f} MiB"


def _missing(found: Mapping[str, Sequence[Match]]) -> str:
    """Arms that were not played, and how many seeds were."""
    gone = {
        name: [arm for arm in ARMS if name not in found or arm not in found[name][0].scores]
        for name in WORKLOADS
    }
    lines = [f"* Not played under {name}: {', '.join(arms)}.\n" for name, arms in gone.items() if arms]
    counts = ", ".join(f"{name} {len(each)}" for name, each in found.items()) or "none"
    return "".join(
        [*lines, f"* Seeds: {counts}. A figure of one seed has no spread, and says nothing of chance.\n"]
    )
