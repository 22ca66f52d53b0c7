"""Which rule governs each owner of a trace. Pure.

With names, what governs on a machine governs here. Without, a rule is followed where what the trace has, pod or
service, QoS class and who is left alone, decides whether it matches. Where a rule that would be the first to match may
or may not, nothing governs the owner: a rule that comes later is no substitute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thermocline_agent.assignment import Pod
from thermocline_agent.owners import owner_of
from thermocline_agent.selection import LEFT_ALONE, NO_RULE, govern
from thermocline_agent.trace import Trace, TraceOwner
from thermocline_api.rule import Rule
from thermocline_api.selector import LabelSelector


@dataclass(frozen=True, slots=True)
class Ruling:
    """The index of the rule, or NO_RULE, and why. `undecided`: the index of a rule that may be the one."""

    rule: int
    why: str
    undecided: int | None = None


def rulings(trace: Trace, rules: Sequence[Rule], chosen: Mapping[int, str | None]) -> tuple[Ruling, ...]:
    """Of each owner. `chosen`: the name of a rule by owner, as the command line says, None for no rule; a name that
    none of the rules has says nothing.
    """
    by_name = {rule.name: index for index, rule in enumerate(rules)}
    found = []
    for number, owner in enumerate(trace.owners, 1):
        name = chosen.get(number, "")
        if name is None:
            found.append(Ruling(NO_RULE, "the command line says so"))
        elif name in by_name:
            found.append(Ruling(by_name[name], "the command line says so"))
        elif trace.in_kubernetes and owner.is_pod and owner.left_alone is None:
            found.append(Ruling(NO_RULE, "the agent that recorded had not been told of this pod"))
        elif trace.has_names:
            found.append(_named(owner, rules, in_kubernetes=trace.in_kubernetes))
        else:
            found.append(_unnamed(owner, rules, in_kubernetes=trace.in_kubernetes))
    return tuple(found)


def _named(owner: TraceOwner, rules: Sequence[Rule], *, in_kubernetes: bool) -> Ruling:
    cgroup = owner_of(0, owner.path or "")
    pods: dict[str, Pod] | None = None
    if in_kubernetes:
        pods = {}
        if cgroup.pod_uid is not None and owner.namespace is not None and owner.name is not None:
            labels = (owner.labels or {}, owner.namespace_labels or {})
            is_own = owner.left_alone is True and owner.namespace not in LEFT_ALONE
            pods[cgroup.pod_uid] = Pod(cgroup.pod_uid, owner.namespace, owner.name, *labels, is_own=is_own)
    governed = govern(cgroup, rules, pods)
    return Ruling(governed.rule, governed.why)


def _unnamed(owner: TraceOwner, rules: Sequence[Rule], *, in_kubernetes: bool) -> Ruling:
    for index, rule in enumerate(rules):
        matches = _selects(rule, owner) if owner.is_pod and in_kubernetes else _may_glob(rule)
        if matches is None:
            return Ruling(
                NO_RULE, f"rule {rule.name!r} selects by what a trace without names does not tell", index
            )
        if matches:
            return Ruling(index, f"rule {rule.name!r} is the first that selects it, whatever it is called")
    return Ruling(NO_RULE, "no rule selects it, whatever it is called")


def _may_glob(rule: Rule) -> bool | None:
    """Whether it selects a service, or anything on a machine without Kubernetes; None where that depends."""
    if not rule.cgroups:
        return False
    return True if any(set(glob.strip("/").split("/")) == {"**"} for glob in rule.cgroups) else None


def _selects(rule: Rule, pod: TraceOwner) -> bool | None:
    """Whether it selects a pod; None where that depends on what the pod is called."""
    if rule.cgroups is not None or (rule.qos_classes is not None and pod.qos not in rule.qos_classes):
        return False
    in_any_namespace = _is_open(rule.namespace_selector)
    if pod.left_alone and in_any_namespace:
        # It takes a rule that names the namespace.
        return False
    if not pod.left_alone and in_any_namespace and _is_open(rule.pod_selector):
        return True
    return None


def _is_open(selector: LabelSelector | None) -> bool:
    return selector is None or selector.is_empty
