"""What can occur on the boards of a scenario, for their legends.

A legend lists what its board can show while this scenario runs: its fields as they are, from tick 0 on as far as one likes,
with any commands given by hand at any tick. So log-dirty can come and go wherever there is a hypervisor, whether the journal
switches it on or not; the pool can shrink and grow; a device can write. What only another value of a field would bring (another
road, tables out of sync with oos=0, a log with pml=0, pages sent twice by a migration that stops the guest first) cannot occur:
that is another scenario. What the work leaves to chance can occur. A guest given entry by entry (its `shown` says so) may do
all that its mode of paging allows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pagingviz.boards.board import LegendRow
from pagingviz.scenario.frames import CHUNK_BITS, GIB_BITS, huge_leaves, modelled, superpage_bits
from pagingviz.scenario.roads import road_of
from pagingviz.scenario.scenario import Scenario

Possible = tuple[str, int | None, str, bool]  # a row of a legend, and whether what it explains can occur


def those(rows: Iterable[Possible]) -> tuple[LegendRow, ...]:
    """The rows whose last item is true, without it."""
    return tuple((letter, fill, text) for letter, fill, text, can_occur in rows if can_occur)


def entry_by_entry(work: Any) -> bool:
    """Whether the guest is given entry by entry."""
    return work.shown is not None


def out_of_sync(scenario: Scenario) -> bool:
    """Guest tables can go out of sync with their shadows."""
    return road_of(scenario).always_shadows and scenario.unsyncs


def guest_superpages(scenario: Scenario, work: Any) -> bool:
    """The guest's own tables can hold a superpage."""
    return entry_by_entry(work) or (scenario.direct_map_pages != "4k" and scenario.frames >> superpage_bits(scenario) > 0)


def forks(work: Any) -> bool:
    """A process forks: its child begins with entries that nobody has used yet."""
    return any(process.child for process in work.processes)


def read_only_entries(work: Any) -> bool:
    """The guest's own tables can hold an entry of level 1 without write access: of code, or of a page shared by a fork."""
    return entry_by_entry(work) or forks(work) or any(not process.writable.all() for process in work.processes)


def device_writes(scenario: Scenario, work: Any) -> bool:
    """The device model can report a write: its command is refused only in a guest so large that not all frames have state."""
    return road_of(scenario).hypervisor and not modelled(scenario.frames, work).spread


def whole_cells_split(scenario: Scenario, work: Any, frames: int) -> bool:
    """Whether all of `frames` neighbours, a cell of a map, can come to be mapped by leaves of 4 KiB at the same time.

    In a guest so large that not all frames have state the others stay in the larger leaves that they began with.
    """
    found = modelled(scenario.frames, work)
    return not found.spread or frames <= 1 << found.bits


def superpages_run(scenario: Scenario) -> str:
    """What a legend adds to a superpage leaf: whether it is executable is the same for all of a machine."""
    return "" if scenario.exec_sp else ", not executable"


def leaf_levels(scenario: Scenario, work: Any) -> frozenset[int]:
    """Levels of the leaves that the nested tables can have: 1 (4 KiB) always, 2 (2 MiB), 3 (1 GiB)."""
    found = {1}
    chunks = scenario.frames >> CHUNK_BITS if scenario.superpages else 0
    huge, in_a_gib = huge_leaves(scenario, work.huge_leaves), 1 << GIB_BITS - CHUNK_BITS
    small = {chunk for chunk in work.small_chunks if chunk < chunks}  # of 4 KiB leaves whatever the scenario says
    mixed = {chunk // in_a_gib for chunk in small if chunk // in_a_gib < huge}  # GiBs that have no leaf of 1 GiB for it
    if huge > len(mixed):
        found |= {3} if scenario.hap == "ept" else {3, 2}  # EPT splits such a leaf into 4 KiB ones at once
    if chunks - (huge - len(mixed)) * in_a_gib > len(small):
        found.add(2)
    return frozenset(found)
