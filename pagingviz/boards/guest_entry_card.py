"""The inspector's card of one entry of the guest's page tables: its chain gva -> gpa -> mpa, and what its shadow has for it."""

from __future__ import annotations

import numpy as np

from pagingviz.arch import x86
from pagingviz.arch.sizes import leaf_size
from pagingviz.boards.board import Card, Plan
from pagingviz.boards.frame_rows import frame_rows, machine_chain
from pagingviz.boards.sheet import CellsOfEntries
from pagingviz.machine.guest_tables import is_big, targets
from pagingviz.machine.machine import Machine
from pagingviz.reading import shadows
from pagingviz.reading.guest_entries import IN_1G, IN_2M, Values, address, read_entries
from pagingviz.scenario.roads import road_of
from pagingviz.story.entry_bits import flags
from pagingviz.story.sentences import process_name
from pagingviz.timeline.simulation import Simulation

_PIECES = {IN_2M: 2, IN_1G: 3}  # instead of a table's frame, for what lies under a superpage: the superpage's level


def card_of(sim: Simulation, plan: Plan, cell: int) -> Card | None:
    """The card of a cell of the board of guest tables; None where there is no entry."""
    for values in read_entries(sim.machine, plan.entries):
        hit = np.flatnonzero(values.entries.cell == cell)
        if hit.size:
            return _card(sim, plan, cell, values, int(hit[0]))
    return None


def _card(sim: Simulation, plan: Plan, cell: int, values: Values[CellsOfEntries], i: int) -> Card:
    """The card of entry number i of `values`."""
    m, e, v = sim.machine, values.entries, values.value[i]
    table, index = int(values.frame[i]), int(e.index[i])
    rows = [("guest entry", flags(v)), ("in table", _table_text(m, table, index))]
    shadow = shadows.shadow_entry(m, table, index, e.level) if table >= 0 else None
    if shadow is not None:
        rows.append(("shadow entry", flags(shadow)))
    chain = [f"gva {address(m, int(e.page[i])):#x}", _step(m, e.level, index, v, table)]
    frame = None
    if v & x86.P:
        gfn = int(targets(m, v))
        if gfn < m.scenario.frames:
            frame = gfn
            chain += machine_chain(m, gfn)
            rows += frame_rows(m, gfn)
        else:
            chain.append(f"gpa {gfn << 12:#x}, beyond the guest's memory")
    big = v & x86.P and (bool(is_big(e.level, v)) or table in _PIECES)
    why = _why_big(m, v, e.level, table) if big else _why_entry(m, v, shadow)
    return Card(f"{_owner(sim, e, i)}: L{e.level} entry", chain, rows, why, lit={plan.id: [cell]}, frame=frame)


def _owner(sim: Simulation, e: CellsOfEntries, i: int) -> str:
    """Whose entry number i of the entries `e` is."""
    who = process_name(sim, e.slot) if e.slot >= 0 else "guest table" if e.frame >= 0 else "kernel direct map"
    return f"{who}, first of {int(e.span[i])}" if e.span[i] > 1 else who


def _table_text(m: Machine, table: int, index: int) -> str:
    """Which table an entry is in, and the state of that table."""
    if table in _PIECES:
        return "none: a piece of a superpage"
    if table < 0:
        return "no table yet"
    stale = ", out of sync" if shadows.out_of_sync(m)[table] else ""
    return f"gfn {table:#x}, entry {index}{stale}"


def _superpage(m: Machine, level: int) -> str:
    """Size of a leaf at `level` in words."""
    return leaf_size(level, int(m.sys[0].guest_levels))


def _step(m: Machine, level: int, index: int, v: np.uint64, table: int) -> str:
    """The walk's step at this entry."""
    if table in _PIECES:
        return f"piece {index} of a {_superpage(m, _PIECES[table])} page"
    size = f" = {_superpage(m, level)} page" if is_big(level, v) else ""
    return f"L{level}[{index}]{size}"


def _why_big(m: Machine, v: np.uint64, level: int, table: int) -> str:
    """Why a superpage's cell is as it is."""
    size = _superpage(m, _PIECES.get(table, level))
    if not road_of(m.scenario).always_shadows:
        return f"One entry maps {size}: the walk ends here, and no L1 table is needed."
    first = int((v & x86.FRAME_MASK) >> x86.PAGE_BITS) & ~(1023 if m.sys[0].guest_levels == 2 else 511)
    if shadows.has_splinters(m, first):
        return f"The shadow has no {size} pages: Xen splinters this one into an fl1 shadow of 4 KiB entries (make_fl1_shadow)."
    pages = "two pages" if m.sys[0].guest_levels == 2 else "a whole page"
    return f"Not touched since shadows last went. The first touch makes an fl1 shadow: {pages} for this one {size} entry."


def _why_entry(m: Machine, v: np.uint64, shadow: np.uint64 | None) -> str:
    """Why an entry is as it is; shadow: the shadow's entry for it, if there is one."""
    if not v & x86.P:
        return "Not present: the first touch faults and the guest's kernel fills it in."
    if shadow is None:
        return (
            "Its table has no shadow: nothing has been touched through it since its shadow went, or ever."
            if shadows.in_use(m)
            else "The hardware reads this entry itself."
        )
    if not shadow & x86.P:
        return "Not shadowed yet: the next touch exits, and _sh_propagate computes the shadow entry."
    if v & x86.RW and not shadow & x86.RW:
        gfn = int(targets(m, v))
        if gfn < m.scenario.frames and shadows.shadowed_tables(m)[gfn]:
            return "The guest may write here, the shadow may not: the frame holds a page table that is shadowed."
        if not v & x86.D:
            return "Read-only in the shadow until the first store, so that the guest's D bit can be set then."
        if m.sys[0].log_dirty and gfn not in m.dirty_frames():
            return "Read-only in the shadow: log-dirty is on and the frame is not dirty yet. The next store marks it."
        return "Read-only in the shadow, as it was filled in: the next store exits, and makes it writable."
    return "The shadow gives what the guest's entry gives."
