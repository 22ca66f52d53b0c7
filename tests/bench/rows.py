"""The rows of a result file, one a figure:

    {"rows": [{"metric": "move_tax_512", "value": 0.93, "unit": "ratio", "limit": 0.48, "target": "<= 0.95",
               "holds": true, "spread": [0.928, 0.931], "arms": {"move_pages": 8960.0, …},
               "command": "python3 -m tests.bench move_tax", "versions": {"kernel": "6.12.117", …}}, …]}

`value` is the median over boots or rounds, `spread` the least and the greatest of them. `limit` is the best that can
be, `target` what the figure must reach. `arms` holds what the value was made from, in the arm's own unit, and under
"A/A" the ratio of two arms that are the same: a run in which that leaves CONTROL is void, has no value and holds
nothing.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

CONTROL: Final = (0.97, 1.03)
_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. None: no value (a void run), no limit known, no target set, nothing to hold."""

    metric: str
    value: float | None
    unit: str
    limit: float | None = None
    target: str | None = None
    spread: tuple[float, float] | None = None
    arms: Mapping[str, float] = field(default_factory=dict)
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def holds(self) -> bool | None:
        """Whether every boot and round reached the target; None without one."""
        if self.target is None:
            return None
        if self.value is None:
            return False
        compare, bound = _parsed(self.target)
        return all(compare(value, bound) for value in (self.value, *(self.spread or ())))

    @property
    def void(self) -> bool:
        """Whether the run was not quiet enough to tell anything."""
        return self.value is None


def controlled(row: Row, control: float) -> Row:
    """The row with the ratio of its A/A arms; without a value where that says that the run is void."""
    arms = {**row.arms, "A/A": round(control, 4)}
    least, most = CONTROL
    if least <= control <= most:
        return replace(row, arms=arms)
    return replace(row, arms=arms, value=None, spread=None)


def _parsed(target: str) -> tuple[Callable[[float, float], bool], float]:
    match = re.fullmatch(r"([<>]=) ([0-9.]+)", target)
    if match is None:
        raise ValueError(f"{target!r} is no target: write one such as '<= 0.95'")
    return _COMPARISONS[match[1]], float(match[2])


def as_json(rows: Iterable[Row]) -> str:
    """The text of a result file."""
    order = ["metric", "value", "unit", "limit", "target", "holds", "spread", "arms", "command", "versions"]
    told = [{**asdict(row), "holds": row.holds} for row in rows]
    return json.dumps({"rows": [{name: row[name] for name in order} for row in told]}, indent=1) + "\n"


def load(path: Path) -> list[Row]:
    """The rows of a result file; none when there is no such file. Raises ValueError when it is no such file."""
    if not path.exists():
        return []
    try:
        found = json.loads(path.read_text())["rows"]
        return [_row(each) for each in found]
    except (KeyError, TypeError, json.JSONDecodeError) as err:
        raise ValueError(f"{path} is no result file ({err}): write another path, or remove it") from err


def _row(told: dict[str, Any]) -> Row:
    names = {each.name for each in fields(Row)}
    spread = told["spread"]
    return Row(**{name: told[name] for name in names - {"spread"}}, spread=tuple(spread) if spread else None)


def merged(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Old rows and new ones: what a benchmark said before goes when it has been run again, quickly or not."""
    commands = {_benchmark(row) for row in new}
    return [*(row for row in old if _benchmark(row) not in commands), *new]


def _benchmark(row: Row) -> str:
    return row.command.removesuffix(" --quick")
