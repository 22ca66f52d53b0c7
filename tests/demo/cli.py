"""`make demo`: redis beside a batch job on nodes with CXL memory, before and after a policy is applied."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tests.cluster.running import Cluster
from tests.demo import picture, workload
from tests.demo.picture import Moment
from tests.demo.stage import Gauge, Stage

NODES: Final = "patched,stock,dram"
EVERY_SECONDS: Final = 5.0
# Long enough for the load to show what it is like before.
BEFORE_SECONDS: Final = 20.0
WANTED_SHARE: Final = 0.95
LINES_SHOWN: Final = 16


def main(argv: Sequence[str] | None = None) -> int:
    """Show it; returns the exit status, 1 when something did not come about, for a reason that is printed."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--name", default=os.environ.get("THERMOCLINE_LAB", "lab"), help="the cluster's name")
    parser.add_argument("--svg", type=Path, default=Path("demo.svg"), help="where the picture goes")
    parser.add_argument("--seconds", type=float, default=600, help="how long it may take once pages move")
    words = parser.parse_args(argv)
    began = time.monotonic()
    try:
        show(Cluster(words.name), words.svg, words.seconds)
    except AssertionError as err:
        print(f"demo: {err}", file=sys.stderr)
        return 1
    print(
        f"\n{time.monotonic() - began:.0f} s in all. The cluster is up until `make lab-down`; to look around:"
    )
    named = "" if words.name == "lab" else f"THERMOCLINE_LAB={words.name} "
    for command in (
        "kubectl get mtp,mtn",
        "kubectl describe mtn patched",
        "kubectl logs -n thermocline-system daemonset/thermocline-agent",
        "console patched -- grep move_phy_pages /proc/vmstat",
    ):
        print(f"  {named}python3 -m tests.lab {command}")
    return 0


def show(cluster: Cluster, svg: Path, seconds: float) -> None:
    """All of it. Raises AssertionError, which says what did not come about."""
    stage = Stage(cluster)
    _step("a cluster: a node of the patched kernel and one of the stock kernel with CXL memory, one without")
    if cluster.lab("cluster", "status").status != 0:
        status = cluster.shown("cluster", "up", "--nodes", NODES)
        assert status == 0, "the cluster did not come up, for the reason above"
    _step("helm install thermocline charts/thermocline -n thermocline-system --create-namespace")
    stage.install()
    cluster.lab("kubectl", "delete", "mtp", "--all")
    cluster.lab("kubectl", "delete", "namespace", workload.NAMESPACE, "--ignore-not-found")
    _step(
        f"redis, with {workload.VALUES} values, one in {workload.HOT_EVERY} of them hot; beside it a batch job"
    )
    stage.start_workloads()
    for node in stage.nodes:
        placed = stage.place(node)
        print(f"    {node}: {placed['slow']} of {placed['pages']} pages of values lie on CXL memory")
    moments: list[Moment] = []
    with stage.watching() as gauges:
        cluster.wait(lambda: all(gauge.last for gauge in gauges.values()), "readings of memory", 300)
        _step("what the policy would do: kubectl apply, with mode: DryRun")
        stage.apply(workload.policy("DryRun"))
        for node in stage.nodes:
            cluster.wait(partial(stage.plan, node), f"the plan of {node}", seconds)
            told = stage.plan(node)
            print(f"    {node}: would promote {told['promoteBytes'] >> 20} MiB and demote "
                  f"{told['demoteBytes'] >> 20} MiB")  # fmt: skip
        print(cluster.kubectl("get", "mtp,mtn"))
        _step("mode: Enforce")
        _watch(stage, gauges, moments, seconds)
    picture.draw(moments, svg)
    _step(f"before and after (drawn in {svg})")
    print("\n".join(picture.table(moments)))
    late = [node for node in stage.nodes if not _arrived(moments, node)]
    assert not late, f"after {seconds:g} s hot values of {' and '.join(late)} were not all in DRAM"


def _watch(stage: Stage, gauges: dict[str, Gauge], moments: list[Moment], seconds: float) -> None:
    """Watch before and after Enforce, until all is in its place or the time is over."""
    begins = time.monotonic() + BEFORE_SECONDS
    enforced = False
    with _lines() as say:
        say(picture.HEAD)
        while time.monotonic() < begins + seconds:
            if not enforced and time.monotonic() >= begins:
                stage.apply(workload.policy("Enforce"))
                enforced = True
            for node, gauge in gauges.items():
                reading = gauge.last
                if reading is not None:
                    now = Moment(time.monotonic() - begins, node, reading, stage.latency(node))
                    moments.append(now)
                    say(picture.line(now))
            if enforced and all(_arrived(moments, node) for node in gauges):
                return
            time.sleep(EVERY_SECONDS)


def _arrived(moments: Sequence[Moment], node: str) -> bool:
    """Whether a node's pages were where they belong, three times on end."""
    last = [moment.reading for moment in moments if moment.node == node][-3:]
    share = workload.BATCH_SHARE_PERCENT / 100
    return len(last) == 3 and all(
        reading.hot >= WANTED_SHARE and reading.batch_share <= share + 0.05 for reading in last
    )


def _step(text: str) -> None:
    print(f"==> {text}", flush=True)


@contextmanager
def _lines() -> Iterator[Any]:
    """Something to say lines to: the last ones stand on a terminal, all of them follow each other elsewhere."""
    console = Console()
    if not console.is_terminal:
        yield lambda line: print(line, flush=True)
        return
    shown: list[str] = []
    with Live(console=console, refresh_per_second=4) as live:

        def say(line: str) -> None:
            shown.append(line)
            live.update(Text("\n".join([shown[0], *shown[1:][-LINES_SHOWN:]])))

        yield say
