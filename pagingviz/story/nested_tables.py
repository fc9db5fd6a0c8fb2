"""Nested tables and their events in words: why an entry is as it is, what the exits cost, what ENABLE and CLEAN wrote."""

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch.sizes import LEAF_SIZES
from pagingviz.arch.words import NONE
from pagingviz.reading import nested
from pagingviz.reading.root_writes import root_writes
from pagingviz.scenario.roads import road_of
from pagingviz.story.counting import counted
from pagingviz.story.events import event_text
from pagingviz.timeline.simulation import Simulation

_RESOLVER = {False: "resolve_misconfig", True: "do_recalc"}  # by whether it is NPT


# ---- why


def why_entry(sim: Simulation, level: int, gfn: int, steps: list[nested.Step]) -> tuple[str, int | None]:
    """(why the entry of `level` on the way of `gfn` is as it is, tick of the event that made it so, or None).

    steps: reading.nested.path of `gfn`, at least down to `level`.
    """
    m = sim.machine
    npt, entry = bool(m.sys[0].npt), steps[4 - level].entry
    events, complete = sim.past_events()
    found = nested.writes(events, level, gfn, nested.path(m, gfn)[-1].level, npt)
    pending = bool(nested.pending(m, entry))
    if found:
        return _written_by(found[-1], level, entry, pending, npt), int(found[-1]["tick"])
    if level == 4 and pending:
        last = {name: int(m.sys[0].last_tick[int(ev.CODES[name])]) for name in ("ENABLE", "CLEAN", "OFF")}
        name = max(last, key=lambda name: last[name])
        return _root_marked(name, npt), last[name]
    if complete:
        return "As the domain builder made it: no event has written it since (p2m_set_entry).", None
    return f"It became so before the last {int(ev.RING):,} events, which are all that is kept.", None


def _written_by(e: np.void, level: int, entry: np.uint64, pending: bool, npt: bool) -> str:
    """What the event `e` did to the entry of `level`, which it wrote last."""
    name, other = ev.NAMES[int(e["kind"])], int(e["gfn"]) if e["gfn"] != NONE else -1
    if name == "OFF" and level == 1:
        return "Its address was in the log: OFF flushed the log, made it ram_rw and set no bit (hap_disable_log_dirty)."
    if name in ("ENABLE", "CLEAN", "OFF"):
        return _root_marked(name, npt)
    if name in ("EPT_MISCONFIG", "NPF_RECALC"):
        return _resolved_at(other, level, entry, pending, npt)
    if name in ("P2M_SPLIT", "P2M_SHATTER"):
        piece = "It is a piece of the leaf that was split here"
        table = "It was made by the split of the leaf here, and leads to its pieces"
        made = "Its leaf was split" if level == int(e["level"]) else piece if nested.is_leaf(level, entry) else table
        source = "p2m_next_level" if npt else "ept_split_super_page"
        if name == "P2M_SHATTER":
            return f"{made}: a fetch needs a leaf that is executable, and superpages are not ({source})."
        return f"{made}: a store to a logged frame needs a 4 KiB leaf ({source})."
    if name == "MARK_DIRTY":
        return "Its address was in the log: the flush set its bit and made it ram_rw (ept_vcpu_flush_pml_buffer)."
    return f"{event_text(e)}: its bit was set first, then its leaf became ram_rw (hvm_hap_nested_page_fault)."


def _resolved_at(gfn: int, level: int, entry: np.uint64, pending: bool, npt: bool) -> str:
    """What an exit for a pending change at frame `gfn` did to the entry of `level`."""
    how = f"{'NPF' if npt else 'EPT misconfiguration'} at gfn {gfn:#x}"
    if pending:
        return (
            f"{how}: the mark one level up was taken away and put into all entries of this table; "
            f"this one has not been passed since ({_RESOLVER[npt]})."
        )
    if not nested.is_leaf(level, entry):
        return f"{how}: its mark was taken away and put one level down, where the guest walks ({_RESOLVER[npt]})."
    both = "" if npt or level > 1 else ", with all leaves of its table"
    return f"{how}: its type was computed anew{both}: {nested.KINDS[nested.kind(entry)]} ({_RESOLVER[npt]})."


def _root_marked(name: str, npt: bool) -> str:
    source = "p2m_pt_change_entry_type_global" if npt else "ept_invalidate_emt_subtree"
    return f"{name} marked the entries of the root, and nothing below them ({source})."


# ---- tables of the present state


_EPT_CAUSES = (  # counter, cause, what the hypervisor does
    ("ept_misconfig", "EPT misconfiguration (49)", "carries out what is pending on the way, of a 4 KiB table all 512 leaves"),
    ("ept_violation", "EPT violation (48)", "store: marks the frame dirty, makes its leaf ram_rw; fetch: splits the superpage"),
    ("pml_full", "page-modification log full (62)", "marks the 512 frames of the log"),
    ("p2m_split", "superpages split", "within a violation: log-dirty works on 4 KiB"),
    ("p2m_shatter", "of these by a fetch", "superpages are not executable (CVE-2018-12207)"),
    ("invept", "INVEPT", "before the guest goes on: no TLB knows its translations any more"),
)
_NPT_CAUSES = (
    ("npf_recalc", "NPF, change pending", "carries out what is pending on the way, of the leaves only this one"),
    ("npf_write", "NPF, store", "marks the frame dirty, makes its leaf ram_rw"),
    ("p2m_split", "superpages split", "within an NPF of a store: log-dirty works on 4 KiB"),
)


def exits_and_pages(sim: Simulation) -> list[tuple[str, list[dict[str, str]], str]]:
    """Tables about the nested tables: [(heading, rows, note)]; [] on a road without them."""
    m, s = sim.machine, sim.machine.sys[0]
    if not road_of(sim.scenario).nested:
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
            "one entry covers": LEAF_SIZES[level],
        }
        for level, (pages, n, waits) in found.items()
    ]
    logs = nested.log_pages(m).size
    tree = int(s.p2m_pages) - sum(pages for pages, _, _ in found.values()) - logs
    more = f", the vCPUs' logs take {logs}" if logs else ""
    note = f"The log-dirty bitmap's tree takes {tree:,} more{more}; "
    note += f"{counted(int(s.free_pages), 'page of the pool is', 'pages of the pool are')} free."
    return [("Exits by cause", exits, _entries_written(sim, found)), ("Pages of the HAP pool, by level", levels, note)]


def _entries_written(sim: Simulation, found: dict[int, tuple[int, int, int]]) -> str:
    """How many entries ENABLE and the last CLEAN wrote, and that it does not depend on the size of RAM."""
    roots, all_ = found[4][1], sum(n for _, n, _ in found.values())
    parts = []
    for name, (tick, n) in root_writes(sim).items():
        parts.append(f"{name} at tick {tick:,}: {f'{n:,}' if n is not None else f'at most {roots:,}'}")
    written = "; ".join(parts) or "Log-dirty has not been switched on yet"
    return (
        f"Entries written: {written}. "
        f"Of all {counted(all_, 'entry', 'entries')} only the root's can be, {roots:,} here: one for "
        "each 512 GiB, whatever the RAM below."
    )
