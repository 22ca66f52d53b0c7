"""What `thermocline-agent backtest` says of the committed traces, as the command says it."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any, Final

from tests.traces import ALL, FOLDER, POLICIES
from thermocline_agent.cli import main

# Nobody can say whose these are, so this does.
_CHOSEN: Final = {
    "churn": ("--owner-rule=1=named", "--owner-rule=2=tenants", "--owner-rule=3=batch"),
    # The hot programs and the idle one, as `record` said.
    "node": ("--owner-rule=3=tenants", "--owner-rule=4=tenants", "--owner-rule=5=others"),
}


def backtest(name: str, *words: str) -> Any:
    """The command's JSON for a trace and both policies."""
    out = io.StringIO()
    options = [word for policy in POLICIES for word in ("--policy", str(FOLDER / f"{policy}.yaml"))]
    with contextlib.redirect_stdout(out):
        status = main(["backtest", "--json", *options, *words, str(FOLDER / f"{name}.npz")])
    assert status == 0
    return json.loads(out.getvalue())


def figures() -> dict[str, Any]:
    """By trace and policy, what is guarded: all but what is told of single rounds and owners."""
    found: dict[str, Any] = {}
    for name in ALL:
        (trace,) = backtest(name, *_CHOSEN.get(name, ()))["traces"]
        found[name] = {
            "recordedFastHit": trace["recordedFastHit"],
            **{each["policy"]: _kept(each) for each in trace["policies"]},
        }
    return found


def _kept(policy: dict[str, Any]) -> dict[str, Any]:
    left_out = {"policy", "owners", "rounds", "notes"}
    return {key: value for key, value in policy.items() if key not in left_out}
