"""What an API server returns: objects as JSON has them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Raw: TypeAlias = Mapping[str, Any]


def is_newer(version: str, known: str | None) -> bool:
    """Whether a resourceVersion is of a later time than another: they are numbers (Kubernetes KEP-5504)."""
    if known is None or not known.isdecimal() or not version.isdecimal():
        return version != known
    return int(version) > int(known)


def text_map(value: Any) -> Mapping[str, str]:
    """Labels or annotations: what of them are texts."""
    if not isinstance(value, Mapping):
        return {}
    return {key: text for key, text in value.items() if isinstance(key, str) and isinstance(text, str)}
