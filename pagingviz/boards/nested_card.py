"""The inspector's card of one entry of the nested tables: what it covers, its bits, what is below it, why it is so."""

from __future__ import annotations

import numpy as np

from pagingviz.arch import x86
from pagingviz.arch.sizes import LEAF_SIZES
from pagingviz.boards.board import Card, Plan
from pagingviz.boards.frame_map import frames_in_a_cell
from pagingviz.boards.leaf_rows import pml_text, waiting
from pagingviz.machine.machine import Machine
from pagingviz.reading import nested
from pagingviz.story.entry_bits import memory_type_text, nested_flags, p2m_type
from pagingviz.story.nested_tables import why_entry
from pagingviz.timeline.simulation import Simulation

LEAF_MAP = "ept-npt"  # the board that lights up with an entry of this one
MOST_LIT = 1024  # of its cells; an entry that covers more covers most of it anyway
_BELOW = ("pending", "logged", "writable")


def entry_of(m: Machine, plan: Plan, cell: int) -> tuple[list[nested.Step], int, int, int] | None:
    """(path down to the entry of a cell, first gfn of the entry, its level, entries in the cell); None where none can be.

    Of all entries in the cell the one that it shows, the worst; the path ends above the entry where a larger leaf maps its
    frames.
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


def card_of(sim: Simulation, plan: Plan, cell: int) -> Card | None:
    """The card of a cell; None where no entry can be."""
    m = sim.machine
    found = entry_of(m, plan, cell)
    if found is None:
        return None
    steps, gfn, level, per = found
    step = steps[-1]
    there = step.level == level and bool(nested.present(m, step.entry))
    title = f"{m.scenario.hap.upper()} L{level} entry {gfn >> 9 * (level - 1) & 511}"
    title += f", the worst of {per:,} here" if per > 1 and there else ""
    chain = [f"L{s.level}[{s.index}] of page {s.page:#x}" for s in steps]
    rows, lit = _covers(m, gfn, level), _lit(m, plan, cell, gfn, level, per)
    if not there:
        why = f"No entry: the {LEAF_SIZES[step.level]} leaf at L{step.level} maps this, until {_splits(m)} splits it."
        return Card(title, chain, rows, why, lit=lit)
    rows += [("table page", f"{step.page:#x} of the pool, entry {step.index}"), *_bits(m, level, step.entry)]
    rows.append(("recalculation", _recalculation(m, steps)))
    if nested.is_leaf(level, step.entry):
        chain.append(f"{LEAF_SIZES[level]} leaf → mfn {int(nested.target(step.entry)):#x}")
        rows += [("PML", pml_text(m, gfn, steps))] if m.sys[0].pml else []
    else:
        chain.append(f"table page {int(nested.target(step.entry)):#x}")
        n = nested.below(m, level, step.entry, bool(nested.waiting(m, steps[:-1])))
        rows.append(("leaves below", f"{n['leaves']:,}: " + ", ".join(f"{n[what]:,} {what}" for what in _BELOW)))
    why, tick = why_entry(sim, level, gfn, steps)
    return Card(title, chain, rows, why, tick, lit)


def _splits(m: Machine) -> str:
    """What splits a superpage leaf of this machine."""
    return "a logged store" if m.sys[0].exec_sp else "a logged store or a fetch"


def _covers(m: Machine, gfn: int, level: int) -> list[tuple[str, str]]:
    """Rows about the frames that an entry of `level` from `gfn` on covers."""
    last = min(gfn + (1 << 9 * (level - 1)), m.scenario.frames) - 1
    every = ", all memory" if last - gfn + 1 == m.scenario.frames else ""
    return [
        ("covers", f"gfn {gfn:#x}" + (f" to {last:#x}{every}" if last > gfn else "")),
        ("gpa", f"{gfn << 12:#x}" + (f" to {(last + 1 << 12) - 1:#x}" if last > gfn else "")),
    ]


def _bits(m: Machine, level: int, entry: np.uint64) -> list[tuple[str, str]]:
    """Rows about the bits of an entry."""
    rows = [("bits", nested_flags(m, entry))]
    if not m.sys[0].npt:
        rows += [
            ("emt", memory_type_text(level, entry)),
            ("suppress #VE", "1: an EPT violation exits" if entry & x86.EPT_SVE else "0"),
        ]
    return [*rows, ("p2m type", p2m_type(nested.kind(entry)))] if nested.is_leaf(level, entry) else rows


def _recalculation(m: Machine, steps: list[nested.Step]) -> str:
    """Where on the way to the last of these entries a recalculation waits."""
    if nested.pending(m, steps[-1].entry):
        return "waits in this entry"
    above = waiting(m, steps[:-1])
    return f"waits above, at {above}" if above else "none"


# ---- what lights up with it


def path_cells(m: Machine, plan: Plan, gfn: int, down_to: int = 1) -> list[int]:
    """Cells of the entries on the way of a frame, from the root as far as there are entries, at most to level `down_to`."""
    cell = {level: at + (gfn >> 9 * (level - 1)) // per for level, at, _, per in plan.levels}
    return [cell[step.level] for step in nested.path(m, gfn, min(down_to, 4)) if step.level >= down_to]


def _lit(m: Machine, plan: Plan, cell: int, gfn: int, level: int, per: int) -> dict[str, list[int]]:
    """The cells of the entries above, and of the frames that all entries of the cell cover, unless these are too many."""
    lit = {plan.id: [cell, *path_cells(m, plan, gfn, level + 1)]}
    first = int(plan.key[cell])
    last = min(first + (per << 9 * (level - 1)), m.scenario.frames) - 1
    k = frames_in_a_cell(m.scenario.frames)
    if last // k - first // k + 1 <= MOST_LIT:
        lit[LEAF_MAP] = list(range(first // k, last // k + 1))
    return lit
