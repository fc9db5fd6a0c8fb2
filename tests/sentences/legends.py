"""Cells of all boards in the states of a few machines, each held against the entry of the legend that is about it."""

import functools
import re
from collections import Counter

import numpy as np

from pagingviz.boards import registry
from pagingviz.boards.palette import AGE_YOUNGEST, CROSSED, FILL_MASK, LETTER_MASK, LETTER_SHIFT, LETTERS, NEUTRAL, PINNED
from pagingviz.boards.scene import Scene
from pagingviz.timeline.simulation import Simulation
from tests.boards.legend_states import MADE_UP, plans_of, scenario_of, states
from tests.core.raw import PAGE, PSE, Raw, Tables, W
from tests.sentences import scenes
from tests.sentences.evidence import Found
from tests.sentences.legends_reading import Cell
from tests.sentences.moments import Moment
from tests.sentences.proofs_legends import LEGENDS, SHARED

MACHINES = (*MADE_UP, "blackboard", "lab")
STATES = 3  # of its own course that are looked at, beside those that commands bring
MOST, EACH = 40, 3  # cells of one entry: on one machine, in one of its states
FLAGS = {"thick": PINNED, "crossed": CROSSED}  # what the entries without a fill are about, by their first word


def proof(board, text):
    """The proof of an entry of a legend, or None."""
    return LEGENDS.get(board, {}).get(text) or SHARED.get(re.sub(r"= [\d,]+ frames", "= {} frames", text))


def cells_of(row, grid, plan):
    """Numbers of the cells that an entry of a legend is about."""
    letter, fill, text = row
    if fill is None:
        flag = FLAGS.get(text.partition(":")[0])
        return np.flatnonzero((grid & flag != 0) & (plan.key >= 0)) if flag else ()
    hit = grid >> LETTER_SHIFT & LETTER_MASK == LETTERS.index(letter)
    if not letter.strip():
        hit = np.ones(grid.size, bool)
    if letter in "wr":  # it is about every small letter
        hit |= (grid >> LETTER_SHIFT & LETTER_MASK == LETTERS.index("s")) & (grid & FILL_MASK == fill)
    code = grid & FILL_MASK
    return np.flatnonzero(hit & (code >= AGE_YOUNGEST if fill == NEUTRAL else code == fill))


def moments():
    """(name, moment) of the states of every machine, and of two guests given by hand: what programs never do."""
    for name in MACHINES:
        sim = Simulation(scenario_of(name))
        yield from ((name, Moment(sim, None, [])) for _ in states(sim, STATES))
    yield from (("hypercalls", m) for m in scenes.run("hypercalls"))
    tables = Tables()
    tables.new()
    tables.direct(1, 128)
    tables.map(1, 0x4020_0000, 512, PAGE & ~W | PSE, level=2)
    sim = Raw(frames=1024, tables=tables).sim
    yield "a superpage that is read-only", Moment(sim, None, [])


class Legends:
    """What came of all entries: found, {(board, text): Found}."""

    def __init__(self):
        self.found, plans, said = {}, {}, Counter()
        for name, m in moments():
            if name not in plans:
                plans = {name: [*plans_of(m.sim).values(), registry.make_plan("source", m.sim.scenario, m.sim.work)]}
                said.clear()
            for plan in plans[name]:
                self.hold(name, m, plan, registry.REGISTRY[plan.id].cells(Scene(m.sim), plan).reshape(-1), said)

    def hold(self, name, m, plan, grid, said):
        """Hold cells of a board against the entries of its legend."""
        for row in plan.legend:
            _, check = proof(plan.id, row[2]) or ("", "")
            if not callable(check) or said[plan.id, row[2]] >= MOST:
                continue
            found = self.found.setdefault((plan.id, row[2]), Found())
            cells = cells_of(row, grid, plan)
            for at in cells[:: max(1, len(cells) // EACH)][:EACH]:
                said[plan.id, row[2]] += 1
                cell = Cell(m, plan, int(at), int(grid[at]))
                found.take(name, m, check(cell), f"cell {at}, {cell.key:#x}")


@functools.cache
def legends():
    """The entries of this session, looked at once."""
    return Legends()
