"""Boards with a cell for each frame of the guest: their arrangement, their card, and what a cell of many frames holds."""

from __future__ import annotations

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.arch.sizes import LEAF_SIZES, memory
from pagingviz.arch.state import CELLS
from pagingviz.boards.board import Card, LegendRow, Plan
from pagingviz.boards.frame_rows import frame_rows, machine_chain
from pagingviz.boards.in_words import NO_HYPERVISOR_UNIT
from pagingviz.boards.leaf_rows import cost_rows
from pagingviz.boards.scene import Scene
from pagingviz.machine.machine import Machine
from pagingviz.reading import nested, shadows
from pagingviz.reading.guest_entries import mappings
from pagingviz.reading.nested_leaves import leaves
from pagingviz.scenario.roads import ROADS, road_of
from pagingviz.story.nested_tables import why_entry
from pagingviz.story.sentences import process_name

NO_EDGES_FROM = 64  # columns: in so small cells a thick edge would hide the colour, which is what the view is about
LARGEST = int(CELLS)  # cells of one board; where there are more frames a cell stands for a number of them


# ---- the plan


def frames_in_a_cell(frames: int, largest: int = LARGEST) -> int:
    """How many frames one cell stands for: 1 up to `largest` frames, then a power of two."""
    k = 1
    while frames > largest * k:
        k *= 2
    return k


def frame_plan(
    board: str, title: str, what: str, legend: tuple[LegendRow, ...], road: str, frames: int, bits: str = ""
) -> Plan:
    """The plan of a board with a cell a frame, row by row; what: what one cell stands for, where it is one frame."""
    k = frames_in_a_cell(frames)
    n = -(-frames // k)
    width = 32 if n <= 512 else 64 if n <= 1024 else 128  # wide, as the panels are, and a power of two: rows mean something
    key = np.full(-(-n // width) * width, -1)
    key[:n] = np.arange(n) * k
    unit = f"1 cell = 1 {what}" if k == 1 else f"1 cell = {memory(k)} = {k:,} frames, showing the worst of them"
    if not ROADS[road].hypervisor:
        key[:] = -1
        unit, legend = NO_HYPERVISOR_UNIT, ()
    elif k > 1:
        title = f"{title}, 1 cell = {memory(k)}"
        legend = (*legend, ("", None, f"1 cell = {k:,} frames: the worst of them"))
    return Plan(board, title, unit, width, key.size // width, legend, road, key, k, bits=bits)


def cell_of(plan: Plan, gfn: int) -> list[int]:
    """The cell of a guest frame, [] where the board has none for it."""
    cell = gfn // plan.per_cell
    return [cell] if plan.key[cell] >= 0 else []


# ---- the card


def card_of(scene: Scene, plan: Plan, cell: int) -> Card | None:
    """The card of a cell, which is that of its first frame."""
    gfn = int(plan.key[cell])
    if gfn < 0:
        return None
    sim, m, hap = scene.sim, scene.sim.machine, road_of(scene.sim.scenario).nested
    rows = _many_rows(m, gfn, plan.per_cell) if plan.per_cell > 1 else []
    rows += frame_rows(m, gfn) + (cost_rows(m, gfn) if hap else [])
    users = [f"{process_name(sim, slot)} gva {page << 12:#x}" for slot, page in mappings(m, sim.work, gfn)]
    rows.append(("mapped at", ", ".join(users[:3]) or "by no process"))
    tick = None
    if hap:
        steps = nested.path(m, gfn)
        waiting = nested.waiting(m, steps)
        decides = waiting[0] if waiting else steps[-1]
        tick = why_entry(sim, decides.level, gfn, steps)[1]
    chain = [*users[:1], *machine_chain(m, gfn)]
    return Card(f"gfn {gfn:#x}", chain, rows, _why(m, gfn), tick, frame=gfn)


def _many_rows(m: Machine, first: int, n: int) -> list[tuple[str, str]]:
    """Rows about the n frames from `first` on, which share a cell."""
    gfn = np.arange(first, min(first + n, m.scenario.frames))
    rows = [("this cell", f"{gfn.size:,} frames, gfn {first:#x} to {gfn[-1]:#x}; below: the first of them")]
    dirty = m.dirty_frames()
    rows.append(("dirty", f"{np.count_nonzero((dirty >= first) & (dirty <= gfn[-1])):,} of {gfn.size:,} bits set"))
    if road_of(m.scenario).nested:
        _, level, pending = leaves(m, gfn)
        rows.append(("pending", f"{np.count_nonzero(pending):,} of {gfn.size:,} frames"))
        sizes = [f"{np.count_nonzero(level == size):,} by {name}" for size, name in LEAF_SIZES.items() if np.any(level == size)]
        rows.append(("mapped", ", ".join(sizes) + " leaves"))
    return rows


_NO_TYPE = "Nothing uses it as a table, and nothing may write it."
_PV_WHY = {
    shadows.UNMAPPED: _NO_TYPE,
    shadows.WRITABLE: "Some entry lets the guest write it: it can be no table.",
    shadows.TABLE: "A validated page table: no entry may let the guest write it.",
}
_SHADOW_WHY = {
    shadows.UNMAPPED: "No shadow maps it: the next touch exits.",
    shadows.READ_ONLY: "Mapped without write access: the next store exits.",
    shadows.WRITABLE: "Mapped writable: stores run at full speed.",
    shadows.TABLE: "It holds a shadowed page table: the next store to it exits.",
    shadows.OUT_OF_SYNC: "An L1 table out of sync (sh_unsync): stores to it run at full speed until a CR3 load brings it back.",
}


def _why(m: Machine, gfn: int) -> str:
    """Why a frame is as it is."""
    if m.sys[0].log_dirty and gfn in m.dirty_frames():
        return "Its bit is set: the guest, the hypervisor or a device has written it since the last CLEAN."
    if road_of(m.scenario).nested:
        return _why_nested(m, nested.path(m, gfn))
    return (_SHADOW_WHY if shadows.in_use(m) else _PV_WHY)[int(shadows.frame_rights(m)[gfn])]


def _why_nested(m: Machine, steps: list[nested.Step]) -> str:
    """Why a frame with this path through the nested tables is as it is."""
    leaf = steps[-1]
    if nested.waiting(m, steps):
        how = "do_recalc" if m.sys[0].npt else "resolve_misconfig"
        return f"A change is pending on its path: the next access of any kind recomputes its type ({how})."
    if nested.kind(leaf.entry) == xen.P2M_RAM_LOGDIRTY and nested.writable(leaf.entry):
        if leaf.entry & x86.EPT_D:
            return "ram_logdirty, D set: the processor has logged it, its bit is set when the log is flushed."
        return "ram_logdirty, D clear: the next store needs no exit, the processor sets D and logs the address (PML)."
    fetch = "" if leaf.level == 1 or m.sys[0].exec_sp else " A fetch exits: the superpage is not executable."
    if not nested.writable(leaf.entry) and not m.sys[0].log_dirty:
        return f"ram_logdirty, left by a CLEAN while log-dirty was off: the next store exits once, and marks nothing.{fetch}"
    if not nested.writable(leaf.entry):
        more = f", and the {LEAF_SIZES[leaf.level]} leaf is split" if leaf.level > 1 else ""
        return (
            f"ram_logdirty: touched since the last CLEAN, not written. The next store exits once and sets the bit{more}.{fetch}"
        )
    return f"ram_rw: stores run at full speed.{fetch}"
