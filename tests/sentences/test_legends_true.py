"""Every entry of a legend has a proof, and the cells that it is about are what it says."""

import numpy as np
import pytest

from pagingviz.boards import registry
from pagingviz.boards.board import Options
from pagingviz.boards.dirty_bitmap import BITS
from pagingviz.boards.palette import AGE_OLDEST, AGE_YOUNGEST, FILL_MASK
from pagingviz.reading.shadows import stamps
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from pagingviz.work.programs import Programs
from tests.boards.legend_states import LIBRARY, MADE_UP, scenario_of
from tests.boards.on_screen import Shown
from tests.sentences.legends import legends, proof
from tests.sentences.proofs_legends import LEGENDS, SHARED
from tests.support.named_tests import all_tests

pytestmark = pytest.mark.slow
ENTRIES = [(board, text) for board, rows in LEGENDS.items() for text, row in rows.items() if callable(row[1])]


@pytest.fixture(scope="module")
def shown():
    """{(board, text)} of all entries of all legends of the machines for which legends are tested."""
    found = set()
    for name in (*LIBRARY, *MADE_UP):
        scenario = scenario_of(name)
        work = Programs(scenario)
        for board in registry.REGISTRY:
            for bits in BITS if board == "dirty-bitmap" else ("round",):
                plan = registry.make_plan(board, scenario, work, Options(bits=bits))
                found |= {(board, text) for _, _, text in plan.legend}
    return found


def test_every_entry_of_a_legend_has_a_proof(shown):
    assert [entry for entry in sorted(shown) if not proof(*entry)] == [], "proofs_legends.py: a row for each"


def test_the_tests_that_an_entry_names_exist():
    rows = [row for of_board in (*LEGENDS.values(), SHARED) for row in of_board.values()]
    assert {row[1] for row in rows if isinstance(row[1], str)} - all_tests() == set()


@pytest.mark.parametrize(("board", "text"), ENTRIES)
def test_an_entry_is_true_of_its_cells(warm, board, text):
    found = legends().found.get((board, text))
    assert found and found.times, "no machine of tests/sentences/legends.py has such a cell"
    assert not found.wrong, found.wrong[:3]


def test_the_shades_of_the_pool_are_ages(warm):
    """A shade is for the ages from its number on, up to that of the next: 0, 2, 4, 8 ... ticks."""
    sim = Simulation(load("blackboard"))
    sim.seek(3000)
    shown, seen = Shown(sim, "shadow-pool"), set()
    told = {code: number for code, number in shown.plan.scale.steps if number}
    for page in np.flatnonzero(shown.flat & FILL_MASK >= AGE_YOUNGEST).tolist():
        code = int(shown.flat[page] & FILL_MASK)
        step, age = code - AGE_YOUNGEST, sim.tick - int(stamps(sim.machine, page + 1)[page])
        assert (1 << step if step else 0) <= age and (age < 2 << step or code == AGE_OLDEST)
        seen.add(step)
    assert len(seen) > 3 and told == {AGE_YOUNGEST + k: f"{1 << k if k else 0:,}" for k in (0, 5, 10, 15)}


def test_a_corner_names_the_vcpu_that_runs_on_a_root(warm):
    sim = Simulation(load("blackboard").replace(vcpus=2, work="uniform:20,uniform:20"))
    sim.seek(900)
    shown = Shown(sim, "shadow-pool")
    corners = shown.board.corners(shown.scene, shown.plan)
    for vcpu in range(2):
        root = int(sim.machine.sys[0].root[4 * vcpu])
        assert str(vcpu) in corners[root].split(" v")[1]
    assert sum(" v" in text for text in corners.values()) == len({int(sim.machine.sys[0].root[4 * vcpu]) for vcpu in range(2)})
