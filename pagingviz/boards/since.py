"""Since when a cell has been as it is: the last tick at which it changed, found by going through the past again.

Nothing is kept about a cell while the machine runs. What can change one writes an event, so only ticks with such an event are
looked at, the latest first: between two checkpoints their ticks are found (timeline.past), then the cell is drawn at each of
them. That growing older is no change is said in cell_words.differ.
"""

from __future__ import annotations

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.boards.board import Plan
from pagingviz.boards.cell_words import differ
from pagingviz.boards.registry import HOME, REGISTRY
from pagingviz.boards.scene import Scene
from pagingviz.timeline.past import ticks_with
from pagingviz.timeline.simulation import Simulation

BOARDS = (*HOME, "nested-tables")  # whose cells change with events only
_QUIET = ("NONE", "ACCESS", "TLB_MISS", "GUEST_WALK", "REFERENCE", "PEEK", "TLB_FLUSH", "INVEPT", "IGNORED")  # change no cell
_KINDS = frozenset(int(code) for name, code in ev.CODES.items() if name not in _QUIET)
_WALKS = frozenset({int(ev.TLB_MISS)})  # these set A and D in the entries of nested tables
_AT_ONCE = 32  # candidates whose pictures are drawn from one replay on; four times as many the next time


def last_change(sim: Simulation, plan: Plan, cell: int) -> int:
    """The last tick, up to the present one, at which a cell of a board of BOARDS came to be what it is now; 0: it always was.

    The machine is where it was afterwards.
    """
    here, opened, reached = sim.tick, sim.opened, sim.reached
    sim.seek(here)
    try:
        return _search(sim, plan, cell, here)
    finally:
        sim.seek(here)
        sim.reach_back(reached)
        if opened:
            sim.micro(opened[0])


def _search(sim: Simulation, plan: Plan, cell: int, here: int) -> int:
    end, kinds = here, _KINDS | _WALKS if plan.levels else _KINDS  # plan.levels: of nested tables
    while end:
        start = sim.replayed_from(end)
        ticks = ticks_with(sim, start, end, kinds)
        at_once = _AT_ONCE
        while ticks.size:
            some, ticks = ticks[-at_once:], ticks[:-at_once]
            sim.seek(max(int(some[0]) - 1, 0))
            found, before = 0, _word(sim, plan, cell)
            for tick in some.tolist():
                sim.run(tick - sim.tick)
                word = _word(sim, plan, cell)
                if differ(word, before):
                    found = tick
                before = word
            if found:
                return found
            at_once *= 4
        end = start
    return 0


def _word(sim: Simulation, plan: Plan, cell: int) -> np.ndarray:
    """The word of the cell at the present moment, uint16[]."""
    return REGISTRY[plan.id].cells(Scene(sim), plan).reshape(-1)[cell]
