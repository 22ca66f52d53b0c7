"""The structural part of a schema: types, bounds, enums, patterns, and keys that must be unique.

It says what the API server says, in the same words (kube-openapi/pkg/validation and apiextensions-apiserver's
validation and listtype, Kubernetes 1.36), for the keywords that our schemas use; a test holds them to those.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from thermocline_api.problem import Problem

Node = Mapping[str, Any]
# The keywords that are checked here, or by schema.py and constraint.py, or that only tell something.
KEYWORDS: Final = frozenset(
    {
        "additionalProperties", "default", "description", "enum", "format", "items", "maxItems", "maxLength",
        "maxProperties", "maximum", "minItems", "minLength", "minimum", "pattern", "properties", "required",
        "type", "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys", "x-kubernetes-list-type",
        "x-kubernetes-map-type", "x-kubernetes-validations",
    }
)  # fmt: skip
# After complaints by these the API server evaluates no rules (hasBlockingErr, customresource/strategy.go).
BLOCKING: Final = frozenset({"enum", "required", "maxLength", "maxItems", "maxProperties", "type"})
FORMATS: Final = frozenset({"date-time"})
_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[tT]"
    r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?([zZ]|[+-][0-9]{2}:[0-9]{2})"
)
_LARGEST_WHOLE_FLOAT: Final = 2**53 - 1
_ESCAPES: Final = {
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f",
    "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def check(schema: Node, value: Any, path: str = "") -> Iterator[Problem]:
    """What is wrong with a value of JSON, defaults applied and unknown fields removed."""
    kind = kind_of(value)
    types = types_of(schema)
    if kind not in types and not (_is_whole(value) and "integer" in types):
        words = f'{path} in body must be of type {",".join(types)}: "{kind}"'
        yield Problem(path, f'Invalid value: "{kind}": {words}', "type")
    if kind == "string":
        yield from _check_string(schema, value, path)
    elif kind in ("integer", "number"):
        yield from _check_number(schema, value, path)
    elif kind == "array":
        yield from _check_array(schema, value, path)
    if "enum" in schema and value not in schema["enum"]:
        allowed = ", ".join(quoted(each) for each in schema["enum"])
        yield Problem(path, f"Unsupported value: {shown(value)}: supported values: {allowed}", "enum")
    if kind == "object":
        yield from _check_object(schema, value, path)


def check_unique(schema: Node, value: Any, path: str = "") -> Iterator[Problem]:
    """Items that a list of type set or map has twice; each is named once, at its second place."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            if (found := child_of(schema, key)) is not None:
                yield from check_unique(found, child, below(schema, path, key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from _check_list(schema, value, path)
        for index, item in enumerate(value):
            yield from check_unique(schema.get("items", {}), item, f"{path}[{index}]")


def child_of(schema: Node, key: str) -> Node | None:
    """The schema of a property; None for one that is not known."""
    properties: Mapping[str, Node] = schema.get("properties", {})
    if key in properties:
        return properties[key]
    found: Node | None = schema.get("additionalProperties")
    return found


def below(schema: Node, path: str, key: str) -> str:
    """The path of a property, or of a key of a map."""
    if key in schema.get("properties", {}):
        return f"{path}.{key}" if path else key
    return f"{path}[{key}]"


def types_of(schema: Node) -> tuple[str, ...]:
    """The types of JSON that a value may have."""
    return ("integer", "string") if schema.get("x-kubernetes-int-or-string") else (schema["type"],)


def kind_of(value: Any) -> str:
    """The type of a value, as the API server calls it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if -(2**63) <= value < 2**63 else "number"
    for kind, name in ((float, "number"), (str, "string"), (Mapping, "object")):
        if isinstance(value, kind):
            return name
    return "array"


def shown(value: Any) -> str:
    """A value as the API server quotes it."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float):
        return _shown_float(value)
    if isinstance(value, int) and kind_of(value) == "number":
        return _shown_float(float(value))
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _shown_float(value: float) -> str:
    """As Go's %v: as many digits as are needed, and an exponent from 1e+06 on."""
    number = Decimal(repr(value)).normalize()
    if number.is_finite() and number and not -4 <= number.adjusted() < 6:
        return f"{value:.{len(number.as_tuple().digits) - 1}e}"
    return repr(value).removesuffix(".0")


def quoted(text: str) -> str:
    """As Go's %q."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    number = ord(character)
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _is_whole(value: Any) -> bool:
    """Whether a number is integral and was read as a float: 10.0, or an integer beyond 64 bits."""
    return kind_of(value) == "number" and abs(value) <= _LARGEST_WHOLE_FLOAT and float(value).is_integer()


def _check_string(schema: Node, value: str, path: str) -> Iterator[Problem]:
    # The server stops at the first complaint about a string, but for its format.
    longest = schema.get("maxLength")
    if longest is not None and len(value) > longest:
        unit = "byte" if longest == 1 else "bytes"
        yield Problem(path, f"Too long: may not be more than {longest} {unit}", "maxLength")
    elif len(value) < schema.get("minLength", 0):
        words = f"{path} in body should be at least {schema['minLength']} chars long"
        yield Problem(path, f"Invalid value: {shown(value)}: {words}", "minLength")
    elif "pattern" in schema and not matches(schema["pattern"], value):
        words = f"{path} in body should match '{schema['pattern']}'"
        yield Problem(path, f"Invalid value: {shown(value)}: {words}", "pattern")
    if schema.get("format") == "date-time" and _DATE_TIME.fullmatch(value) is None:
        words = f"{path} in body must be of type date-time: {quoted(value)}"
        # To the server a wrong format is a wrong type, and blocks as one.
        yield Problem(path, f"Invalid value: {shown(value)}: {words}", "type")


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern of Go, anchored at both ends as all of ours are, matches."""
    return re.fullmatch(pattern.removeprefix("^").removesuffix("$"), text, re.ASCII) is not None


def _check_number(schema: Node, value: float, path: str) -> Iterator[Problem]:
    if schema.get("type") == "integer" and kind_of(value) == "number" and not _is_whole(value):
        words = f"Checked value must be of type integer (default format) in {path}"
        yield Problem("", f'Invalid value: "": {words}', "type")
    for keyword, words, wrong in (
        ("minimum", "greater than or equal to", operator.lt),
        ("maximum", "less than or equal to", operator.gt),
    ):
        if keyword in schema and wrong(value, schema[keyword]):
            sentence = f"{path} in body should be {words} {schema[keyword]}"
            yield Problem(path, f"Invalid value: {shown(value)}: {sentence}", keyword)


def _check_array(schema: Node, value: Sequence[Any], path: str) -> Iterator[Problem]:
    for index, item in enumerate(value):
        if "items" in schema:
            yield from check(schema["items"], item, f"{path}[{index}]")
    if len(value) < schema.get("minItems", 0):
        words = f"{path} in body should have at least {schema['minItems']} items"
        yield Problem(path, f"Invalid value: {len(value)}: {words}", "minItems")
    yield from _check_count(schema, "maxItems", len(value), path)


def _check_count(schema: Node, keyword: str, count: int, path: str) -> Iterator[Problem]:
    most = schema.get(keyword)
    if most is not None and count > most:
        unit = "item" if most == 1 else "items"
        yield Problem(path, f"Too many: {count}: must have at most {most} {unit}", keyword)


def _check_object(schema: Node, value: Mapping[str, Any], path: str) -> Iterator[Problem]:
    yield from _check_count(schema, "maxProperties", len(value), path)
    for key, child in value.items():
        if (found := child_of(schema, key)) is not None:
            # Here, but not in rules and lists, the server writes the key of a map as it does a property.
            yield from check(found, child, f"{path}.{key}" if path else key)
    for key in schema.get("required", ()):
        if key not in value:
            yield Problem(f"{path}.{key}" if path else key, "Required value", "required")


def _check_list(schema: Node, value: Sequence[Any], path: str) -> Iterator[Problem]:
    kind = schema.get("x-kubernetes-list-type")
    if kind not in ("set", "map"):
        return
    keys = schema.get("x-kubernetes-list-map-keys", ())
    seen: dict[str, int] = {}
    for index, item in enumerate(value):
        if kind == "set":
            identity = item
        elif isinstance(item, Mapping):
            identity = {key: item[key] for key in keys if key in item}
        else:
            continue
        text = shown(identity)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            yield Problem(f"{path}[{index}]", f"Duplicate value: {text}", "x-kubernetes-list-type")
