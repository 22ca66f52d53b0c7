"""Manifests in files, read as kubectl reads them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import yaml

from thermocline_agent.yaml_loader import KubernetesLoader
from thermocline_api.policy import MemoryTierPolicy
from thermocline_api.problem import InvalidManifest, Problem
from thermocline_api.schema import API_VERSION, GROUP, PLURALS, Schema, crd_text
from thermocline_api.structural import quoted

# More than the API server takes (3 MiB a request, apiserver/pkg/server/config.go).
_MOST_BYTES: Final = 3 * 1024 * 1024
_MOST_NODES: Final = 100_000


class Unreadable(Exception):
    """A file that cannot be read; the message names it and says why."""


class Malformed(Exception):
    """A file whose content is no YAML; the message begins with the line."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document of a file. `number` counts from 1, empty ones included; `value` is what JSON can hold."""

    number: int
    value: Any

    @property
    def kind(self) -> str:
        """Its kind; empty when it does not say one."""
        return self._text("kind")

    @property
    def api_version(self) -> str:
        """Its API version; empty when it does not say one."""
        return self._text("apiVersion")

    @property
    def name(self) -> str:
        """Its name; empty when it does not say one."""
        metadata = self.value.get("metadata") if isinstance(self.value, Mapping) else None
        name = metadata.get("name") if isinstance(metadata, Mapping) else None
        return name if isinstance(name, str) else ""

    def _text(self, key: str) -> str:
        value = self.value.get(key) if isinstance(self.value, Mapping) else None
        return value if isinstance(value, str) else ""


@functools.cache
def schema(kind: str) -> Schema:
    """The schema of one of our kinds."""
    return Schema.of(yaml.safe_load(crd_text(kind)))


def read_text(path: Path | BinaryIO) -> str:
    """The text of a file, or of an open one. Raises Unreadable."""
    try:
        if isinstance(path, Path):
            with path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        else:
            content = path.read(_MOST_BYTES + 1)
    except OSError as err:
        raise Unreadable(f"cannot be read: {err.strerror}") from err
    if len(content) > _MOST_BYTES:
        raise Unreadable("is larger than 3 MiB, which is all that an API server takes: split it")
    try:
        return content.decode()
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        raise Unreadable(f"is no text in UTF-8: line {line} has the byte 0x{content[err.start]:02x}") from err


def documents(text: str) -> Iterator[Document]:
    """The documents of a text, but for empty ones. Raises Malformed at the first that is no YAML."""
    try:
        for number, value in enumerate(yaml.load_all(text, Loader=KubernetesLoader), 1):
            if value is not None:
                yield Document(number, _plain(value))
    except yaml.MarkedYAMLError as err:
        raise Malformed(_sentence(err)) from err
    except yaml.YAMLError as err:
        raise Malformed(f"is no YAML: {' '.join(str(err).split())}") from err
    except RecursionError as err:
        raise Malformed(
            "is nested too deeply: write it flat, as `kubectl explain mtp --recursive` shows"
        ) from err


def _sentence(err: yaml.MarkedYAMLError) -> str:
    """Where the parser gave up and why, and where what it was reading began."""
    mark = err.problem_mark or err.context_mark
    where = "is no YAML" if mark is None else f"line {mark.line + 1}: is no YAML"
    sentence = f"{where}: {err.problem}"
    if err.context and err.context_mark and err.context_mark is not mark:
        sentence += f", {err.context} that begins in line {err.context_mark.line + 1}"
    if mark is not None and mark.buffer is not None and mark.pointer >= len(mark.buffer.rstrip("\0\n ")):
        sentence += ": is the file written to its end?"
    return sentence


def _plain(value: Any) -> Any:
    """The value without aliases. Raises Malformed for what JSON cannot hold."""
    left = _MOST_NODES

    def copy(value: Any, above: tuple[int, ...]) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Malformed("is no manifest: its aliases stand for too much; write out what they mean")
        if not isinstance(value, dict | list):
            return value
        if id(value) in above:
            raise Malformed("is no manifest: an anchor contains itself; write out what it means")
        inside = (*above, id(value))
        if isinstance(value, list):
            return [copy(item, inside) for item in value]
        return {key: copy(child, inside) for key, child in value.items()}

    return copy(value, ())


def problems(document: Document) -> tuple[Problem, ...] | None:
    """What is wrong with a document, in the API server's words where it has some. None: another group's."""
    if not isinstance(document.value, Mapping):
        return (Problem("", "is no object: write apiVersion, kind, metadata and spec", "type"),)
    wanted = {"apiVersion": API_VERSION, "kind": "MemoryTierPolicy"}
    missing = [key for key in wanted if not isinstance(document.value.get(key), str)]
    if missing:
        return tuple(
            Problem(key, f"Required value: write {key}: {wanted[key]}", "required") for key in missing
        )
    if document.api_version.partition("/")[0] != GROUP:
        return None
    if document.kind not in PLURALS:
        kinds = " or ".join(PLURALS)
        return (Problem("kind", f"Invalid value: {quoted(document.kind)}: write {kinds}", "kind"),)
    if document.api_version != API_VERSION:
        words = f"Invalid value: {quoted(document.api_version)}: must be {API_VERSION}"
        return (Problem("apiVersion", words, "apiVersion"),)
    return schema(document.kind).check(document.value)


def read_policy(path: Path) -> MemoryTierPolicy:
    """The one policy in a file; other groups' objects in it are passed over.

    Raises Unreadable, Malformed, or InvalidManifest.
    """
    policies = []
    for document in documents(read_text(path)):
        found = problems(document)
        if found:
            raise InvalidManifest(found)
        if found is not None and document.kind == "MemoryTierPolicy":
            policies.append(document.value)
    if len(policies) != 1:
        raise Malformed(f"has {len(policies)} policies: write exactly one MemoryTierPolicy")
    return MemoryTierPolicy.read(schema("MemoryTierPolicy"), policies[0])
