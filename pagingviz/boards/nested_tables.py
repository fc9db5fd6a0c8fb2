"""The board of the entries of EPT or NPT: rows for each level, a cell an entry, with only what is stored in it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from pagingviz.boards.board import DEFAULT, Card, LegendRow, Options, Plan
from pagingviz.boards.can_occur import leaf_levels, superpages_run, those
from pagingviz.boards.cell_words import HATCHED, NOTHING, W_FREE, W_PENDING, W_READ, W_SUPER, W_SUPER_RO, W_TABLE, W_WRITE
from pagingviz.boards.in_words import NO_HYPERVISOR, NO_HYPERVISOR_UNIT, alternative, by_fill, rows
from pagingviz.boards.nested_card import card_of, path_cells
from pagingviz.boards.palette import FREE, PENDING, PINNED, READ_ONLY, SUPERPAGE, TABLE, WRITABLE
from pagingviz.boards.scene import Scene
from pagingviz.machine.machine import Machine
from pagingviz.reading import nested
from pagingviz.scenario.road import Road
from pagingviz.scenario.roads import ROADS, road_of
from pagingviz.scenario.scenario import Scenario

MOST_OF_A_LEVEL = 256  # cells of one level: so many can be read beside the leaf map
_WIDTH = 32


def _instead(road: Road) -> str:
    """What a road without nested tables has in their stead."""
    if not road.hypervisor:
        return NO_HYPERVISOR
    how = "a PV guest's own tables hold machine frames"
    if road.always_shadows:
        how = "a shadow leads from the guest's address to the machine's in one go"
    return f"no nested tables on this road: {how}"


def _legend(scenario: Scenario, work: Any) -> tuple[LegendRow, ...]:
    """What can occur (boards.can_occur)."""
    superpages, runs = len(leaf_levels(scenario, work)) > 1, superpages_run(scenario)
    possible = (
        ("T", TABLE, "leads to a table", True),
        ("W", WRITABLE, "leaf, writable; thick: D set" + (", else PML logs the next store" if scenario.pml else ""), True),
        ("R", READ_ONLY, "leaf, read-only", True),
        ("S", SUPERPAGE, "superpage leaf" + runs, superpages),
        ("S", READ_ONLY, "superpage leaf, read-only", superpages),
        ("?", PENDING, "recalculation waits in it", True),
        (".", FREE, "no entry: a larger leaf maps it", superpages),
    )
    return those(possible)


@lru_cache(maxsize=256)
def _plan(board: str, road: str, frames: int, hap: str, legend: tuple[LegendRow, ...]) -> Plan:
    """The cell of an entry follows from the frames that it covers: a table that is made later finds its cells there."""
    if not ROADS[road].nested:
        unit = NO_HYPERVISOR_UNIT if not ROADS[road].hypervisor else f"no nested tables on the {road} road"
        return Plan(board, "No nested tables on this road", unit, _WIDTH, 2, (), road, np.full(2 * _WIDTH, -1))
    levels, row = [], 0
    for level in nested.LEVELS:
        entries = -(-frames // 512 ** (level - 1))
        per = 1 << max(0, (entries - 1).bit_length() - MOST_OF_A_LEVEL.bit_length() + 1)
        cells = -(-entries // per)
        levels.append((level, row * _WIDTH, cells, per))
        row += -(-cells // _WIDTH)
    key = np.full(row * _WIDTH, -1)
    for level, at, cells, per in levels:
        key[at : at + cells] = np.arange(cells) * per << 9 * (level - 1)
    labels = tuple((at // _WIDTH, f"L{level}" + (f" x{per:,}" if per > 1 else "")) for level, at, _, per in levels)
    shared = [f"L{level}: {per:,} entries a cell" for level, _, _, per in levels if per > 1]
    unit = "1 cell = 1 entry" + "".join(f"; {text}" for text in shared) + (", showing the worst of them" if shared else "")
    return Plan(board, f"{hap.upper()} tables", unit, _WIDTH, row, legend, road, key, labels=labels, levels=tuple(levels))


# by the code of an entry, reading.nested.codes
_LEAF = np.array([W_FREE, W_TABLE, W_WRITE | PINNED, W_WRITE, W_READ | PINNED, W_READ, W_PENDING | PINNED, W_PENDING])
_LARGER = np.array([W_FREE, W_TABLE, W_SUPER | PINNED, W_SUPER, W_SUPER_RO | PINNED, W_SUPER_RO, W_PENDING | PINNED, W_PENDING])


def _cells(machine: Machine, plan: Plan) -> np.ndarray:
    out = np.full(plan.key.size, NOTHING)
    pool, found = machine.view("pool").reshape(-1, 512), nested.tables(machine)
    for level, at, cells, per in plan.levels:
        page, first = found[level]
        code = nested.codes(machine, level, pool[page])
        worst = np.zeros(cells, np.uint8)
        share = min(per, 512)
        code = code.reshape(page.size, 512 // share, share).max(axis=2)
        cell = (first >> 9 * (level - 1))[:, None] // per + np.arange(512 // share)
        inside = cell < cells
        np.maximum.at(worst, cell[inside], code[inside])
        out[at : at + cells] = (_LEAF if level == 1 else _LARGER)[worst]
    return out


class NestedTables:
    """The entries of the nested tables themselves, each with what is stored in it, whatever waits above it."""

    id = "nested-tables"

    def plan(self, scenario: Scenario, work: Any, options: Options = DEFAULT) -> Plan:
        legend = _legend(scenario, work) if road_of(scenario).nested else ()
        return _plan(self.id, scenario.road, scenario.frames, scenario.hap, legend)

    def cells(self, scene: Scene, plan: Plan) -> np.ndarray:
        grid = _cells(scene.sim.machine, plan) if road_of(plan).nested else np.full(plan.key.size, HATCHED)
        return grid.reshape(plan.height, plan.width)

    def caption(self, scene: Scene, plan: Plan) -> str:
        if not road_of(plan).nested:
            return _instead(road_of(plan))
        found = nested.counts(scene.sim.machine)
        waits = " · ".join(f"L{level} {waiting:,} of {n:,}" for level, (_, n, waiting) in found.items())
        return f"{sum(pages for pages, _, _ in found.values()):,} table pages · pending: {waits}"

    def alt(self, scene: Scene, plan: Plan) -> str:
        return alternative(scene.sim.tick, plan, by_fill(self.cells(scene, plan)), self.caption(scene, plan))

    def table(self, scene: Scene, plan: Plan) -> list[dict[str, Any]]:
        about = {}
        for level, at, n, per in plan.levels:
            for cell, first in enumerate(plan.key[at : at + n].tolist(), at):
                last = min(first + (per << 9 * (level - 1)), scene.sim.scenario.frames) - 1
                about[cell] = {"level": level, "entries": per, "first gfn": hex(first), "last gfn": hex(last)}
        return rows(self.cells(scene, plan), about.__getitem__)

    def card(self, scene: Scene, plan: Plan, cell: int) -> Card | None:
        return card_of(scene.sim, plan, cell) if road_of(plan).nested else None

    def lit(self, scene: Scene, plan: Plan, gfn: int) -> list[int]:
        return path_cells(scene.sim.machine, plan, gfn) if road_of(plan).nested else []
