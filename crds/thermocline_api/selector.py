"""Label selectors, as in meta/v1."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from thermocline_api.codec import AS_IT_IS, LABELS, enumerated, listed, nested, record, wire


class Operator(StrEnum):
    """How a requirement compares a label."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@record
class Requirement:
    """One of matchExpressions."""

    key: str = wire("key")
    operator: Operator = wire("operator", enumerated(Operator))
    values: tuple[str, ...] | None = wire("values", listed(AS_IT_IS), default=None)

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet it. NotIn holds where there is no such label, as in Kubernetes."""
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value is not None and value in (self.values or ())
            case Operator.NOT_IN:
                return value not in (self.values or ())
            case Operator.EXISTS:
                return value is not None
            case Operator.DOES_NOT_EXIST:
                return value is None


@record
class LabelSelector:
    """What labels must be like; everything matches an empty one."""

    match_labels: Mapping[str, str] | None = wire("matchLabels", LABELS, default=None, hash=False)
    match_expressions: tuple[Requirement, ...] | None = wire(
        "matchExpressions", listed(nested(Requirement)), default=None
    )

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels meet all that it asks for."""
        return all(labels.get(key) == value for key, value in (self.match_labels or {}).items()) and all(
            requirement.holds(labels) for requirement in self.match_expressions or ()
        )

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing."""
        return not self.match_labels and not self.match_expressions
