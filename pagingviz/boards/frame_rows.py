"""Rows of the inspector's cards about a frame of the guest, and the way from it to the machine's frame."""

from __future__ import annotations

from pagingviz.boards.leaf_rows import leaf_rows
from pagingviz.machine.machine import Machine
from pagingviz.reading.guest_frames import Frame, machine_frame, read_frame
from pagingviz.scenario.roads import ROADS, road_of
from pagingviz.story.events import MARKED_BY, TYPES

_PGT = ("none", "PGT_l1_page_table", "PGT_l2_page_table", "PGT_l3_page_table", "PGT_l4_page_table", "PGT_writable_page")


def frame_rows(m: Machine, gfn: int) -> list[tuple[str, str]]:
    """[(name, value)] of what the machine knows about a guest frame."""
    road, frame = m.scenario.road, read_frame(m, gfn)
    stores = "none: this work never touches it" if frame.stores is None else f"{frame.stores:,}"
    rows = [("gfn", f"{gfn:#x}"), ("stores so far", stores)]
    if ROADS[road].hypervisor:
        rows.append(("dirty bit", "1" if frame.dirty else "0"))
        if frame.rounds:
            rows.append(("set last", f"in round {frame.last_round}, by {MARKED_BY[frame.marked_by]}"))
            rows.append(("set in", f"{frame.rounds} of {max(int(m.sys[0].dirty_round) + 1, frame.rounds)} rounds"))
    if ROADS[road].paravirtual:
        pinned = ", pinned" if frame.pinned else ""
        rows.append(("type", f"{_PGT[frame.pv_type]}, used {frame.uses} times{pinned}"))
    if ROADS[road].shadows:
        rows += _shadow_rows(frame, road)
    if ROADS[road].nested:
        rows += leaf_rows(m, gfn)
    if frame.table:
        rows.append(("holds", "a page table"))
    return rows


def _shadow_rows(frame: Frame, road: str) -> list[tuple[str, str]]:
    rows = [("writable mappings", str(frame.uses))] if ROADS[road].always_shadows else []
    rows.append(("shadowed as", ", ".join(TYPES[kind] for kind in frame.shadow_types) or "-"))
    if frame.out_of_sync:
        rows.append(("out of sync", "yes: the guest may write to this table"))
    if frame.dying:
        rows.append(("dying", "yes: HVMOP_pagetable_dying"))
    return rows


def machine_chain(m: Machine, gfn: int) -> list[str]:
    """The steps from a guest frame to its machine address, as this road does it."""
    if not road_of(m.scenario).hypervisor:
        return [f"gpa = mpa {gfn << 12:#x}"]
    mfn = machine_frame(m, gfn)
    return [f"gpa {gfn << 12:#x}", f"p2m → mfn {mfn:#x}", f"mpa {mfn << 12:#x}"]
