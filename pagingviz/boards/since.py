"""Since when a cell has been as it is: the last moment at which it changed, found by going through the past again.

Nothing is kept about a cell while the machine runs. What can change one writes an event, so only ticks with such an event are
looked at, the latest first: between two checkpoints their ticks are found (timeline.past), then the cell is drawn at each of
them, and after each event of the tick that is found. That growing older is no change is said in cell_words.differ.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pagingviz.boards.board import Plan
from pagingviz.boards.can_change import CHANGES
from pagingviz.boards.cell_words import differ
from pagingviz.boards.registry import REGISTRY
from pagingviz.boards.scene import Scene
from pagingviz.boards.sheet import on_the_way
from pagingviz.reading.causes import Moment, Search
from pagingviz.timeline.past import ticks_with
from pagingviz.timeline.simulation import Simulation

BOARDS = tuple(CHANGES)  # whose cells change with events only
_AT_ONCE = 32  # candidates whose pictures are drawn from one replay on; four times as many the next time


def last_change(sim: Simulation, plan: Plan, cell: int) -> Search[Moment]:
    """The first moment since when a cell of a board of BOARDS has been, without a break, what it is at the present moment.

    A search: it yields the ticks that it has come back to. The moment is of tick 0 when the cell never was anything else. The
    machine is moved.
    """
    end, changes = sim.tick, CHANGES[plan.id]
    plan = replace(plan, entries=on_the_way(plan.entries, cell))
    if sim.opened:
        now = _word(sim, plan, cell)
        moment = yield from _within(sim, plan, cell, *sim.opened)
        sim.seek(end - 1)
        if moment.k > 1 or differ(_word(sim, plan, cell), now):
            return moment
        end -= 1
    while end:
        yield end
        start = sim.replayed_from(end)
        ticks = ticks_with(sim, start, end, changes.kinds, lambda events: changes.of(events, plan, cell))
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
                sim.seek(found)
                n = sim.events().size
                return (yield from _within(sim, plan, cell, n, n))
            at_once *= 4
        end = start
    return Moment(0, 0, 0)


def _within(sim: Simulation, plan: Plan, cell: int, k: int, n: int) -> Search[Moment]:
    """The moment of the present tick from which on the cell is what it is just after the k-th of its n events."""
    tick, last = sim.tick, _word(sim, plan, cell)
    while k > 1:
        sim.micro(k - 1)
        if differ(_word(sim, plan, cell), last):
            break
        k -= 1
        if k % _AT_ONCE == 0:
            yield tick
    return Moment(tick, k, n)


def _word(sim: Simulation, plan: Plan, cell: int) -> np.ndarray:
    """The word of the cell at the present moment, uint16[]."""
    return REGISTRY[plan.id].cells(Scene(sim), plan).reshape(-1)[cell]
