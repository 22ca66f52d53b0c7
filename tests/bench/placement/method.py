"""What the report says of how placement is measured, and what that does not show: nothing here depends on a figure."""

from __future__ import annotations

from typing import Final

from tests.bench.placement.figures import SMALL_GIB
from tests.bench.placement.workloads import (
    CAPACITY_MIB,
    FLOOR_MIB,
    INTERVALS,
    NODE,
    WARM_UP,
    WORKING_SET_MIB,
)

HEAD: Final = """\
# The proof: is physical hotness enough, and is the call worth it?

    python3 -m tests.bench placement        # all of it, as root, into dist/bench; what was played is not played again
    python3 -m tests.bench zipf scan        # some workloads; --arms and --seeds choose further, --again plays anew
    python3 -m tests.bench zipf --quick     # to see that it works: fewer intervals and arms, into dist/bench-quick
    make bench-placement                    # what is missing on this page, and this page

Two questions. Can pages be placed well by what is known of physical addresses alone? And is moving them by physical
address worth a system call? Every figure is made from [placement.jsonl](placement.jsonl), which has what was seen in
every interval of every run, or from [kernel.json](kernel.json); [placement.json](placement.json) has the rows.

**Under emulation memory has no speed**: no figure here is a latency or a bandwidth. They are where pages lie, how many
moved, and instructions. The planner in simulation, with many seeds, has [its own page](planner.md), and so have
[the call](kernel.md), [the agent](agent.md) and [the control plane](control.md).
"""

METHOD: Final = f"""\
A node of the lab (`{NODE}`) counts instructions: one is a nanosecond of its clock, and
what else its host does changes nothing. **Everything starts slow**: unless a workload says otherwise, all
{WORKING_SET_MIB} MiB of its programs lie on slow memory when they start. Ballast that nobody can move leaves
{CAPACITY_MIB} MiB of fast memory, and {FLOOR_MIB} MiB for the kernel's floor. Each run has a
node of its own, and the seed of those that it is compared with: what ran before in the same node makes a difference.

In each of {INTERVALS} intervals of 10 s programs read their pages by their laws, together 32,768 times if nothing else
is said. When an interval begins and when it ends each asks where its pages are (`move_pages` without nodes, which
disturbs nothing): the part of its accesses that fast memory serves is the law's weights times the mean of both
placements, and nothing is estimated.

Figures of several seeds are medians, with the least and the greatest in brackets. `A/A`, below, is an arm that was
played a second time by the same seed, the second figure divided by the first: what is no further apart is level.

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
* **adapts in**: the first interval with 90 % of the oracle's hits; {INTERVALS + 1}: none had.
* **throughput**: accesses for each instruction that the programs take, against `none`: hint faults and what else an arm
  has them do make it less. Instructions cost the same whatever memory they read: it is no speed.
* **neighbour**: the same of the bystander, a program that no rule names, half of its 4 MiB on either node, the half on
  slow memory in use. **its pace** is its work by the clock, what it waits for the only CPU included; runs of before
  that was looked at have none. **its pages**: what of it moved: a violation for the agent; the kernel's arms know no
  rules.
* **stale**: of the pages that the agent wanted to move, the part whose frame had another owner, or none, by then. They
  are looked at again before they move, and not moved.
* **mover's CPU**: the agent's process, kswapd, kcompactd and kdamonds, and what the programs took more than in `none`
  (hint faults, and TLB misses of cleared access bits).
* **for 64 GiB** (`node_mover_cpu_64_gib`): that, times 64 GiB / {SMALL_GIB:g} GiB, as if all of it grew with
  memory. It does not: a round of the agent has a part that is the same on every machine, and `cpuLimit` bounds what
  it spends on finding heat by looking at fewer pages. So it is an upper bound, and a poor one.
"""

SETTINGS: Final = """
The agent's settings are its defaults, but for watermarks of 1 % and 2 %, which are the kernel's own floor here, and a
pressure guard that never trips, for an emulated CPU is always busy. It has had two rounds before programs start.
"""

LIMITS: Final = f"""\
* All but redis are programs of known law, which are no applications; its requests have one, too. {WORKING_SET_MIB} MiB
  are no machine. Programs use some hundredths of a CPU.
* The sources PerfMem, which no emulated CPU has, and Referenced are not measured here.
* {INTERVALS} intervals: an arm that settles later is not seen to.
* No latency differs, so nothing here says how much faster a program becomes.
* The programs' law is drawn by page: what is hot lies beside what is not. That is the worst case for DAMON's regions,
  in its own arm and in ours.
* The kernel's arm has its scans sped up, as said above, for programs that hardly run; one that uses whole CPUs might
  see other figures.
* Ours has rules for the programs alone. A last rule for all the rest would name the bystander, whose pages shall stay,
  and nothing more: what else is in fast memory is the kernel's, or of the root cgroup, which the agent never moves. The
  kernel's arms do move that, and have its room.
* Arms are configured by their documentation and not tuned for these workloads; ours neither. DAMON's goals, which tune
  its schemes to the room that there is, want a newer kernel.
"""
