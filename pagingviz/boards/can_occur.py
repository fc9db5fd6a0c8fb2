"""What can occur on the boards of a scenario, for their legends.

A legend lists what its board can show while this scenario runs: its fields as they are, from tick 0 on as far as one likes,
with any commands given by hand at any tick. So log-dirty can come and go wherever there is a hypervisor, whether the journal
switches it on or not; the pool can shrink and grow; a device can write. What only another value of a field would bring (another
road, tables out of sync with oos=0, a log with pml=0, pages sent twice by a migration that stops the guest first) cannot occur:
that is another scenario. What the work leaves to chance can occur. A guest given entry by entry (its `shown` says so) may do
all that its mode of paging allows.
"""

from __future__ import annotations

from typing import Any

from pagingviz.arch import xen
from pagingviz.scenario.frames import CHUNK_BITS, GIB_BITS, modelled
from pagingviz.scenario.roads import road_of
from pagingviz.scenario.scenario import Scenario


def by_hand(work: Any) -> bool:
    """Whether the guest is given entry by entry."""
    return work.shown is not None


def out_of_sync(scenario: Scenario) -> bool:
    """Guest tables can go out of sync with their shadows."""
    allowed = scenario.oos and scenario.shopt & int(xen.SHOPT_OUT_OF_SYNC)
    return road_of(scenario).always_shadows and bool(allowed)


def guest_superpages(scenario: Scenario, work: Any) -> bool:
    """The guest's own tables can hold a superpage."""
    whole = scenario.frames >> (10 if scenario.guest == "hvm32" else CHUNK_BITS)
    return by_hand(work) or (scenario.direct_map_pages != "4k" and whole > 0)


def forks(work: Any) -> bool:
    """A process forks: its child begins with entries that nobody has used yet."""
    return any(process.child for process in work.processes)


def read_only_entries(work: Any) -> bool:
    """The guest's own tables can hold an entry of level 1 without write access: of code, or of a page shared by a fork."""
    return by_hand(work) or forks(work) or any(not process.writable.all() for process in work.processes)


def device_writes(scenario: Scenario, work: Any) -> bool:
    """The device model can report a write: its command is refused only in a guest so large that not all frames have state."""
    return road_of(scenario).hypervisor and not modelled(scenario.frames, work).spread


def small_leaves_alone(scenario: Scenario, work: Any, frames: int) -> bool:
    """Whether all of `frames` neighbours, a cell of a map, can be mapped by leaves of 4 KiB at a time.

    In a guest so large that not all frames have state the others stay in the larger leaves that they began with.
    """
    those = modelled(scenario.frames, work)
    return leaf_levels(scenario, work) == {1} or not those.spread or frames <= 1 << those.bits


def leaf_levels(scenario: Scenario, work: Any) -> frozenset[int]:
    """Levels of the leaves that the nested tables can have: 1 (4 KiB) always, 2 (2 MiB), 3 (1 GiB)."""
    found = {1}
    small = frozenset(work.small_chunks)
    mixed = {chunk >> GIB_BITS - CHUNK_BITS for chunk in small}  # GiBs with 4 KiB leaves
    huge = min(scenario.frames >> GIB_BITS, work.huge_leaves) if scenario.superpages == 2 else 0
    if any(gib not in mixed for gib in range(huge)):
        found |= {3} if scenario.hap == "ept" else {3, 2}  # EPT splits such a leaf into 4 KiB ones at once
    whole = scenario.frames >> CHUNK_BITS if scenario.superpages else 0
    if any(chunk not in small and (chunk >> GIB_BITS - CHUNK_BITS >= huge or chunk >> 9 in mixed) for chunk in range(whole)):
        found.add(2)
    return frozenset(found)
