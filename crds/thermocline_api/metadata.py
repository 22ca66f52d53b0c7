"""The metadata of an object: what the API server wants of a name and of labels.

Source: apimachinery/pkg/api/validation and pkg/api/validate/content, Kubernetes 1.36.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from thermocline_api.problem import Problem
from thermocline_api.structural import shown

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_SUBDOMAIN_WORDS: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    f"'{_SUBDOMAIN}')"
)
_LONGEST_NAME: Final = 253
# ObjectMeta, meta/v1. What else there is in metadata is a field that a strict server does not know.
_FIELDS: Final = {
    "name": str, "generateName": str, "namespace": str, "selfLink": str, "uid": str, "resourceVersion": str,
    "generation": int, "creationTimestamp": str, "deletionTimestamp": str, "deletionGracePeriodSeconds": int,
    "labels": Mapping, "annotations": Mapping, "ownerReferences": list, "finalizers": list,
    "managedFields": list,
}  # fmt: skip
_NAMES: Final = {str: "a text", int: "a number", Mapping: "an object", list: "a list"}


def check(manifest: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with a manifest's name, and with fields of metadata that there are not."""
    given = manifest.get("metadata", {})
    if not isinstance(given, Mapping):
        yield Problem(
            "metadata", f"cannot be {shown(given)}: write an object, such as {{name: default}}", "metadata"
        )
        return
    for key in sorted(given.keys() - _FIELDS.keys()):
        yield Problem(f"metadata.{key}", f'unknown field "metadata.{key}"', "unknown")
    wrong = [*_mistyped(given)]
    yield from wrong
    if wrong:
        return
    if name := given.get("name"):
        if len(name.encode()) > _LONGEST_NAME:
            words = f"must be no more than {_LONGEST_NAME} characters"
            yield Problem("metadata.name", f"Invalid value: {shown(name)}: {words}", "metadata")
        if re.fullmatch(_SUBDOMAIN, name) is None:
            yield Problem("metadata.name", f"Invalid value: {shown(name)}: {_SUBDOMAIN_WORDS}", "metadata")
    elif not given.get("generateName"):
        yield Problem("metadata.name", "Required value: name or generateName is required", "required")


def _mistyped(given: Mapping[str, Any]) -> Iterator[Problem]:
    """Fields of another type. The server refuses to read those at all, in words of its decoder."""
    for key, kind in _FIELDS.items():
        value = given.get(key)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            yield Problem(f"metadata.{key}", f"cannot be {shown(value)}: write {_NAMES[kind]}", "metadata")
    for key in ("labels", "annotations"):
        texts = given.get(key)
        for name, value in texts.items() if isinstance(texts, Mapping) else ():
            if not isinstance(value, str):
                words = f'cannot be {shown(value)}: write a text, such as "{shown(value)}" in quotes'
                yield Problem(f"metadata.{key}.{name}", words, "metadata")
