"""Every text that the app puts beside a cell, on a chip, on a button or on a field: what the glossary must explain.

The texts are asked of the code that shows them. Numbers in a text are written as N; names of programs are left out.
"""

import itertools
from functools import cache

import numpy as np

from pagingviz.boards import registry
from pagingviz.boards.board import Options
from pagingviz.boards.dirty_bitmap import BITS
from pagingviz.boards.migration_scene import MigrationScene
from pagingviz.boards.scene import Scene
from pagingviz.manual.glossary import plain
from pagingviz.manual.pages import PAGES
from pagingviz.scenario.fields import ScenarioError
from pagingviz.scenario.scenario import Scenario
from pagingviz.scenario.table import FIELD, FIELDS
from pagingviz.story.kinds import EVENT_KINDS
from pagingviz.timeline.simulation import HISTORY, Simulation
from pagingviz.ui import page, real_xen, side_by_side
from pagingviz.ui import translation as translation_page
from tests.boards.on_screen import MACHINE, Shown

GUESTS = ("hvm64", "pae", "hvm32")
ROADS = (
    {"road": "bare"},
    {"road": "pv", "do": "enable@5"},
    {"road": "pv", "xen": "4.17"},
    {"road": "shadow", "do": "enable@5"},
    {"road": "shadow", "oos": 0, "xen": "4.17"},
    {"road": "hap", "superpages": 2, "do": "enable@5"},
    {"road": "hap", "pml": 1, "do": "enable@5"},
    {"road": "hap", "hap": "npt", "superpages": 1, "do": "enable@5"},
)


@cache
def machines() -> tuple[Simulation, ...]:
    """A small machine of each kind that has words of its own, a few ticks old."""
    out = []
    for road, guest, direct in itertools.product(ROADS, GUESTS, ("4k", "large")):
        try:
            scenario = Scenario(trace="", work="uniform:24", guest=guest, direct_map_pages=direct, frames=512, **road)
        except ScenarioError:
            continue  # not every road takes every guest
        sim = Simulation(scenario)
        sim.run(20)
        out.append(sim)
    return tuple(out)


def plans():
    """The plan of every board for every machine of `machines`, and for a migration of each kind."""
    for sim in machines():
        for board in (*MACHINE, *registry.ROADS):
            for bits in BITS if board == "dirty-bitmap" else ("round",):
                yield registry.make_plan(board, sim.scenario, sim.work, Options(bits=bits))
    large = Scenario(road="hap", trace="", work="uniform:24", frames=1 << 20, superpages=1, direct_map_pages="large")
    for kind, frames in itertools.product(FIELD["migrate"].choices, (64, 1 << 18)):
        scenario = large.replace(migrate=kind, frames=frames)
        for board in registry.MIGRATION:
            yield registry.make_plan(board, scenario, None)
    for board in MACHINE:
        yield registry.make_plan(board, large, Simulation(large).work)


def legend_texts() -> set[str]:
    """Legends, titles, and what a thick edge and an outline say. Parts divided by a semicolon are explained one by one."""
    texts = set()
    for plan in plans():
        texts |= {part for _, _, text in plan.legend for part in text.split("; ")}
        texts |= {plan.title, *plan.marks, *(head for head in plan.heads)}
    return {plain(text) for text in texts}


@cache
def moving() -> Simulation:
    """A small guest that has been moved."""
    sim = Simulation(Scenario(trace="", work="uniform:24", migrate="precopy", migrate_at=5, pace=1))
    sim.run(4000)
    return sim


def chips() -> set[str]:
    """Labels of the status line on every page, and the causes of exits in it."""
    rows = [row for sim in (*machines(), moving()) for row in (*Scene(sim).status(), *MigrationScene(sim).status())]
    causes = {part.rpartition(" ")[0] for label, value in rows if label == "exits" for part in value.split(" · ")}
    return {label for label, _ in rows} | causes | {"access"}


def cards() -> set[str]:
    """Names of the rows on the inspector's cards, one cell of each look on every board."""
    shown = [Shown(sim, board) for sim in machines() for board in MACHINE]
    shown += [Shown(moving(), board) for board in registry.MIGRATION]
    found = set()
    for board in shown:
        _, cells = np.unique(board.grid, return_index=True)
        for cell in cells:
            found |= _rows(board.card(int(cell)))
    return {plain(name) for name in found}


def _rows(card) -> set[str]:
    return {name for name, _ in card["rows"]} if card else set()


def kinds() -> set[str]:
    """What the menu "next event" offers, and the names of the curves of a history."""
    return {text for _, text in EVENT_KINDS} | set(HISTORY)


def labels_of_fields() -> set[str]:
    """Labels of the scenario's fields: what they do stands in the table of fields, which the manual shows."""
    return {field.label for field in FIELDS}


def choices_of_pages() -> set[str]:
    """What the headings of the pages let a viewer choose, and the titles of the pages."""
    of_fields = {word for field in FIELD.values() if field.section != "manual" for word in field.words}
    found = of_fields | {*page.VIEWS, *real_xen.VIEWS, *translation_page.VIEWS, *side_by_side.UNITS, *side_by_side.FORMS}
    return found | set(PAGES.values())
