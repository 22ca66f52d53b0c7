"""How much memory the kernel takes for one call beside the pages that it moves to, as its tracepoints tell.

Of the trace of events/kmem (include/trace/events/kmem.h, Linux 6.12) these lines are read:

    scratch-77 [000] ..... 1.5: tracing_mark_write: begin move_phy_pages query 512
    scratch-77 [000] ..... 1.5: kmalloc: call_site=… ptr=00000000c3 bytes_req=4096 bytes_alloc=4096 gfp_flags=…
    scratch-77 [000] ..... 1.5: kfree: call_site=… ptr=00000000c3
    scratch-77 [000] ..... 1.5: mm_page_alloc: page=00000000d1 pfn=0x1f3 order=2 migratetype=0 gfp_flags=…
    scratch-77 [000] ..... 1.5: mm_page_free: page=00000000d1 pfn=0x1f3 order=2
    scratch-77 [000] ..... 1.5: tracing_mark_write: end

What interrupts do meanwhile (h, H or s in the flags after the CPU) is not the call's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.bench import nodes
from tests.bench.nodes import Effort
from tests.bench.rows import Row
from tests.bench.samples import NoSamples

PAGE_BYTES: Final = 4096
# KMALLOC_MAX_CACHE_SIZE, include/linux/slab.h: what is larger is made of whole pages, and told by both events.
LARGEST_OBJECT: Final = 2 * PAGE_BYTES
_EVENT: Final = re.compile(r"\s*\S.*?-[0-9]+\s+\[[0-9]+\] (\S+) +[0-9.]+: (\w+): (.*)")
_INTERRUPT: Final = re.compile(r"..[hHs]")
_FIELD: Final = re.compile(r"(\w+)=(\S+)")


@dataclass(slots=True)
class Held:
    """What a call holds at a moment: small objects by their addresses, and pages; and the most that it held.

    What was there before the call does not count when it goes.
    """

    held: dict[str, int] = field(default_factory=dict)
    held_bytes: int = 0
    peak_bytes: int = 0

    def see(self, event: str, fields: dict[str, str]) -> None:
        """Count one event."""
        if event in {"kmalloc", "kmem_cache_alloc"} and int(fields["bytes_alloc"]) <= LARGEST_OBJECT:
            self._take(fields["ptr"], int(fields["bytes_alloc"]))
        elif event == "mm_page_alloc":
            self._take(fields["pfn"], PAGE_BYTES << int(fields["order"]))
        elif event in {"kfree", "kmem_cache_free"}:
            self.held_bytes -= self.held.pop(fields["ptr"], 0)
        elif event == "mm_page_free":
            self.held_bytes -= self.held.pop(fields["pfn"], 0)

    def _take(self, name: str, size_bytes: int) -> None:
        self.held[name] = size_bytes
        self.held_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.held_bytes)


def measure(effort: Effort) -> Sequence[Row]:
    """One boot is enough: the same call takes the same memory."""
    del effort
    return rows(peaks(nodes.run("scratch")))


def peaks(trace: str) -> dict[tuple[str, str, int], int]:
    """The peak of each call, in bytes, by call, case and number of entries. Raises NoSamples."""
    found: dict[tuple[str, str, int], int] = {}
    for (call, case, entries), events in _calls(trace):
        held = Held()
        for event, fields in events:
            held.see(event, fields)
        found[call, case, entries] = held.peak_bytes
    if not found:
        raise NoSamples("the trace has no call")
    return found


Event = tuple[str, dict[str, str]]


def _calls(trace: str) -> Iterator[tuple[tuple[str, str, int], list[Event]]]:
    """What each call is, and the events between its marks."""
    current: tuple[str, str, int] | None = None
    events: list[Event] = []
    for line in trace.splitlines():
        match = _EVENT.fullmatch(line)
        if match is None:
            if not line.startswith("#"):
                raise NoSamples(f"an event expected, found {line!r}")
        elif match[2] != "tracing_mark_write":
            if not _INTERRUPT.match(match[1]):
                events.append((match[2], dict(_FIELD.findall(match[3]))))
        elif match[3].startswith("begin "):
            _, call, case, entries = match[3].split()
            current, events = (call, case, int(entries)), []
        elif current is not None:
            yield current, events
            current = None
    if current is not None:
        raise NoSamples(f"the trace ends within {current}")


def rows(found: dict[tuple[str, str, int], int]) -> list[Row]:
    """A row for each case and number of entries: our peak, beside that of move_pages(2)."""
    return [
        Row(
            metric=f"scratch_memory_{case}_{entries}",
            value=float(peak),
            unit="bytes",
            arms={"move_phy_pages": peak, "move_pages": found["move_pages", case, entries]},
        )
        for (call, case, entries), peak in found.items()
        if call == "move_phy_pages"
    ]
