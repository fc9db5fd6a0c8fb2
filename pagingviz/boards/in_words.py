"""Grids in words: alternative texts and tables, which boards make of their cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pagingviz.boards.board import Plan
from pagingviz.boards.cell_words import letter_of, letters_of
from pagingviz.boards.palette import (
    ABSENT,
    ABSENT_WORDS,
    AGE_YOUNGEST,
    BLANK,
    DIRTY,
    DIRTY_BEFORE,
    FILL_MASK,
    FREE,
    OUT_OF_SYNC,
    PENDING,
    PINNED,
    READ_ONLY,
    SUPERPAGE,
    TABLE,
    WRITABLE,
)
from pagingviz.reading.log_dirty import switches
from pagingviz.timeline.simulation import Simulation

_FILLS = {
    ABSENT: ABSENT_WORDS,
    FREE: "not present or free",
    READ_ONLY: "read-only",
    WRITABLE: "writable",
    DIRTY: "dirty",
    DIRTY_BEFORE: "dirty in the round before",
    TABLE: "page table",
    OUT_OF_SYNC: "out of sync",
    SUPERPAGE: "superpage",
    PENDING: "pending",
}

# Of a machine without a hypervisor: what a board's caption says, and what stands in the place of its unit.
NO_HYPERVISOR = "bare road: the hardware uses the guest's own tables"
NO_HYPERVISOR_UNIT = "no hypervisor on the bare road"


def switched(sim: Simulation, on: str = "", off: str = "") -> str:
    """ "now shadows come: " at a tick at which log-dirty goes on (`on`) or off (`off`): a board's cells change their meaning.

    Of several switches in one tick the last counts. "" at any other tick, or without words for it.
    """
    found = switches(sim.events())
    said = (on if found[-1] else off) if found else ""
    return f"now {said}: " if said else ""


def by_fill(grid: np.ndarray) -> str:
    """How many cells of each fill a grid of cell words, uint16[height, width], has: "12 pages in use, 3 dirty"."""
    fill, n = np.unique(grid & FILL_MASK, return_counts=True)
    counts = dict(zip(fill.tolist(), n.tolist(), strict=True))
    used = sum(count for code, count in counts.items() if code >= AGE_YOUNGEST)
    parts = [f"{used} pages in use"] if used else []
    return ", ".join([*parts, *(f"{count} {_FILLS[code]}" for code, count in counts.items() if code in _FILLS)])


def by_letter(grid: np.ndarray, plan: Plan) -> list[tuple[int, str]]:
    """[(how many cells of the grid, uint16[height, width], have a letter, its text)] of each letter of the legend."""
    letters = letters_of(grid)
    return [(int(np.count_nonzero(letters == letter)), text) for letter, _, text in plan.legend if letter.strip()]


def alternative(tick: int, plan: Plan, counts: str, caption: str) -> str:
    """The alternative text of a board."""
    return f"{plan.title} at tick {tick}: {counts}. {caption}."


def rows(
    grid: np.ndarray, about: Callable[[int], dict[str, Any]], state: Callable[[int], str] | None = None
) -> list[dict[str, Any]]:
    """A row for each cell that is not empty: its number, what `about` the cell knows, its letter, its state, its edge.

    grid: cell words, uint16[height, width]; state: of a cell word, where its fill does not say enough.
    """
    flat = grid.reshape(-1)
    fill = flat & FILL_MASK
    return [
        {
            "cell": i,
            **about(i),
            "letter": letter_of(flat[i]),
            "state": (state or state_of)(int(flat[i])),
            "thick edge": bool(flat[i] & PINNED),
        }
        for i in np.flatnonzero((fill > FREE) & (fill != BLANK)).tolist()
    ]


def state_of(cell: int) -> str:
    """What the fill of a cell word means."""
    fill = cell & FILL_MASK
    return _FILLS.get(fill, f"in use, age step {fill - AGE_YOUNGEST}")


def state_by_letter(plan: Plan) -> Callable[[int], str]:
    """A function that finds the text of a cell word's letter in the legend of `plan`, else what its fill means."""
    texts = {letter: text for letter, _, text in reversed(plan.legend)}
    return lambda cell: texts.get(letter_of(cell)) or state_of(cell)
