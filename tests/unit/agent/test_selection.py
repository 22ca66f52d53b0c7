"""Which rule governs an owner: globs, selectors, and what is left alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermocline_agent.assignment import Pod
from thermocline_agent.owners import owner_of
from thermocline_agent.selection import NO_RULE, govern, matches
from thermocline_api.rule import QosClass, Rule
from thermocline_api.selector import LabelSelector, Operator, Requirement

UID = "2f1c7a90-1111-4222-8333-444455556666"
OWNER = owner_of(7, f"kubepods/burstable/pod{UID}/web")
NAME = "kubernetes.io/metadata.name"


@pytest.mark.parametrize(
    ("glob", "path", "does"),
    [
        ("system.slice/redis*", "system.slice/redis.service", True),
        ("system.slice/redis*", "system.slice/redis.service/child", False),
        ("system.slice/*", "system.slice", False),
        ("system.slice/**", "system.slice", True),
        ("system.slice/**", "system.slice/a/b", True),
        ("**", "a/b/c", True),
        ("**/b/**", "a/b", True),
        ("**/b/**", "a/c", False),
        ("a/?", "a/b", True),
        ("a/?", "a/bc", False),
        ("a/[b]", "a/b", False),
        ("/a/b/", "a/b", True),
        ("a*b*c", "aXbYbc", True),
        ("a*b*c", "ac", False),
    ],
)
def test_globs_of_cgroups(glob: str, path: str, does: bool) -> None:
    assert matches(glob, path) is does


@given(st.text("ab/*?", min_size=1, max_size=9), st.text("ab/", min_size=1, max_size=9))
def test_globs_are_what_regular_expressions_would_be(glob: str, path: str) -> None:
    names = glob.strip("/").split("/")
    parts = [
        "(?:[^/]*/)*"
        if name == "**"
        else re.escape(name).replace(r"\*", "[^/]*").replace(r"\?", "[^/]") + "/"
        for name in names
    ]
    assert matches(glob, path) == bool(re.fullmatch("".join(parts), f"{path}/"))


def test_no_glob_takes_long() -> None:
    assert not matches("/".join(["**", "*a*"] * 60), "/".join(["b" * 30] * 60))


def pod(namespace: str = "web", **others: object) -> dict[str, Pod]:
    labels = {"namespace_labels": {NAME: namespace, "tier": "front"}, "labels": {"kind": "batch"}}
    return {UID: Pod(UID, namespace, "it", **(labels | others))}  # type: ignore[arg-type]


CATCH_ALL = Rule("rest")


def test_the_first_rule_that_matches_decides() -> None:
    rules = [
        Rule("services", cgroups=("**",)),
        Rule("guaranteed", qos_classes=(QosClass.GUARANTEED,)),
        Rule("other", pod_selector=LabelSelector({"kind": "web"})),
        Rule("batch", LabelSelector({"tier": "front"}), LabelSelector({"kind": "batch"})),
        CATCH_ALL,
    ]  # fmt: skip
    found = govern(OWNER, rules, pod())
    assert (found.rule, found.why) == (3, "rule 'batch' is the first that selects it")
    assert govern(OWNER, rules, pod(labels={})).rule == 4
    # A pod that Kubernetes knows is matched by its selectors alone; without Kubernetes, cgroups match everything.
    assert govern(OWNER, rules, None).rule == 0
    assert govern(owner_of(8, "system.slice/a.service"), rules, pod()).rule == 0


def test_what_is_not_known_is_governed_by_nothing() -> None:
    assert govern(OWNER, [CATCH_ALL], {}).rule == NO_RULE
    assert "not known yet" in govern(OWNER, [CATCH_ALL], {}).why
    assert govern(OWNER, [CATCH_ALL], None).rule == NO_RULE
    assert govern(owner_of(8, "system.slice"), [CATCH_ALL], {}).rule == NO_RULE


@pytest.mark.parametrize("own", [True, False])
def test_kube_system_and_thermocline_are_left_alone_unless_they_are_named(own: bool) -> None:
    where = pod("thermocline" if own else "kube-system", is_own=own)
    found = govern(OWNER, [CATCH_ALL], where)
    assert found.rule == NO_RULE
    assert "is left alone unless" in found.why
    namespace = "thermocline" if own else "kube-system"
    for selector in (
        LabelSelector({NAME: namespace}),
        LabelSelector(match_expressions=(Requirement(NAME, Operator.IN, (namespace,)),)),
    ):
        assert govern(OWNER, [Rule("named", namespace_selector=selector)], where).rule == 0
    # To match it is not to name it.
    loose = LabelSelector(match_expressions=(Requirement(NAME, Operator.EXISTS),))
    assert govern(OWNER, [Rule("loose", namespace_selector=loose)], where).rule == NO_RULE
