"""Legends of the boards of a migration and of the page Translation: what is on them is listed, what is listed is met."""

import random
from collections import defaultdict

import pytest

from pagingviz.boards import registry, translation
from pagingviz.boards.migration_scene import MigrationScene
from pagingviz.reading.translate import translate
from pagingviz.scenario.scenario import Scenario, load
from pagingviz.timeline.simulation import Simulation
from tests.boards.legend_states import MADE_UP, met_nowhere, missing, pairs, scenario_of, unexplained

pytestmark = pytest.mark.slow
MOVES = {
    "pre-copy": {"policy": "numbers", "target": 1, "rounds": 9, "pace": 30},
    "what is dirty again is skipped": {"road": "hap", "bandwidth": 12, "pace": 100, "policy": "legacy"},
    "stop": {"migrate": "stop"},
    "postcopy": {"migrate": "postcopy", "prefetch": 3},
    "hybrid": {"road": "hap", "migrate": "hybrid"},
    "remus": {"migrate": "remus", "road": "pv"},
    "given up": {"fail": "link:200"},
    "falls back": {"policy": "qemu", "downtime": 1, "pace": 30, "limit_rounds": 3, "at_limit": "postcopy"},
    "no migration": {"migrate": "no"},
}


def moved(fields):
    """(plans, what the boards showed) of a migration: before it, at each tick at which it acts, and some ticks after it."""
    sim = Simulation(load("moving").replace(**fields))
    plans = {(board, ""): registry.make_plan(board, sim.scenario, sim.work) for board in registry.MIGRATION}
    seen = defaultdict(set)

    def look_():
        for (board, _), plan in plans.items():
            seen[board, ""] |= pairs(registry.REGISTRY[board].cells(MigrationScene(sim), plan))

    sim.seek(590)
    look_()
    while sim.migration and sim.migration.state.next <= 10**9:
        sim.seek(max(sim.migration.state.next, sim.tick + 1))
        look_()
    sim.seek(sim.tick + 50)
    look_()
    return plans, seen


@pytest.fixture(scope="module")
def moves(warm):
    return {name: moved(fields) for name, fields in MOVES.items()}


@pytest.mark.parametrize("name", MOVES)
def test_a_board_of_a_migration_shows_nothing_that_its_legend_lacks(moves, name):
    plans, seen = moves[name]
    for which, plan in plans.items():
        if not any(letter.strip() for letter, _ in seen[which]):
            seen = {**seen, which: set()}  # hatched: nothing is there, which the caption says
        assert unexplained({which: plan}, seen) == []


def test_every_entry_of_a_migrations_legends_is_met(moves):
    assert met_nowhere(moves.values()) == {}


def test_the_boards_of_translation_show_what_their_legends_list(warm):
    plans, seen, luck = {}, defaultdict(set), random.Random(3)
    for name in (*MADE_UP, "blackboard", "two-dimensions", "lab"):
        sim = Simulation(scenario_of(name))
        for command in ("enable", "clean"):
            sim.seek(sim.tick + 150)
            sim.command(command)
            sim.seek(sim.tick + 12)
            sim.command("flush")
            _translations(sim, plans, seen, luck)
    assert unexplained(plans, seen) == []
    left = missing(plans, seen)
    met = {row for which, plan in plans.items() for row in plan.legend if (which, row) not in left}
    assert {row for _, row in left} - met == set(), "on no road"


def _board(scenario: Scenario) -> str:
    """The board of Translation for a machine of this scenario."""
    fits = [b for b, (fields, _) in translation.ROADS.items() if all(getattr(scenario, k) == v for k, v in fields.items())]
    return fits[0]


def _translations(sim, plans, seen, luck):
    board = _board(sim.scenario)
    plan = registry.make_plan(board, sim.scenario, sim.work)
    which = board, str(sim.scenario.guest)
    plans[which] = plan
    for _ in range(30):
        page = int(luck.choice(luck.choice(sim.work.processes).pages))
        gva = luck.choice((page << 12, sim.scenario.direct_map_base + (luck.randrange(sim.scenario.frames) << 12)))
        walk = translate(sim.machine, 0, gva, luck.randrange(3), luck.randrange(2))
        for made in range(len(walk.references) + 1):
            seen[which] |= pairs(translation._cells(plan, walk, made))
