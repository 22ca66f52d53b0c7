"""The twins of rules: for each expression of x-kubernetes-validations, a function that says the same.

A twin is found by the expression itself, so that whoever changes one in a CRD must look here: schema.py
refuses a rule without a twin, a test refuses a twin without a rule, and the cluster's tests compare what the
two say. The sentence that a person reads is the rule's own, and stands in the CRD alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from thermocline_api.constraint import (
    BASIS_POINTS,
    COUNT,
    LABEL_KEY,
    LABEL_VALUE,
    LONGEST_KEY,
    PERCENT,
    PORTION,
    Pair,
    Twin,
    each_once,
    form_of,
    is_of_one_kind,
    is_unique,
    lasts,
    matches_form,
    measures,
    measures_or_is_zero,
    no_larger,
    no_more,
    rises,
    shares,
    unless_absent,
)


def _has_both_lists(tiers: Mapping[str, Any]) -> bool:
    return tiers["source"] != "Manual" or bool(tiers.get("fast") and tiers.get("slow"))


def selects_nothing(rule: Mapping[str, Any]) -> bool:
    """Whether a rule of a manifest selects nothing in particular, and so matches every pod."""
    selectors = (rule.get("podSelector", {}), rule.get("namespaceSelector", {}))
    empty = all(not each.get("matchLabels") and not each.get("matchExpressions") for each in selectors)
    return empty and "cgroups" not in rule and "qosClasses" not in rule


def _selects(selector: str) -> str:
    fields = (f"r.{selector}.{each}" for each in ("matchLabels", "matchExpressions"))
    return f"(has(r.{selector}) && ({' || '.join(f'(has({f}) && size({f}) > 0)' for f in fields)}))"


def _no_rule_is_in_vain(rules: list[Mapping[str, Any]]) -> bool:
    # By the last rule's name, as in the expression: where names are not unique, another rule complains.
    return all(not selects_nothing(rule) or rule["name"] == rules[-1]["name"] for rule in rules)


def _is_below_the_root(path: str) -> bool:
    names = path.split("/")
    return all(name not in ("", ".", "..") for name in names)


_PAIRS: Final[tuple[Pair, ...]] = (
    # Labels.
    (
        f"self.all(k, size(k) <= {LONGEST_KEY} && k.matches({LABEL_KEY}))",
        lambda labels: all(len(k) <= LONGEST_KEY and form_of(LABEL_KEY).fullmatch(k) for k in labels),
    ),
    (
        f"self.all(k, self[k].matches({LABEL_VALUE}))",
        lambda labels: all(form_of(LABEL_VALUE).fullmatch(value) for value in labels.values()),
    ),
    matches_form(LABEL_KEY),
    matches_form(LABEL_VALUE),
    (
        "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : true",
        lambda term: term["operator"] not in ("In", "NotIn") or bool(term.get("values")),
    ),
    (
        "self.operator in ['Exists', 'DoesNotExist'] ? !has(self.values) || size(self.values) == 0 : true",
        lambda term: term["operator"] not in ("Exists", "DoesNotExist") or not term.get("values"),
    ),
    # Settings.
    (
        "self.mode == 'Observe' || size(self.rules) > 0",
        lambda spec: spec["mode"] == "Observe" or bool(spec["rules"]),
    ),
    (
        (
            "self.source != 'Manual' || (has(self.fast) && size(self.fast) > 0"
            " && has(self.slow) && size(self.slow) > 0)"
        ),
        _has_both_lists,
    ),
    (
        "self.source == 'Manual' || (!has(self.fast) && !has(self.slow))",
        lambda tiers: tiers["source"] == "Manual" or not {"fast", "slow"} & set(tiers),
    ),
    (
        "!has(self.fast) || !has(self.slow) || self.fast.all(n, !(n in self.slow))",
        lambda tiers: set(tiers.get("fast", ())).isdisjoint(tiers.get("slow", ())),
    ),
    each_once("s", "t"),
    each_once("e", "f"),
    lasts("1s", "10m"),
    lasts("10s", "1h"),
    lasts("1s", "24h"),
    measures("10m", "64"),
    measures("1Mi", "1Ti"),
    measures_or_is_zero("1Mi", "1Ti"),
    rises("demoteBelow", "demoteUntil"),
    matches_form(PERCENT),
    matches_form(BASIS_POINTS),
    # Placement rules.
    (
        "self.all(r, self.exists_one(q, q.name == r.name))",
        lambda rules: is_unique([rule["name"] for rule in rules]),
    ),
    (
        (
            "self.all(r, has(r.cgroups) || has(r.qosClasses)"
            f" || {_selects('podSelector')} || {_selects('namespaceSelector')}"
            " || r.name == self[size(self) - 1].name)"
        ),
        _no_rule_is_in_vain,
    ),
    (
        (
            "!has(self.cgroups)"
            " || (!has(self.podSelector) && !has(self.namespaceSelector) && !has(self.qosClasses))"
        ),
        lambda rule: (
            "cgroups" not in rule or not {"podSelector", "namespaceSelector", "qosClasses"} & set(rule)
        ),
    ),
    (
        "self.placement == 'Tier' || (!has(self.coldAfter) && !has(self.hotRounds))",
        lambda rule: rule["placement"] == "Tier" or not {"coldAfter", "hotRounds"} & set(rule),
    ),
    (
        "self.placement != 'Ignore' || !has(self.fastShare)",
        lambda rule: rule["placement"] != "Ignore" or "fastShare" not in rule,
    ),
    matches_form("'^[a-z0-9]([a-z0-9-]*[a-z0-9])?$'"),
    (
        "self.matches('^[^/]+(/[^/]+)*$') && !self.matches('(^|/)[.][.]?(/|$)')",
        _is_below_the_root,
    ),
    (
        (
            "!has(self.min) || !has(self.max)"
            " || string(self.min).endsWith('%') == string(self.max).endsWith('%')"
        ),
        unless_absent("min", "max", is_of_one_kind),
    ),
    (
        (
            f"!has(self.min) || !has(self.max) || !string(self.min).matches({PERCENT})"
            f" || !string(self.max).matches({PERCENT})"
            " || int(string(self.min).replace('%', '')) <= int(string(self.max).replace('%', ''))"
        ),
        unless_absent("min", "max", no_more(PERCENT)),
    ),
    (
        (
            "!has(self.min) || !has(self.max)"
            " || !isQuantity(string(self.min)) || !isQuantity(string(self.max))"
            " || quantity(string(self.min)).compareTo(quantity(string(self.max))) <= 0"
        ),
        unless_absent("min", "max", no_larger),
    ),
    shares("1Mi", "64Ti"),
    # Rollout.
    (
        "string(self.canary).endsWith('%') == string(self.maxUnavailable).endsWith('%')",
        unless_absent("canary", "maxUnavailable", is_of_one_kind),
    ),
    (
        (
            f"!string(self.canary).matches({PORTION}) || !string(self.maxUnavailable).matches({PORTION})"
            " || int(string(self.canary).replace('%', ''))"
            " <= int(string(self.maxUnavailable).replace('%', ''))"
        ),
        unless_absent("canary", "maxUnavailable", no_more(PORTION)),
    ),
    (
        (
            f"!string(self.canary).matches({COUNT}) || !string(self.maxUnavailable).matches({COUNT})"
            " || int(string(self.canary)) <= int(string(self.maxUnavailable))"
        ),
        unless_absent("canary", "maxUnavailable", no_more(COUNT)),
    ),
    (
        "string(self).matches('^((100|[1-9][0-9]?)%|[1-9][0-9]{0,4})$')",
        lambda value: any(form_of(each).fullmatch(str(value)) for each in (PORTION, COUNT)),
    ),
    lasts(None, "24h"),
    # What a node is given.
    (
        "has(self.policy) == has(self.revision) && has(self.policy) == has(self.settings)",
        lambda spec: len({key in spec for key in ("policy", "revision", "settings")}) == 1,
    ),
)

TWINS: Final[Mapping[str, Twin]] = dict(_PAIRS)
