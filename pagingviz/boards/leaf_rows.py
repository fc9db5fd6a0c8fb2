"""Rows of the inspector's cards about the nested leaf of a frame, and what the next access of the frame would cost."""

from __future__ import annotations

from pagingviz.arch import x86
from pagingviz.arch.sizes import LEAF_SIZES
from pagingviz.machine.machine import Machine
from pagingviz.reading import nested
from pagingviz.story.entry_bits import nested_flags, p2m_type


def leaf_rows(m: Machine, gfn: int) -> list[tuple[str, str]]:
    """[(name, value)] of what the nested tables hold about a guest frame."""
    steps = nested.path(m, gfn)
    leaf, waits = steps[-1], waiting(m, steps)
    stored, real = nested.kind(leaf.entry), nested.effective(m, steps)
    kind = p2m_type(real)
    return [
        (f"{m.scenario.hap.upper()} leaf", f"{LEAF_SIZES[leaf.level]}, L{leaf.level}: {nested_flags(m, leaf.entry)}"),
        ("p2m type", kind if stored == real else f"{kind} (p2m_recalc_type), stored {p2m_type(stored)}"),
        ("recalculation", f"pending at {waits}" if waits else "none pending"),
    ]


def cost_rows(m: Machine, gfn: int) -> list[tuple[str, str]]:
    """[(name, value)] of what touching a guest frame costs now."""
    rows = [("PML", pml_text(m, gfn, nested.path(m, gfn)))] if m.sys[0].pml else []
    who = ", vCPU 0" if m.scenario.vcpus > 1 else ""
    return [
        *rows,
        ("a fetch now" + who, nested.next_access_words(m, gfn, x86.FETCH)),
        ("a read now" + who, nested.next_access_words(m, gfn, x86.READ)),
        ("a store now" + who, nested.next_access_words(m, gfn, x86.WRITE)),
    ]


def waiting(m: Machine, steps: list[nested.Step]) -> str:
    """Levels of a path at which a recalculation waits: "L2, L1"."""
    return ", ".join(f"L{step.level}" for step in nested.waiting(m, steps))


def pml_text(m: Machine, gfn: int, steps: list[nested.Step]) -> str:
    """What the processor's log does with a store to a frame now; steps: its path (reading.nested.path)."""
    s, leaf = m.sys[0], steps[-1]
    holders = [v for v, log in enumerate(m.pml()) if gfn in log]
    if holders:
        return f"logged: waits in the log of vCPU {holders[0]}"
    if not s.ept_ad:
        return "off: the pool lacks a page for each vCPU" if s.log_dirty else "off: no A/D bits while nothing is logged"
    if nested.next_access(m, gfn, x86.WRITE)["pml_logged"]:
        return "D clear: the next store is logged"
    if nested.writable(leaf.entry) and leaf.entry & x86.EPT_D and not nested.waiting(m, steps):
        return "D set: no store is logged any more"
    return "a store exits, so it is not logged"
