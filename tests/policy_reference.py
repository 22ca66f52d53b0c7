"""Writes docs/reference/policy.md from the schema in crds/memorytierpolicies.yaml, word for word.

python3 -m tests.policy_reference       write the page anew, after a change of the schema
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tests.environment import CHECKOUT

CRD = CHECKOUT / "crds/memorytierpolicies.yaml"
PAGE = CHECKOUT / "docs/reference/policy.md"
_HEAD = """\
# MemoryTierPolicy

Every field of the API, {group}/{version}. This page is made from the custom resource
definition, so it says what `kubectl explain {short} --recursive` says, with what is refused besides.
`thermocline-agent validate FILE` judges a manifest by the same rules, offline.

Quantities are written as Kubernetes writes them (`100Mi`, `100m`), percentages as `8%`, durations as `10s` or `1m30s`.
"""


def page() -> str:
    """The page, as the schema wants it."""
    spec = yaml.safe_load(CRD.read_text())["spec"]
    (version,) = spec["versions"]
    head = _HEAD.format(group=spec["group"], version=version["name"], short=spec["names"]["shortNames"][0])
    root = version["schema"]["openAPIV3Schema"]["properties"]
    sections = [*_sections("spec", root["spec"]), *_sections("status", root["status"])]
    return "\n".join([head, *sections])


def _sections(path: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """A section for each object, those that lie in it behind it."""
    lines = [f"## {path}\n"]
    if "description" in schema:
        lines.append(f"{_text(schema['description'])}\n")
    lines += ["| field | type | default | |", "| --- | --- | --- | --- |"]
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        default = "required" if name in required else _default(field)
        lines.append(f"| `{name}` | {_type(field)} | {default} | {_text(field.get('description', ''))} |")
    refusals = list(_refusals(schema))
    if refusals:
        lines += ["\nWhat is refused, and what to write instead:\n", *(f"* {each}" for each in refusals)]
    yield "\n".join(lines) + "\n"
    for name, field in schema["properties"].items():
        inner, inside = _inner(f"{path}.{name}", field)
        if "properties" in inside:
            yield from _sections(inner, inside)


def _inner(path: str, field: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    if field.get("type") == "array":
        return f"{path}[]", field["items"]
    return path, field


def _refusals(schema: Mapping[str, Any]) -> Iterator[str]:
    """Of an object and of its fields that are no objects, each sentence once."""
    told: dict[str, None] = {}
    for rule in schema.get("x-kubernetes-validations", ()):
        told.setdefault(_text(rule["message"]))
    for name, field in schema["properties"].items():
        inside = (field.get(key) for key in ("items", "additionalProperties"))
        levels = [field, *(each for each in inside if isinstance(each, dict))]
        for level in levels:
            if "properties" not in level:
                for rule in level.get("x-kubernetes-validations", ()):
                    told.setdefault(f"`{name}`: {_text(rule['message'])}")
    yield from told


def _type(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if field.get("x-kubernetes-int-or-string"):
        return "quantity or percentage" if "%" in str(field.get("x-kubernetes-validations")) else "quantity"
    if field["type"] == "array":
        most = f", at most {field['maxItems']}" if "maxItems" in field else ""
        return f"list of {_type(field['items'])}{most}"
    words = {
        "object": "map of texts" if "additionalProperties" in field else "object",
        "integer": f"number{_bounds(field)}",
        "boolean": "`true` or `false`",
        "string": "time" if field.get("format") == "date-time" else "text",
    }
    return words[field["type"]]


def _bounds(field: Mapping[str, Any]) -> str:
    least, most = field.get("minimum"), field.get("maximum")
    if least is None and most is None:
        return ""
    if most is None:
        return f", at least {least}"
    return f", at most {most}" if least is None else f" from {least} to {most}"


def _default(field: Mapping[str, Any]) -> str:
    if "default" not in field:
        return ""
    default = field["default"]
    return (
        f"`{yaml.safe_dump(default, default_flow_style=True, width=1000, sort_keys=False).splitlines()[0]}`"
    )


def _text(words: str) -> str:
    """On one line, nothing in it that a table or a markup would take for its own."""
    return (
        " ".join(words.split())
        .replace("|", "\\|")
        .replace("<", "\\<")
        .replace("*", "\\*")
        .replace("[", "\\[")
    )


def main() -> int:
    """Write the page; returns the exit status."""
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
