"""Nested tables in words: the inspector's card of an entry, its rows about a frame, and what the page says below its maps."""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import x86
from pagingviz.arch.words import NONE, U
from pagingviz.boards.plans import plan as make_plan
from pagingviz.boards.pool_page import flags
from pagingviz.reading import nested
from pagingviz.story.events import event_text

MOST_LIT = 1024  # cells of the leaf map that an entry lights up; above it covers most of the map anyway
SIZES = {1: "4 KiB", 2: "2 MiB", 3: "1 GiB", 4: "512 GiB"}
_EMT = {0: "UC", 1: "WC", 4: "WT", 5: "WP", 6: "WB", 7: "poison"}
_BELOW = ("pending", "logged", "writable")
_RESOLVER = {False: "resolve_misconfig", True: "do_recalc"}


def ept_flags(entry):
    """An EPT entry's rights and bits in words."""
    rwx = "".join(c if entry & bit else "-" for bit, c in ((x86.EPT_R, "r"), (x86.EPT_W, "w"), (x86.EPT_X, "x")))
    names = ((x86.EPT_SP, "sp"), (x86.EPT_A, "a"), (x86.EPT_D, "d"), (x86.EPT_RECALC, "recalc"), (x86.EPT_SVE, "sve"))
    return " ".join([rwx, *(name for bit, name in names if entry & bit)])


def entry_flags(m, level, entry):
    """Everything that an entry of EPT or NPT says but where it leads, in one line."""
    words = flags(entry) if m.sys[0].npt else f"{ept_flags(entry)} emt={int((entry & x86.EPT_EMT) >> U(3))}"
    return f"{words} {nested.KINDS.get(nested.kind(entry), '?')}" if nested.is_leaf(level, entry) else words


def _bits(m, level, entry):
    """Rows about the bits of an entry."""
    if m.sys[0].npt:
        rows = [("bits", flags(entry))]
    else:
        emt = int((entry & x86.EPT_EMT) >> U(3))
        table = not nested.is_leaf(level, entry) and emt == 0
        rows = [
            ("bits", ept_flags(entry)),
            ("emt", "0: a table" if table else f"{emt} {_EMT.get(emt, 'reserved')}"),
            ("suppress #VE", "1: an EPT violation exits" if entry & x86.EPT_SVE else "0"),
        ]
    if nested.is_leaf(level, entry):
        rows.append(("p2m type", nested.KINDS.get(nested.kind(entry), "?")))
    return rows


def leaf_rows(m, gfn):
    """What the nested tables say about a guest frame: [(name, value)]."""
    steps = nested.path(m, gfn)
    leaf, waits = steps[-1], _waiting(m, steps)
    stored, real = nested.kind(leaf.entry), nested.effective(m, steps)
    kind = nested.KINDS.get(real, "?")
    return [
        (f"{m.scenario.hap.upper()} leaf", f"{SIZES[leaf.level]}, L{leaf.level}: {_rights(m, leaf.entry)}"),
        ("p2m type", kind if stored == real else f"{kind} (p2m_recalc_type), stored {nested.KINDS.get(stored, '?')}"),
        ("recalculation", f"pending at {waits}" if waits else "none pending"),
    ]


def cost_rows(m, gfn):
    """What touching a guest frame costs now: [(name, value)]."""
    rows = [("PML", pml_words(m, gfn, nested.path(m, gfn)))] if m.sys[0].pml else []
    who = ", vCPU 0" if m.scenario.vcpus > 1 else ""
    return [
        *rows,
        ("a read now" + who, nested.next_access_words(m, gfn, False)),
        ("a store now" + who, nested.next_access_words(m, gfn, True)),
    ]


def _waiting(m, steps):
    """Levels of a path at which a recalculation waits: "L2, L1"."""
    return ", ".join(f"L{step.level}" for step in steps if nested.pending(m, step.entry))


def _rights(m, entry):
    """The bits of a leaf without its type."""
    return flags(entry) if m.sys[0].npt else ept_flags(entry)


def pml_words(m, gfn, steps):
    """What the processor's log does with a store to a frame now."""
    s, leaf = m.sys[0], steps[-1]
    held = [v for v, log in enumerate(m.pml()) if gfn in log]
    if held:
        return f"logged: waits in the log of vCPU {held[0]}"
    if not s.ept_ad:
        return "off: no A/D bits while nothing is logged"
    if nested.next_access(m, gfn, True)["pml_logged"]:
        return "D clear: the next store is logged"
    if leaf.entry & x86.EPT_W and leaf.entry & x86.EPT_D and not _waiting(m, steps):
        return "D set: no store is logged any more"
    return "a store exits, so it is not logged"


# ---- a cell of the board


def entry_of(m, plan, cell):
    """(path down to the entry of a cell, first gfn of the entry, its level, entries in the cell), or None.

    Of several entries the one that the cell shows, the worst; the path ends above the entry where a larger leaf stands in its
    place.
    """
    for level, at, n, per in plan.levels:
        if at <= cell < at + n:
            first = int(plan.key[cell])
            if per > 1:
                page, start = nested.tables(m)[level]
                number = (start >> 9 * (level - 1))[:, None] + np.arange(512)
                code = nested.codes(m, level, m.view("pool").reshape(-1, 512)[page])
                code[number // per != (first >> 9 * (level - 1)) // per] = nested.NONE
                if code.any():
                    first = int(number.flat[int(code.argmax())]) << 9 * (level - 1)
            return nested.path(m, first, level), first, level, per
    return None


def card(sim, plan, cell):
    """What the inspector shows for a cell of the nested tables: {title, chain, rows, why, why_tick, lit}."""
    m = sim.machine
    found = entry_of(m, plan, cell) if plan.road == "hap" else None
    if found is None:
        return None
    steps, gfn, level, per = found
    last = min(gfn + (1 << 9 * (level - 1)), m.scenario.frames) - 1
    step = steps[-1]
    there = step.level == level and bool(nested.present(m, step.entry))
    title = f"{m.scenario.hap.upper()} L{level} entry {gfn >> 9 * (level - 1) & 511}"
    title += f", the worst of {per:,} here" if per > 1 and there else ""
    chain = [f"L{s.level}[{s.index}] of page {s.page:#x}" for s in steps]
    every = ", all memory" if last - gfn + 1 == m.scenario.frames else ""
    rows = [
        ("covers", f"gfn {gfn:#x}" + (f" to {last:#x}{every}" if last > gfn else "")),
        ("gpa", f"{gfn << 12:#x}" + (f" to {(last + 1 << 12) - 1:#x}" if last > gfn else "")),
    ]
    start = int(plan.key[cell])
    lit = {plan.id: [cell, *path_cells(m, plan, gfn, level + 1)]}
    lit |= leaf_cells(sim, start, min(start + (per << 9 * (level - 1)), m.scenario.frames) - 1)
    if not there:
        why = f"No entry: the {SIZES[step.level]} leaf at L{step.level} maps this, until a logged store splits it."
        return {"title": title, "chain": chain, "rows": rows, "why": why, "lit": lit}
    rows += [("table page", f"{step.page:#x} of the pool, entry {step.index}"), *_bits(m, level, step.entry)]
    above = any(nested.pending(m, s.entry) for s in steps[:-1])
    rows.append(
        (
            "recalculation",
            "waits in this entry"
            if nested.pending(m, step.entry)
            else f"waits above, at {_waiting(m, steps[:-1])}"
            if above
            else "none",
        )
    )
    if nested.is_leaf(level, step.entry):
        chain.append(f"{SIZES[level]} leaf → mfn {int(nested.target(step.entry)):#x}")
        if m.sys[0].pml:
            rows.append(("PML", pml_words(m, gfn, steps)))
    else:
        chain.append(f"table page {int(nested.target(step.entry)):#x}")
        n = nested.below(m, level, step.entry, above)
        rows.append(("leaves below", f"{n['leaves']:,}: " + ", ".join(f"{n[what]:,} {what}" for what in _BELOW)))
    why, tick = why_entry(sim, level, gfn, steps)
    return {"title": title, "chain": chain, "rows": rows, "why": why, "why_tick": tick, "lit": lit}


def path_cells(m, plan, gfn, down_to=1):
    """Cells of the entries on the way of a frame, from the root as far as there are entries."""
    cell = {level: at + (gfn >> 9 * (level - 1)) // per for level, at, _, per in plan.levels}
    return [cell[step.level] for step in nested.path(m, gfn, min(down_to, 4)) if step.level >= down_to]


def leaf_cells(sim, first, last):
    """The cells of the leaf map for frames first..last, when they are not too many to be worth lighting up."""
    per = make_plan(sim.scenario, sim.work, "ept-npt").per_cell
    n = last // per - first // per + 1
    return {"ept-npt": list(range(first // per, last // per + 1))} if n <= MOST_LIT else {}


# ---- why


def why_entry(sim, level, gfn, steps):
    """(why the entry of `level` on the way of a frame is as it is, tick of the event that made it so, or None)."""
    m = sim.machine
    npt, entry = bool(m.sys[0].npt), steps[level * -1 + 4].entry
    events, complete = sim.past_events()
    found = nested.writes(events, level, gfn, nested.path(m, gfn)[-1].level, npt)
    pending = bool(nested.pending(m, entry))
    if not found:
        if level == 4 and pending:
            last = {name: int(m.sys[0].last_tick[int(ev.CODES[name])]) for name in ("ENABLE", "CLEAN", "OFF")}
            name = max(last, key=last.get)
            return _why_root(name, npt), last[name]
        if complete:
            return "As the domain builder made it: no event has written it since (p2m_set_entry).", None
        return f"It became so before the last {int(ev.RING):,} events, which are all that is kept.", None
    e = found[-1]
    name, tick, other = ev.NAMES[int(e["kind"])], int(e["tick"]), int(e["gfn"]) if e["gfn"] != NONE else -1
    how = f"{'NPF' if npt else 'EPT misconfiguration'} at gfn {other:#x}"
    if name in ("ENABLE", "CLEAN", "OFF"):
        return _why_root(name, npt), tick
    if name in ("EPT_MISCONFIG", "NPF_RECALC"):
        if pending:
            return (
                f"{how}: the mark one level up was taken away and put into all entries of this table; "
                f"this one has not been passed since ({_RESOLVER[npt]})."
            ), tick
        if not nested.is_leaf(level, entry):
            return f"{how}: its mark was taken away and put one level down, where the guest walks ({_RESOLVER[npt]}).", tick
        both = "" if npt or level > 1 else ", with all leaves of its table"
        return f"{how}: its type was computed anew{both}: {nested.KINDS[nested.kind(entry)]} ({_RESOLVER[npt]}).", tick
    if name == "P2M_SPLIT":
        made = "It is a piece of the leaf that was split here" if level < int(e["level"]) else "Its leaf was split"
        source = "p2m_next_level" if npt else "ept_split_super_page"
        return f"{made}: a store to a logged frame needs a 4 KiB leaf ({source}).", tick
    if name == "MARK_DIRTY":
        return "Its address was in the log: the flush set its bit and made it ram_rw (ept_vcpu_flush_pml_buffer).", tick
    return f"{event_text(e)}: its bit was set first, then its leaf became ram_rw (hvm_hap_nested_page_fault).", tick


def _why_root(name, npt):
    source = "p2m_pt_change_entry_type_global" if npt else "ept_invalidate_emt_subtree"
    return f"{name} marked the entries of the root, and nothing below them ({source})."


# ---- below the maps


def root_writes(sim):
    """{"ENABLE": (tick of the last one, root entries it wrote or None when the record does not tell), "CLEAN": the same}."""
    m, out = sim.machine, {}
    events, complete = sim.past_events()
    entries = m.view("pool").reshape(-1, 512)[int(m.sys[0].hap_root)]
    used = np.flatnonzero(nested.present(m, entries)).tolist()
    for name in ("ENABLE", "CLEAN"):
        tick = int(m.sys[0].last_tick[int(ev.CODES[name])])
        if not tick and not np.any(events["kind"] == ev.CODES[name]):
            continue
        at = np.flatnonzero((events["kind"] == ev.CODES[name]) & (events["tick"] == tick))
        if not at.size:  # the first ENABLE of all finds no mark, whenever it was
            out[name] = tick, len(used) if name == "ENABLE" and (m.sys[0].enables, m.sys[0].offs) == (1, 0) else None
        elif name == "ENABLE":
            out[name] = tick, int(events[at[-1]]["detail"])
        else:
            told = [_written(events[: at[-1] + 1], entry, complete, bool(m.sys[0].npt)) for entry in used]
            out[name] = tick, None if None in told else sum(told)
    return out


def _written(events, entry, complete, npt):
    """Whether the CLEAN that ends these events wrote entry number `entry` of the root; None when the record cannot tell."""
    before = events[:-1]
    passed = np.isin(before["kind"], _PASSES) & (before["gfn"] >> U(27) == entry)
    if not complete and not np.any(passed | np.isin(before["kind"], _POISONS)):
        return None
    told = nested.writes(events, 4, entry << 27, 1, npt)
    return bool(told) and told[-1] == events[-1]


_POISONS = tuple(ev.CODES[name] for name in ("ENABLE", "CLEAN", "OFF"))
_PASSES = ev.CODES["EPT_MISCONFIG"], ev.CODES["NPF_RECALC"]


def below_maps(sim):
    """Tables under the maps: [(heading, [row dicts], note)]. None of it on a road without nested tables."""
    m, s = sim.machine, sim.machine.sys[0]
    if sim.scenario.road != "hap":
        return []
    causes = _NPT_CAUSES if s.npt else _EPT_CAUSES
    exits = [
        {"cause": words, "counter": name, "times": f"{int(s[name]):,}", "the hypervisor": what}
        for name, words, what in causes
        if name != "pml_full" or s.pml
    ]
    found = nested.counts(m)
    levels = [
        {
            "level": f"L{level}",
            "pool pages": f"{pages:,}",
            "entries": f"{n:,}",
            "pending": f"{waits:,}",
            "one entry covers": SIZES[level],
        }
        for level, (pages, n, waits) in found.items()
    ]
    tree = int(s.p2m_pages) - sum(pages for pages, _, _ in found.values())
    note = f"The log-dirty bitmap's tree takes {tree:,} more; {int(s.free_pages):,} pages of the pool are free."
    return [("Exits by cause", exits, _touched(sim, found)), ("Pages of the HAP pool, by level", levels, note)]


_EPT_CAUSES = (
    ("ept_misconfig", "EPT misconfiguration (49)", "carries out what is pending on the way, of a 4 KiB table all 512 leaves"),
    ("ept_violation", "EPT violation (48)", "marks the frame dirty, makes its leaf ram_rw"),
    ("pml_full", "page-modification log full (62)", "marks the 512 frames of the log"),
    ("p2m_split", "superpages split", "within a violation: log-dirty works on 4 KiB"),
)
_NPT_CAUSES = (
    ("npf_recalc", "NPF, change pending", "carries out what is pending on the way, of the leaves only this one"),
    ("npf_write", "NPF, store", "marks the frame dirty, makes its leaf ram_rw"),
    ("p2m_split", "superpages split", "within an NPF of a store: log-dirty works on 4 KiB"),
)


def _touched(sim, found):
    """How many entries ENABLE and the last CLEAN wrote, and that it does not depend on the size of RAM."""
    roots, all_ = found[4][1], sum(n for _, n, _ in found.values())
    parts = []
    for name, (tick, n) in root_writes(sim).items():
        told = f"{n:,}" if n is not None else f"at most {roots:,}"
        parts.append(f"{name} at tick {tick:,}: {told}")
    said = "; ".join(parts) or "Log-dirty has not been switched on yet"
    return (
        f"Entries written: {said}. Of all {all_:,} entries only the root's can be, {roots:,} here: one for each 512 GiB, "
        "whatever the RAM below."
    )
