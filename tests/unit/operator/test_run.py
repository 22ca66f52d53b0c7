"""The operator as a process, where kopf does not do what it should."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import kopf
import pytest
from kubernetes import client

from thermocline_operator import run
from thermocline_operator.cache import Cache
from thermocline_operator.run import Options, policy_schema, watch_kinds
from thermocline_operator.state import Kind
from thermocline_operator.watch import Watch


@pytest.mark.parametrize("failed_at_once", [0, 1])
def test_who_watches_no_more_ends_though_kopf_does_not(
    failed_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def operator(**_: Any) -> None:
        """What kopf was seen to do: a watch has failed, and the end of another is waited for."""
        tasks = [asyncio.create_task(asyncio.sleep(0.3), name=f"watcher for {kind}") for kind in kinds]
        await asyncio.wait(tasks)
        await asyncio.Event().wait()

    kinds = list(Kind)[failed_at_once:]
    monkeypatch.setattr(kopf, "operator", operator)
    monkeypatch.setattr(run, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(run, "_WATCHES_END_SECONDS", 0.1)
    watch = Watch(Cache(policy_schema()), client.Configuration, lambda _: True)
    ending = cast("Any", SimpleNamespace(flag=lambda: None))

    async def watched() -> None:
        await asyncio.wait_for(watch_kinds(watch, Options("ns", "one"), ending), 30)

    with pytest.raises(RuntimeError, match="a watch has ended, and kopf has not"):
        asyncio.run(watched())
