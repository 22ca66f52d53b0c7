"""YAML as Kubernetes reads it.

kubectl and the API server read YAML 1.1 by go-yaml 2. PyYAML differs: to them y and n are booleans, dates
and 10:30 are texts, and 1e3 is a number. A key that is written twice is an error here, as it is to a strict API
server; kubectl would take the last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from typing import Any, ClassVar, Final

import yaml

_BOOLEANS: Final = {
    **dict.fromkeys(("y", "yes", "true", "on"), True),
    **dict.fromkeys(("n", "no", "false", "off"), False),
}
_BOOLEAN: Final = "|".join(f"{word}|{word.capitalize()}|{word.upper()}" for word in _BOOLEANS)
_INTEGER: Final = "[-+]?(0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|0|[1-9][0-9_]*)"
_FLOAT: Final = (
    r"[-+]?(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
# The largest float that Go writes without an exponent when it makes JSON of it.
_PLAIN: Final = 1e21


def _tag(name: str) -> str:
    return f"tag:yaml.org,2002:{name}"


def _resolver(name: str, pattern: str) -> tuple[str, re.Pattern[str]]:
    return _tag(name), re.compile(rf"(?:{pattern})\Z")


def _boolean(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> bool:
    return _BOOLEANS[str(loader.construct_scalar(node)).lower()]


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int | float:
    text = str(loader.construct_scalar(node)).replace("_", "")
    if re.fullmatch(_INTEGER, text):
        digits = text.lstrip("+-")
        octal = re.fullmatch("0[oO]?([0-7]+)", digits)
        number = int(octal[1], 8) if octal else int(digits, 0)
        return -number if text.startswith("-") else number
    number_float = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    is_whole = number_float.is_integer() and abs(number_float) < _PLAIN
    return int(number_float) if is_whole else number_float


class KubernetesLoader(yaml.SafeLoader):
    """A SafeLoader of what JSON can hold, which resolves plain scalars as go-yaml 2 does."""

    # By the first character of a scalar, which PyYAML looks at first; None stands for any.
    yaml_implicit_resolvers = {  # noqa: RUF012 - the base class declares it so
        None: [
            _resolver("null", "~|null|Null|NULL|"),
            _resolver("bool", _BOOLEAN),
            _resolver("int", _INTEGER),
            _resolver("float", _FLOAT),
            _resolver("merge", "<<"),
        ]
    }
    # None stands for every other tag: PyYAML's own refuses it.
    yaml_constructors: ClassVar[dict[str | None, Callable[..., Any]]] = {
        _tag("null"): yaml.SafeLoader.construct_yaml_null,
        _tag("bool"): _boolean,
        _tag("int"): _number,
        _tag("float"): _number,
        _tag("str"): yaml.SafeLoader.construct_yaml_str,
        _tag("seq"): yaml.SafeLoader.construct_yaml_seq,
        _tag("map"): yaml.SafeLoader.construct_yaml_map,
        None: yaml.SafeLoader.construct_undefined,
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """As SafeLoader's, but keys become texts, as in JSON, and none may be written twice."""
        seen = set()
        for key, _ in node.value:
            text = self._key(key)
            if text in seen:
                problem = f"the key {text!r} is written twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(text)
        self.flatten_mapping(node)
        return {self._key(key): self.construct_object(value, deep=deep) for key, value in node.value}

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            problem = "a key must be a text"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        if node.tag == _tag("merge"):
            return str(node.value)
        key = self.construct_object(node, deep=True)
        if isinstance(key, bool):
            return "true" if key else "false"
        return "null" if key is None else str(key)
