"""The inspector: one cell decoded, its chain gva -> gpa -> mpa, who else refers to it, and why it is as it is."""

import numpy as np

from pagingviz.arch import x86, xen
from pagingviz.boards import nested_tables
from pagingviz.boards.cells import bit_history, entry_words, head_pages, shadow_rights
from pagingviz.boards.plans import TABLES
from pagingviz.boards.plans import plan as make_plan
from pagingviz.boards.pool_page import flags, pool_page, shadow_place
from pagingviz.boards.several import counts
from pagingviz.machine.guest_tables import is_big, targets
from pagingviz.reading import nested
from pagingviz.scenario.frames import machine_frames
from pagingviz.story.events import MARKED_BY, TYPES
from pagingviz.story.sentences import process_name


def shadowed(m):
    """Whether the hardware runs on shadows now: a PV guest's does while log-dirty is on."""
    return m.scenario.road == "shadow" or (m.scenario.road == "pv" and bool(m.sys[0].log_dirty))


def _hex(x):
    return f"{int(x):#x}"


def inspect(sim, plan, cell):
    """What the card shows for flat cell number `cell`: {title, chain, rows [(name, value)], why, lit {board: [cells]}}.

    With "why_tick" where the tick of the event is known that made it so.
    """
    if not 0 <= cell < plan.width * plan.height:
        return None
    if plan.id == "guest-tables":
        return _entry(sim, plan, cell)
    if plan.id == TABLES:
        return nested_tables.card(sim, plan, cell)
    key = int(plan.key[cell])
    if key < 0:
        return None
    if plan.id == "shadow-pool":
        return pool_page(sim, plan, key, _lit)
    return _gfn(sim, plan, key)


def entry_gva(sim, plan, cell):
    """First address that the entry in cell `cell` of the guest map covers, or None."""
    if not isinstance(cell, int) or isinstance(cell, bool):
        return None
    for e in plan.entries:
        hit = np.flatnonzero(e.cell == cell)
        if hit.size:
            return _address(sim.machine, int(e.page[hit[0]]))
    return None


def _address(m, page):
    """Address of a page, canonical in a 64-bit guest."""
    gva = page << 12
    return gva & (1 << 48) - 1 | (0xFFFF << 48 if gva >> 47 & 1 else 0) if m.sys[0].guest_levels == 4 else gva & 0xFFFFFFFF


def _entry(sim, plan, cell):
    """A guest page-table entry."""
    m = sim.machine
    for e, frame, value in entry_words(m, plan):
        hit = np.flatnonzero(e.cell == cell)
        if not hit.size:
            continue
        i = int(hit[0])
        v, tab, index = value[i], int(frame[i]), int(e.index[i])
        gva = _address(m, int(e.page[i]))
        who = process_name(sim, e.slot) if e.slot >= 0 else "guest table" if e.frame >= 0 else "kernel direct map"
        if e.span is not None and e.span[i] > 1:
            who += f", first of {int(e.span[i])}"
        rows = [("guest entry", flags(v)), ("in table", _table_text(m, tab, index))]
        shadow = _shadow_entry(m, tab, index, e.level) if tab >= 0 else None
        if shadow is not None:
            rows.append(("shadow entry", flags(shadow)))
        big = bool(is_big(e.level, v)) or tab in _PIECES
        chain = [f"gva {gva:#x}", _step(m, e.level, index, v, tab)]
        lit = {plan.id: [cell]}
        if v & x86.P:
            gfn = int(targets(m, v))
            chain += _machine_chain(m, gfn) if gfn < m.scenario.frames else [f"gpa {gfn << 12:#x}, beyond the guest's memory"]
        if v & x86.P and gfn < m.scenario.frames:
            rows += _frame_rows(m, gfn)
            lit |= _lit(sim, gfn)
            lit[plan.id] = sorted({cell, *lit.get(plan.id, [])})
        why = _why_big(m, v, e.level, tab) if big and v & x86.P else _why_entry(m, v, shadow)
        return {"title": f"{who}: L{e.level} entry", "chain": chain, "rows": rows, "why": why, "lit": lit}
    return None


_PIECES = {-2: 2, -3: 3}  # table frame of what lies under a superpage (portray.cells.entry_words), and that one's level


def _table_text(m, tab, index):
    """Which table an entry is in, and the state of that table."""
    if tab in _PIECES:
        return "none: a piece of a superpage"
    if tab < 0:
        return "no table yet"
    stale = ", out of sync" if m.view("info")[tab] & xen.OOS else ""
    return f"gfn {_hex(tab)}, entry {index}{stale}"


def _superpage(m, level):
    """Size of a leaf at `level` in words."""
    return "1 GiB" if level == 3 else "4 MiB" if m.sys[0].guest_levels == 2 else "2 MiB"


def _step(m, level, index, v, tab):
    """The walk's step at this entry."""
    if tab in _PIECES:
        return f"piece {index} of a {_superpage(m, _PIECES[tab])} page"
    size = f" = {_superpage(m, level)} page" if is_big(level, v) else ""
    return f"L{level}[{index}]{size}"


def _why_big(m, v, level, tab):
    """Why a superpage's cell is as it is."""
    size = _superpage(m, _PIECES.get(tab, level))
    if m.scenario.road != "shadow":
        return f"One entry maps {size}: the walk ends here, and no L1 table is needed."
    first = int((v & x86.FRAME_MASK) >> x86.PAGE_BITS) & ~(1023 if m.sys[0].guest_levels == 2 else 511)
    kind = int(xen.FL1_OF[int(m.sys[0].guest_levels)])
    made = np.any((m.view("pkey") == first) & (m.view("ptype") == kind))
    if made:
        return f"The shadow has no {size} pages: Xen splinters this one into an fl1 shadow of 4 KiB entries (make_fl1_shadow)."
    return f"Not touched since the last blow. The first touch makes an fl1 shadow: a whole page for this one {size} entry."


def _shadow_entry(m, gfn, index, level):
    """The shadow's word for entry `index` of guest table `gfn` at `level`, or None when it has no shadow."""
    if not shadowed(m):
        return None
    kind = int(xen.TYPE_OF_LEVEL[int(m.sys[0].guest_levels), level])
    if not kind or gfn >= m.scenario.frames:
        return None
    pages = np.flatnonzero((m.view("pkey") == m.view("p2m")[gfn]) & (m.view("ptype") == kind))
    return m.view("pool")[shadow_place(m, int(pages[0]), index)] if pages.size else None


def _why_entry(m, v, shadow):
    if not v & x86.P:
        return "Not present: the first touch faults and the guest's kernel fills it in."
    if shadow is None:
        return (
            "Its table has no shadow: nothing has been touched through it since the last blow."
            if shadowed(m)
            else "The hardware reads this entry itself."
        )
    if not shadow & x86.P:
        return "Not shadowed yet: the next touch exits, and _sh_propagate computes the shadow entry."
    if v & x86.RW and not shadow & x86.RW:
        gfn = int(targets(m, v))
        if gfn < m.scenario.frames and m.view("info")[gfn] & xen.SHADOW_FLAGS:
            return "The guest may write here, the shadow may not: the frame holds a page table that is shadowed."
        if not v & x86.D:
            return "Read-only in the shadow until the first store, so that the guest's D bit can be set then."
        if m.sys[0].log_dirty:
            return "Read-only in the shadow: log-dirty is on and the frame is not dirty yet. The next store marks it."
    return "The shadow gives what the guest's entry gives."


def _machine_chain(m, gfn):
    """gpa -> mpa of a frame, as this road does it."""
    if m.scenario.road == "bare":
        return [f"gpa = mpa {gfn << 12:#x}"]
    mfn = int(machine_frames(m.scenario, np.array([gfn], np.uint64))[0])
    return [f"gpa {gfn << 12:#x}", f"p2m → mfn {mfn:#x}", f"mpa {mfn << 12:#x}"]


_PGT = ("none", "PGT_l1_page_table", "PGT_l2_page_table", "PGT_l3_page_table", "PGT_l4_page_table", "PGT_writable_page")


def _frame_rows(m, gfn):
    """What the machine knows about a guest frame."""
    road, place = m.scenario.road, int(m.kept.places(gfn))
    stores = f"{int(m.view('ver')[place]):,}" if place < m.kept.count else "none: this work never touches it"
    rows = [("gfn", _hex(gfn)), ("stores so far", stores)]
    if road != "bare":
        rows.append(("dirty bit", "1" if gfn in m.dirty_frames() else "0"))
        last, who, times = (int(part[place]) if place < m.kept.count else 0 for part in bit_history(m))
        if times:
            rows.append(("set last", f"in round {last}, by {MARKED_BY[who]}"))
            rows.append(("set in", f"{times} of {max(int(m.sys[0].dirty_round) + 1, times)} rounds"))
    if road == "pv":
        info = int(m.view("info")[gfn])
        kind = (info & int(xen.PGT_TYPE)) >> int(xen.PGT_SHIFT)
        pinned = ", pinned" if info & int(xen.PGT_PINNED) else ""
        rows.append(("type", f"{_PGT[kind]}, used {info & int(xen.TYPECOUNT)} times{pinned}"))
    if road in ("pv", "shadow"):
        info = int(m.view("info")[gfn])
        if road == "shadow":
            rows.append(("writable mappings", str(info & int(xen.TYPECOUNT))))
        kinds = [TYPES[k] for k in range(1, 13) if info >> (32 + k) & 1]
        rows.append(("shadowed as", ", ".join(kinds) or "-"))
        if info & int(xen.OOS):
            rows.append(("out of sync", "yes: the guest may write to this table"))
        if info & int(xen.DYING):
            rows.append(("dying", "yes: HVMOP_pagetable_dying"))
    if road == "hap":
        rows += nested_tables.leaf_rows(m, gfn)
    if gfn in m.live_tables():
        rows.append(("holds", "a page table"))
    return rows


def _gfn(sim, plan, gfn):
    """A guest frame (EPT/NPT map, dirty bitmap)."""
    m = sim.machine
    rows = _frame_rows(m, gfn)
    if plan.per_cell > 1:
        rows = counts(m, gfn, plan.per_cell) + rows
    if m.scenario.road == "hap":
        rows += nested_tables.cost_rows(m, gfn)
    users = _mapped_by(sim, gfn)
    rows.append(("mapped at", ", ".join(users[:3]) or "by no process"))
    why, tick = _why_frame(m, gfn), None
    if m.scenario.road == "hap":
        steps = nested.path(m, gfn)
        told = next((step for step in steps if nested.pending(m, step.entry)), steps[-1])
        tick = nested_tables.why_entry(sim, told.level, gfn, steps)[1]
    return {
        "title": f"gfn {gfn:#x}",
        "chain": [*users[:1], *_machine_chain(m, gfn)],
        "rows": rows,
        "why": why,
        "why_tick": tick,
        "lit": _lit(sim, gfn),
    }


def _why_frame(m, gfn):
    s, road = m.sys[0], m.scenario.road
    if road == "bare":
        return "No hypervisor: the guest's frames are the machine's frames."
    if s.log_dirty and gfn in m.dirty_frames():
        return "Its bit is set: a store, or an accessed/dirty update of the tables in it, since the last CLEAN."
    if road == "hap":
        steps = nested.path(m, gfn)
        entry = steps[-1].entry
        if any(nested.pending(m, step.entry) for step in steps):
            how = "do_recalc" if m.sys[0].npt else "resolve_misconfig"
            return f"A change is pending on its path: the next access of any kind recomputes its type ({how})."
        if nested.kind(entry) == xen.P2M_RAM_LOGDIRTY and entry & x86.EPT_W:
            if entry & x86.EPT_D:
                return "ram_logdirty, D set: the processor has logged it, its bit is set when the log is flushed."
            return "ram_logdirty, D clear: the next store needs no exit, the processor sets D and logs the address (PML)."
        if not entry & x86.EPT_W:
            leaf = nested_tables.SIZES[steps[-1].level]
            more = f", and the {leaf} leaf is split" if steps[-1].level > 1 else ""
            return f"ram_logdirty: touched since the last CLEAN, not written. The next store exits once and sets the bit{more}."
        return "ram_rw: stores run at full speed."
    rank = int(shadow_rights(m)[gfn])
    if road == "pv" and not s.log_dirty:
        return {
            0: "Nothing uses it as a table, and nothing may write it.",
            2: "Some entry lets the guest write it: it can be no table.",
        }.get(rank, "A validated page table: no entry may let the guest write it.")
    return (
        "No shadow maps it: the next touch exits.",
        "Mapped without write access: the next store exits.",
        "Mapped writable: stores run at full speed.",
        "It holds a shadowed page table: every store to it is trapped.",
        "An L1 table out of sync (sh_unsync): its stores run at full speed until the next flush.",
    )[rank]


def _mapped_by(sim, gfn):
    """Where processes map a frame: ["sqlite gva 0x..."]."""
    out, m = [], sim.machine
    for e, _, value in entry_words(m, make_plan(sim.scenario, sim.work, "guest-tables")):
        if e.level == 1 and e.slot >= 0:
            hit = (value & x86.P != 0) & (targets(m, value) == gfn)
            out += [f"{process_name(sim, e.slot)} gva {int(p) << 12:#x}" for p in e.page[hit]]
    return out


def _lit(sim, gfn):
    """The same frame on every map: {board: [flat cells]}."""
    m, out = sim.machine, {}
    for board in ("ept-npt", "dirty-bitmap"):
        p = make_plan(sim.scenario, sim.work, board)
        cell = gfn // p.per_cell
        if p.key[cell] >= 0:
            out[board] = [cell]
    if m.scenario.road == "hap":
        out[TABLES] = nested_tables.path_cells(m, make_plan(sim.scenario, sim.work, TABLES), gfn)
    p = make_plan(sim.scenario, sim.work, "guest-tables")
    found = []
    for e, _, value in entry_words(m, p):
        if e.slot < 0 and e.level == 1 and e.frame < 0:
            found.append(int(e.cell[np.searchsorted(np.cumsum(e.span), gfn, side="right")]))
        else:
            hit = (value & x86.P != 0) & (targets(m, value) == gfn)
            found += e.cell[hit].tolist()
    out["guest-tables"] = found
    if shadowed(m):
        kind = m.view("ptype").astype(np.intp)
        head = head_pages(m, kind.size)
        key, mine = m.view("pkey")[head], (xen.SH_LEVEL[kind[head]] > 0) & ~np.isin(kind[head], xen.FL1_OF)
        out["shadow-pool"] = np.flatnonzero(mine & (key == m.view("p2m")[gfn])).tolist()
    return out
