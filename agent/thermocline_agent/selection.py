"""Which rule governs a pod or a host service, and why: the first that matches decides. Pure.

What is not known is governed by nothing: a pod whose labels nobody has told yet, a container of it, a page whose
cgroup is new. On a machine without Kubernetes only rules with `cgroups` match anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from thermocline_agent.assignment import Pod
from thermocline_agent.owners import Owner
from thermocline_api.rule import Rule

NO_RULE: Final = -1
# Pods of these namespaces, as Thermocline's own, are left alone unless a rule names their namespace by this label.
LEFT_ALONE: Final = frozenset({"kube-system"})
_NAMESPACE: Final = "kubernetes.io/metadata.name"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Governed:
    """The index of the rule, or NO_RULE; and a sentence that says why."""

    rule: int
    why: str


def govern(owner: Owner, rules: Sequence[Rule], pods: Mapping[str, Pod] | None) -> Governed:
    """The rule of an owner. `pods` as PolicySource has them."""
    if pods is None or owner.pod_uid is None:
        return _service(owner, rules)
    pod = pods.get(owner.pod_uid)
    if pod is None:
        return Governed(
            NO_RULE, f"the pod {owner.pod_uid} is not known yet, so its pages stay where they are"
        )
    return _pod(pod, owner, rules)


def left_alone(pod: Pod) -> bool:
    """Whether only a rule that names its namespace governs it."""
    return pod.is_own or pod.namespace in LEFT_ALONE


def _service(owner: Owner, rules: Sequence[Rule]) -> Governed:
    for index, rule in enumerate(rules):
        for glob in rule.cgroups or ():
            if matches(glob, owner.path):
                return Governed(index, f"rule {rule.name!r} is the first whose cgroups match, by {glob!r}")
    if owner.pod_uid is not None:
        return Governed(
            NO_RULE, "no rule's cgroups match it, and rules for pods need Kubernetes, which is not asked here"
        )
    return Governed(NO_RULE, "no rule's cgroups match it, and it is no pod")


def _pod(pod: Pod, owner: Owner, rules: Sequence[Rule]) -> Governed:
    passed_over = ""
    for index, rule in enumerate(rules):
        if not _selects(rule, pod, owner):
            continue
        if left_alone(pod) and not _names(rule, pod.namespace):
            passed_over = (
                f"; {'Thermocline itself' if pod.is_own else pod.namespace} is left alone unless a rule's "
                f"namespaceSelector names {pod.namespace} by {_NAMESPACE}"
            )
            continue
        return Governed(index, f"rule {rule.name!r} is the first that selects it")
    return Governed(NO_RULE, f"no rule selects it{passed_over}")


def _selects(rule: Rule, pod: Pod, owner: Owner) -> bool:
    if rule.cgroups is not None:
        return False
    if rule.namespace_selector is not None and not rule.namespace_selector.matches(pod.namespace_labels):
        return False
    if rule.pod_selector is not None and not rule.pod_selector.matches(pod.labels):
        return False
    return rule.qos_classes is None or (owner.qos is not None and owner.qos.value in rule.qos_classes)


def _names(rule: Rule, namespace: str) -> bool:
    selector = rule.namespace_selector
    if selector is None:
        return False
    if (selector.match_labels or {}).get(_NAMESPACE) == namespace:
        return True
    return any(
        each.key == _NAMESPACE and each.operator == "In" and namespace in (each.values or ())
        for each in selector.match_expressions or ()
    )


def matches(glob: str, path: str) -> bool:
    """Whether a cgroup's path matches: * is any part of a name, ? one character of it, ** any number of names."""
    return _wild(glob.strip("/").split("/"), path.split("/"), "**", _name_matches)


def _name_matches(glob: str, name: str) -> bool:
    return _wild(glob, name, "*", lambda wanted, found: wanted in ("?", found))


def _wild(pattern: Sequence[_T], found: Sequence[_T], star: _T, same: Callable[[_T, _T], bool]) -> bool:
    """Match with wildcards that stand for any number of elements; no pattern takes longer than their product."""
    at = place = 0
    star_at, star_place = -1, 0
    while place < len(found):
        if at < len(pattern) and pattern[at] == star:
            star_at, star_place = at, place
            at += 1
        elif at < len(pattern) and same(pattern[at], found[place]):
            at += 1
            place += 1
        elif star_at >= 0:
            star_place += 1
            at, place = star_at + 1, star_place
        else:
            return False
    return all(each == star for each in pattern[at:])
