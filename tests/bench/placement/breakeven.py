"""The call against the alternatives, computed from what kernel.json has; nothing is measured here. Pure.

A hot list names pages by physical address. move_phy_pages(2) takes it as it is. move_pages(2) wants processes and
virtual addresses, so every pagemap entry of every process has to be read first. DAMON takes ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.bench.rows import Row

# What an interval's list holds: 100 MiB, the default promoteBandwidth of one second.
LIST_PAGES: Final = 25_600
MAPPED_GIB: Final = (1, 4, 16, 64, 256)
_ENTRIES_PER_GIB: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Costs:
    """In instructions: a page moved by each way, one of 8 processes' page likewise, and a pagemap entry read."""

    physical: float
    virtual: float
    damon: float
    physical_of_8: float
    virtual_of_8: float
    entry: float

    def reverse(self, mapped_gib: float, pages: int = LIST_PAGES) -> float:
        """To search so much mapped memory once, and to move what was found by move_pages(2)."""
        return mapped_gib * _ENTRIES_PER_GIB * self.entry + pages * self.virtual

    def ours(self, pages: int = LIST_PAGES) -> float:
        """To move them by move_phy_pages(2)."""
        return pages * self.physical

    @property
    def break_even_of_8(self) -> float:
        """Entries to be read for a page, above which the call is cheaper for pages that 8 processes map."""
        return (self.physical_of_8 - self.virtual_of_8) / self.entry


def costs(rows: Sequence[Row]) -> Costs:
    """From kernel.json's rows. Raises KeyError when one that is needed is not among them."""
    arms = {row.metric: row.arms for row in rows}
    return Costs(
        physical=arms["move_tax_512"]["move_phy_pages"],
        virtual=arms["move_tax_512"]["move_pages"],
        damon=arms["damon_ratio"]["damon"],
        physical_of_8=arms["mapped_pages_8"]["move_phy_pages"],
        virtual_of_8=arms["mapped_pages_8"]["move_pages"],
        entry=arms["translation_saved_200"]["a pagemap entry"],
    )


def summary(rows: Sequence[Row]) -> str:
    """The same in a sentence."""
    found = costs(rows)
    least, most = (found.reverse(gib) / found.ours() for gib in (MAPPED_GIB[0], MAPPED_GIB[-1]))
    return (
        f"acting on {LIST_PAGES:,} hot pages by a reverse map and move_pages(2) takes {least:.1f} times its "
        f"instructions where {MAPPED_GIB[0]} GiB is mapped, and {most:.0f} times where {MAPPED_GIB[-1]} GiB are. It "
        f"loses where 8 processes map what moves and more than 1 in {found.break_even_of_8:.0f} of all that is mapped "
        f"does. DAMON's schemes, given the ranges, cost {found.damon / found.physical:.2f} times what it costs."
    )


def text(rows: Sequence[Row]) -> str:
    """The statement, as markdown."""
    found = costs(rows)
    lines = [
        "| mapped memory | reverse map + move_pages(2) | move_phy_pages(2) | ratio |",
        "| --- | --- | --- | --- |",
        *(
            f"| {gib} GiB | {found.reverse(gib) / 1e6:,.0f} | {found.ours() / 1e6:,.0f} "
            f"| {found.reverse(gib) / found.ours():.1f} |"
            for gib in MAPPED_GIB
        ),
    ]
    break_even = f"{found.break_even_of_8:.0f}"
    return f"""\
Millions of instructions to act on one list of {LIST_PAGES:,} hot pages (100 MiB), from addresses to moved pages:

{chr(10).join(lines)}

* **Pages of one process**: there is no break-even point. The call takes {found.physical:,.0f} instructions a page and
  move_pages(2), given the right addresses for nothing, {found.virtual:,.0f}; the search comes on top, at
  {found.entry:.0f} instructions for each pagemap entry, whether its page is wanted or not.
* **Pages that 8 processes map**: move_pages(2) is cheaper once it has the addresses ({found.virtual_of_8:,.0f} against
  {found.physical_of_8:,.0f}). It wins where fewer than {break_even} entries have to be read for a page that moves:
  where more than 1 in {break_even} of all that is mapped is on the list. The call wins elsewhere.
* **DAMON's schemes**, given the same ranges: {found.damon:,.0f} instructions a page, which is the same cost. What the
  call has over them is what it can be told and tells: any list of pages, and what became of each.

![512 pages: reverse map and move_pages(2), against our call, by mapped memory](kernel-translation_saved.svg)

Computed from [kernel.json](kernel.json), whose figures, commands and limits are on [their page](kernel.md); the list's
size is the only assumption. The time to read more pagemaps than were measured (12.5 GiB) is extrapolated.
"""
