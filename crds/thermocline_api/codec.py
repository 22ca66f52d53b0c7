"""Values and their form on the wire: dataclasses say what each field is called there, and how it is written.

`decode` expects what Schema.read returned, or what an API server did: valid, defaults applied. On anything
else it raises KeyError, TypeError or ValueError, without naming the field; that is the schema's work.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar, dataclass_transform

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


@dataclasses.dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """How a value is read from JSON and written to it."""

    read: Callable[[Any], T]
    write: Callable[[T], Any]


def _same(value: Any) -> Any:
    return value


AS_IT_IS: Codec[Any] = Codec(_same, _same)


def _exactly(kind: type[T]) -> Codec[T]:
    # Of statuses, which are read as they are: what is no number must not be found out when it is added up.
    def read(value: Any) -> T:
        if type(value) is not kind:
            raise TypeError(f"{str(value)[:80]!r} is not of type {kind.__name__}")
        return value

    return Codec(read, _same)


INTEGER: Codec[int] = _exactly(int)
TEXT: Codec[str] = _exactly(str)
FLAG: Codec[bool] = _exactly(bool)
OBJECT: Codec[dict[str, Any]] = _exactly(dict)


def enumerated(kind: type[E]) -> Codec[E]:
    """A value of an enum."""
    return Codec(kind, str)


def nested(kind: type[T]) -> Codec[T]:
    """An object of its own."""
    return Codec(lambda value: decode(kind, value), encode)


def listed(codec: Codec[T]) -> Codec[tuple[T, ...]]:
    """A list."""
    return Codec(
        lambda values: tuple(map(codec.read, values)),
        lambda values: [codec.write(value) for value in values],
    )


LABELS: Codec[Mapping[str, str]] = Codec(dict, dict)


def read_time(text: str) -> datetime:
    """A time as Kubernetes writes it, in UTC; that is its zone, too, where it says none. Raises ValueError."""
    time = datetime.fromisoformat(text.upper())
    if time.tzinfo is None:
        return time.replace(tzinfo=UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError as err:
        # The first and last hours that a year of four digits has are in no year of UTC.
        raise ValueError(f"{text!r} is out of range") from err


def _write_time(time: datetime) -> str:
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


# Times have a zone, and are written in UTC to the second, as Kubernetes does.
TIME: Codec[datetime] = Codec(read_time, _write_time)


def wire(name: str, codec: Codec[Any] = AS_IT_IS, **options: Any) -> Any:
    """A field that the wire calls `name`. An absent one is its default; None is not written."""
    return dataclasses.field(metadata={"name": name, "codec": codec}, **options)


def inline(kind: type[Any], **options: Any) -> Any:
    """A field whose own fields stand beside the others on the wire."""
    return wire("", nested(kind), **options)


@dataclass_transform(frozen_default=True, field_specifiers=(wire, inline))
def record(kind: type[T]) -> type[T]:
    """A frozen, slotted dataclass all of whose fields are made by `wire` and `inline`."""
    return dataclasses.dataclass(frozen=True, slots=True)(kind)


def decode(kind: type[T], data: Mapping[str, Any]) -> T:
    """The dataclass of an object. Fields that it does not have are passed over."""
    if not isinstance(data, Mapping):
        raise TypeError(f"{str(data)[:80]!r} is no object")
    values = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        name, codec = field.metadata["name"], field.metadata["codec"]
        if not name:
            values[field.name] = codec.read(data)
        elif name in data:
            values[field.name] = codec.read(data[name])
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise KeyError(name)
    return kind(**values)


def encode(value: Any) -> dict[str, Any]:
    """The object of a dataclass, without the fields that are None."""
    data: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        content = getattr(value, field.name)
        if content is None:
            continue
        name, codec = field.metadata["name"], field.metadata["codec"]
        if name:
            data[name] = codec.write(content)
        else:
            data.update(codec.write(content))
    return data
