"""Words about the present state: status line, captions, alternative text, tables, marks of the scrubber."""

import numpy as np

from pagingviz.arch import xen
from pagingviz.arch.words import NONE
from pagingviz.boards.cells import cells
from pagingviz.boards.palette import ABSENT_WORDS, FILL_MASK, LETTER_MASK, LETTER_SHIFT, LETTERS, PINNED
from pagingviz.reading import nested
from pagingviz.story.events import TYPES, frame_text
from pagingviz.story.sentences import process_name, running


def status(sim):
    """The status line: [(label, value)], all text."""
    s, sc = sim.machine.sys[0], sim.scenario
    out = [
        ("road", f"hap ({sc.hap.upper()})" if sc.road == "hap" else sc.road),
        ("log-dirty", f"on, round {int(s.dirty_round)}" if s.log_dirty else "off"),
        ("tick", f"{sim.tick:,}"),
        ("seed", str(sc.seed)),
    ]
    if sc.road == "pv":
        updates = int(s.num_page_updates + s.calls_to_update_va + s.ptwr_emulations)
        out.append(("table updates", f"{updates:,}"))
    if sc.road == "shadow" or (sc.road == "pv" and s.log_dirty):
        out.append(("exits", f"#PF {int(s.exits_page_fault):,} · CR3 {int(s.exits_cr3):,} · INVLPG {int(s.exits_invlpg):,}"))
        out.append(("pool", f"{int(s.total_pages - s.free_pages + s.p2m_pages)} of {int(s.total_pages + s.p2m_pages)}"))
    elif sc.road == "hap":
        exits = (("misconfig", s.ept_misconfig), ("violation", s.ept_violation))
        exits = (("NPF, pending", s.npf_recalc), ("NPF, write", s.npf_write)) if s.npt else exits
        exits += (("log full", s.pml_full),) if s.pml else ()
        out.append(("exits", " · ".join(f"{name} {int(n):,}" for name, n in exits)))
        if s.pml:
            out.append(("PML", " · ".join(f"{len(log)} of 512" for log in sim.machine.pml())))
    else:
        out.append(("guest #PF", f"{int(s.guest_faults):,}"))
    if sc.road != "bare":
        out.append(("dirty", f"{int(s.dirty_count):,}" if s.log_dirty else "-"))
    rule = "" if sim.opened else sim.audit()
    out.append(("rules", rule or "hold ✓"))
    return out


def caption(sim, plan):
    """One line under a map's title, about its present state."""
    s, sc = sim.machine.sys[0], sim.scenario
    if sc.road == "bare" and plan.id != "guest-tables":
        return "bare road: the hardware uses the guest's own tables"
    if plan.id == "guest-tables":
        n = sim.machine.live_tables().size
        info = sim.machine.view("info")
        shadowed, stale = (int(np.count_nonzero(info & bits)) for bits in (xen.SHADOW_FLAGS, xen.OOS))
        tail = f", {shadowed} frame{'s' if shadowed != 1 else ''} shadowed" if sc.road in ("pv", "shadow") else ""
        tail += f", {stale} out of sync" if stale else ""
        if not sim.work.processes:
            return f"CR3 gfn {frame_text(s.cr3[0])} · {n} tables{tail}"
        who = " · ".join(f"{running(sim, v)}, CR3 gfn {frame_text(s.cr3[v])}" for v in range(sc.vcpus))
        return f"running: {who} · {n} tables{tail}"
    if plan.id == "shadow-pool":
        if sc.road == "pv" and not s.log_dirty:
            left = f"; {int(s.total_pages)} pages of the bitmap's tree are left" if s.total_pages else ""
            return f"no shadows: they come with log-dirty{left}"
        if sc.road == "hap":
            split = f"{int(s.p2m_split)} superpage{'s' if s.p2m_split != 1 else ''} split"
            return f"{int(s.p2m_pages)} pages in use, {int(s.free_pages)} free · {split}"
        total = int(s.total_pages + s.p2m_pages)
        toy = ", a toy: real Xen's floor is 128 a vCPU" if total < 128 * sc.vcpus else ""
        return f"{int(s.free_pages)} of {total} pages free{toy} · recycled {int(s.shadow_prealloc_1)} times"
    if plan.id == "ept-npt":
        if sc.road == "hap":
            if s.npt:
                return f"NPF exits: {int(s.npf_write):,} by stores · {int(s.npf_recalc):,} by pending changes"
            full = f" · log full {int(s.pml_full):,}" if s.pml else ""
            return f"EPT violations {int(s.ept_violation):,} · misconfigurations {int(s.ept_misconfig):,}{full}"
        if sc.road == "pv" and not s.log_dirty:
            return "no EPT on this road, and no shadows now: the types of the guest's frames"
        return "no EPT on this road: how the shadows map each frame"
    if plan.id == "nested-tables":
        if sc.road == "pv":
            return "no nested tables on this road: a PV guest's own tables hold machine frames"
        if sc.road == "shadow":
            return "no nested tables on this road: a shadow leads from the guest's address to the machine's in one go"
        found = nested.counts(sim.machine)
        waits = " · ".join(f"L{level} {waiting:,} of {n:,}" for level, (_, n, waiting) in found.items())
        return f"{sum(pages for pages, _, _ in found.values()):,} table pages · pending: {waits}"
    if plan.bits in ("often", "who"):
        rounds = int(s.dirty_round) + 1
        what = f"over {rounds} round{'s' if rounds > 1 else ''}" if plan.bits == "often" else "of all rounds"
        return f"{what} · thick edge: set now, {int(s.dirty_count):,} bits" if s.log_dirty else f"{what} · log-dirty is off now"
    if not s.log_dirty:
        return "log-dirty is off: no bitmap"
    tree = "its tree takes 4 pages or more of the pool" if s.tree_root != NONE else "its tree is not allocated yet"
    return f"{int(s.dirty_count):,} bits set in round {int(s.dirty_round)} · {tree}"


_FILLS = {
    0: ABSENT_WORDS,
    1: "not present or free",
    2: "read-only",
    3: "writable",
    4: "dirty",
    5: "dirty in the round before",
    6: "page table",
    7: "out of sync",
    8: "superpage",
    9: "pending",
}


def alt(sim, plan):
    """Alternative text: what somebody who cannot see the map should know, with numbers."""
    grid = cells(sim, plan)
    fill, n = np.unique(grid & FILL_MASK, return_counts=True)
    if plan.bits in ("often", "who"):
        letters = np.array(list(LETTERS))[grid >> LETTER_SHIFT & LETTER_MASK]
        said = [f"{int(np.count_nonzero(letters == letter))} {text}" for letter, _, text in plan.legend]
        return f"{plan.title} at tick {sim.tick}: {', '.join(said)}. {caption(sim, plan)}."
    parts, used = [], 0
    for code, count in zip(fill.tolist(), n.tolist(), strict=True):
        if code in _FILLS:
            parts.append(f"{count} {_FILLS[code]}")
        elif code >= 16:
            used += count
    if used:
        parts.insert(0, f"{used} pages in use")
    return f"{plan.title} at tick {sim.tick}: {', '.join(parts)}. {caption(sim, plan)}."


def more(sim, plans):
    """What a frame's record carries beside what every page has: nothing."""
    return {}


def table(sim, plan):
    """The map as rows: one dict a cell that shows something other than empty, with its letter, state and key."""
    grid = cells(sim, plan).reshape(-1)
    rows = []
    where = {}
    for e in plan.entries:
        for cell, page in zip(e.cell.tolist(), e.page.tolist(), strict=True):
            who = process_name(sim, e.slot) if e.slot >= 0 else "kernel"
            where[cell] = {"process": who, "level": e.level, "gva": f"{page << 12 & (1 << 48) - 1:#x}"}
    for level, at, n, per in plan.levels:
        span = per << 9 * (level - 1)
        for cell, first in enumerate(plan.key[at : at + n].tolist(), at):
            last = min(first + span, sim.scenario.frames) - 1
            where[cell] = {"level": level, "entries": per, "first gfn": hex(first), "last gfn": hex(last)}
    for i in np.flatnonzero((grid & FILL_MASK) > 1):
        code = int(grid[i])
        if code & FILL_MASK == 10:
            continue
        row = where.get(int(i)) or {"page" if plan.id == "shadow-pool" else "gfn": hex(int(plan.key[i]))}
        fill = code & FILL_MASK
        state = _FILLS.get(fill, f"in use, age step {fill - 16}")
        if plan.bits in ("often", "who"):
            letter = LETTERS[code >> LETTER_SHIFT & LETTER_MASK]
            state = next((text for known, _, text in plan.legend if known == letter), state)
        if plan.id == "shadow-pool":
            row = row | {"type": TYPES.get(int(sim.machine.view("ptype")[int(plan.key[i])]), "")}
        rows.append(
            {
                "cell": int(i),
                **row,
                "letter": LETTERS[code >> LETTER_SHIFT & LETTER_MASK],
                "state": state,
                "thick edge": bool(code & PINNED),
            }
        )
    return rows


def marks(sim, most=80):
    """Ticks worth a mark on the scrubber: commands of the journal and automatic CLEANs, [[tick, kind]], at most `most`."""
    out = [[c.tick, c.name] for c in sim.journal if c.tick <= sim.furthest]
    every = sim.scenario.clean_every
    if every and any(c.name == "enable" for c in sim.journal):
        n = sim.furthest // every
        out += [[k * every, "clean"] for k in range(1, n + 1, max(1, n // most))]
    if sim.migration:
        out += [[r.tick, "round"] for r in sim.migration.state.rounds[-most:]]
    return sorted(out)[:most]
