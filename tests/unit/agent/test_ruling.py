"""Which rule governs whom, with names and without."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.unit.agent.traces import LAYOUT, NODES
from thermocline_agent.ruling import Ruling, rulings
from thermocline_agent.trace import Moment, Runs, Trace, TraceOwner
from thermocline_api.rule import QosClass, Rule
from thermocline_api.selector import LabelSelector

UID = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
PATH = f"kubepods/burstable/pod{UID}"
NOTHING = Runs.of(np.zeros(0))
MOMENT = Moment(0.0, "Damon", 20, 64.0, (0, 0, 0), None, NOTHING, np.zeros(0, np.uint8), NOTHING, NOTHING)

SERVICE = TraceOwner(is_pod=False)
POD = TraceOwner(is_pod=True, qos="Burstable")
SYSTEM = TraceOwner(is_pod=True, qos="Burstable", left_alone=True)
UNTOLD = TraceOwner(is_pod=True, qos="Burstable", left_alone=None)
NAMED = TraceOwner(True, "Burstable", False, PATH, "shop", "db-0", {"app": "db"}, {"team": "a"})
OWN = TraceOwner(True, "Burstable", True, PATH, "thermocline", "agent", {}, {})

EVERYTHING = Rule("all")
BY_LABEL = Rule("db", pod_selector=LabelSelector({"app": "db"}))
BY_NAMESPACE = Rule("team", namespace_selector=LabelSelector({"team": "a"}))
OPEN = Rule("open", namespace_selector=LabelSelector(), pod_selector=LabelSelector())
BEST_EFFORT = Rule("best", qos_classes=(QosClass.BEST_EFFORT,))
BURSTABLE = Rule("burst", qos_classes=(QosClass.BURSTABLE,))
BURSTABLE_DB = Rule("db", pod_selector=LabelSelector({"app": "db"}), qos_classes=(QosClass.BURSTABLE,))
CGROUPS = Rule("slices", cgroups=("system.slice/**",))
ANY_CGROUP = Rule("any", cgroups=("x/*", "**"))


def ruled(
    owner: TraceOwner,
    rules: Sequence[Rule],
    *,
    names: bool = False,
    kubernetes: bool = True,
    **chosen: str | None,
) -> Ruling:
    trace = Trace(10.0, kubernetes, names, NODES, LAYOUT, (owner,), (MOMENT,))
    (found,) = rulings(trace, rules, {1: chosen["chosen"]} if chosen else {})
    return found


@pytest.mark.parametrize(
    ("owner", "rules", "rule", "undecided"),
    [
        (POD, (EVERYTHING,), 0, None),
        (POD, (OPEN,), 0, None),
        (POD, (CGROUPS, EVERYTHING), 1, None),
        (POD, (BEST_EFFORT, BURSTABLE), 1, None),
        (POD, (BEST_EFFORT,), -1, None),
        # What may be the first that matches is not passed over.
        (POD, (BY_LABEL, EVERYTHING), -1, 0),
        (POD, (BY_NAMESPACE, EVERYTHING), -1, 0),
        (POD, (BEST_EFFORT, BURSTABLE_DB, EVERYTHING), -1, 1),
        (POD, (EVERYTHING, BY_LABEL), 0, None),
        # Only a rule that names its namespace governs such a pod.
        (SYSTEM, (BY_LABEL, EVERYTHING), -1, None),
        (SYSTEM, (BY_NAMESPACE, EVERYTHING), -1, 0),
        (UNTOLD, (EVERYTHING,), -1, None),
        (SERVICE, (EVERYTHING, BY_LABEL), -1, None),
        (SERVICE, (CGROUPS,), -1, 0),
        (SERVICE, (ANY_CGROUP, CGROUPS), 0, None),
        (SERVICE, (EVERYTHING, CGROUPS, ANY_CGROUP), -1, 1),
    ],
)
def test_without_names(owner: TraceOwner, rules: Sequence[Rule], rule: int, undecided: int | None) -> None:
    found = ruled(owner, rules)
    assert (found.rule, found.undecided) == (rule, undecided)


def test_a_pod_of_a_machine_that_was_not_told_of_pods_is_a_service() -> None:
    assert ruled(POD, (EVERYTHING,), kubernetes=False).rule == -1
    assert ruled(POD, (EVERYTHING, ANY_CGROUP), kubernetes=False).rule == 1


def test_with_names_it_is_as_on_a_machine() -> None:
    assert ruled(NAMED, (BEST_EFFORT, BY_LABEL), names=True).rule == 1
    assert ruled(NAMED, (BY_NAMESPACE,), names=True).rule == 0
    assert "left alone" in ruled(OWN, (EVERYTHING,), names=True).why
    service = TraceOwner(is_pod=False, path="system.slice/sshd.service")
    assert ruled(service, (EVERYTHING, CGROUPS), names=True).rule == 1
    assert "rules for pods need Kubernetes" in ruled(NAMED, (EVERYTHING,), names=True, kubernetes=False).why


def test_the_command_line_decides() -> None:
    assert ruled(POD, (BY_LABEL, EVERYTHING), chosen="all").rule == 1
    assert ruled(UNTOLD, (EVERYTHING,), chosen="all").rule == 0
    assert ruled(POD, (EVERYTHING,), chosen=None) == Ruling(-1, "the command line says so")
    # Another policy's rule.
    assert ruled(POD, (EVERYTHING,), chosen="theirs").rule == 0
