"""The board of the second translation: a cell a guest frame, as EPT or NPT maps it, on the other roads as shadows map it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from pagingviz.arch.sizes import LEAF_SIZES
from pagingviz.boards.board import DEFAULT, Card, LegendRow, Options, Plan
from pagingviz.boards.can_occur import leaf_levels, out_of_sync, superpages_run, those, whole_cells_split
from pagingviz.boards.cell_words import (
    HATCHED,
    NOTHING,
    W_FREE,
    W_GIB,
    W_GIB_RO,
    W_OOS,
    W_PENDING,
    W_READ,
    W_SUPER,
    W_SUPER_RO,
    W_TABLE,
    W_WRITE,
)
from pagingviz.boards.frame_map import card_of, cell_of, frame_plan, frames_in_a_cell
from pagingviz.boards.in_words import NO_HYPERVISOR, alternative, by_fill, rows, switched
from pagingviz.boards.palette import FREE, OUT_OF_SYNC, PENDING, READ_ONLY, SUPERPAGE, TABLE, WRITABLE
from pagingviz.boards.scene import Scene
from pagingviz.machine.machine import Machine
from pagingviz.reading import shadows
from pagingviz.reading.nested_leaves import worst_states
from pagingviz.scenario.roads import road_of
from pagingviz.scenario.scenario import Scenario

_BY_STATE = np.array([W_WRITE, W_SUPER, W_GIB, W_READ, W_SUPER_RO, W_GIB_RO, W_PENDING])  # by reading.nested_leaves
_BY_RIGHTS = np.array([W_FREE, W_READ, W_WRITE, W_TABLE, W_OOS])  # reading.shadows: UNMAPPED .. OUT_OF_SYNC


def _nested_legend(scenario: Scenario, work: Any) -> tuple[LegendRow, ...]:
    sizes, runs = leaf_levels(scenario, work), superpages_run(scenario)
    small = sizes == {1} or whole_cells_split(scenario, work, frames_in_a_cell(scenario.frames))
    return those(
        (
            ("W", WRITABLE, "ram_rw", small),
            ("R", READ_ONLY, "ram_logdirty: no write unseen", True),
            ("S", SUPERPAGE, f"{LEAF_SIZES[2]} leaf{runs}", 2 in sizes),
            ("S", READ_ONLY, f"{LEAF_SIZES[2]} leaf, ram_logdirty", 2 in sizes),
            ("G", SUPERPAGE, f"{LEAF_SIZES[3]} leaf{runs}", 3 in sizes),
            ("G", READ_ONLY, f"{LEAF_SIZES[3]} leaf, ram_logdirty", 3 in sizes),
            ("?", PENDING, "recalculation pending", True),
        )
    )


def _shadow_legend(scenario: Scenario) -> tuple[LegendRow, ...]:
    pv = road_of(scenario).paravirtual
    return those(
        (
            ("W", WRITABLE, "writable" if pv else "mapped writable", True),
            ("R", READ_ONLY, "mapped read-only", True),
            ("T", TABLE, "page table: write-protected", True),
            ("O", OUT_OF_SYNC, "page table out of sync", out_of_sync(scenario)),
            (".", FREE, "of no type, or in no shadow" if pv else "in no shadow", True),
        )
    )


def _title(scenario: Scenario) -> str:
    """What the board holds on this road."""
    road = road_of(scenario)
    if road.nested:
        return scenario.hap.upper()
    if not road.hypervisor:
        return "No second translation on this road"
    return "Frame types, or shadow mappings" if road.paravirtual else "Shadow mappings"


@lru_cache(maxsize=256)
def _plan(road: str, frames: int, title: str, legend: tuple[LegendRow, ...]) -> Plan:
    return frame_plan("ept-npt", title, "guest frame of 4 KiB", legend, road, frames)


def _nested(machine: Machine, plan: Plan, n: int) -> np.ndarray:
    """The words of the n cells by the leaves of the nested tables and what waits above them."""
    return _BY_STATE[worst_states(machine, plan.per_cell, n)]


def _shadowed(machine: Machine, plan: Plan, n: int) -> np.ndarray:
    """The words of the n cells by the rights of the shadows, of the frames of one cell the worst."""
    rights = shadows.frame_rights(machine)
    if plan.per_cell > 1:
        padded = np.zeros(n * plan.per_cell, rights.dtype)
        padded[: rights.size] = rights
        rights = padded.reshape(n, plan.per_cell).max(axis=1)
    return _BY_RIGHTS[rights]


class EptNpt:
    """Every frame of the guest with all that waits above it, as an access would find it."""

    id = "ept-npt"

    def plan(self, scenario: Scenario, work: Any, options: Options = DEFAULT) -> Plan:
        road = road_of(scenario)
        legend = _nested_legend(scenario, work) if road.nested else _shadow_legend(scenario)
        return _plan(road.name, scenario.frames, _title(scenario), legend)

    def cells(self, scene: Scene, plan: Plan) -> np.ndarray:
        if not road_of(plan).hypervisor:
            return np.full((plan.height, plan.width), HATCHED)
        out, n = np.full(plan.key.size, NOTHING), int(np.count_nonzero(plan.key >= 0))
        out[:n] = (_nested if road_of(plan).nested else _shadowed)(scene.sim.machine, plan, n)
        return out.reshape(plan.height, plan.width)

    def caption(self, scene: Scene, plan: Plan) -> str:
        s = scene.sim.machine.sys[0]
        if not road_of(plan).hypervisor:
            return NO_HYPERVISOR
        if road_of(plan).nested and s.npt:
            return f"NPF exits: {int(s.npf_write):,} by stores · {int(s.npf_recalc):,} by pending changes"
        if road_of(plan).nested:
            full = f" · log full {int(s.pml_full):,}" if s.pml else ""
            fetched = f" ({int(s.p2m_shatter):,} by fetches)" if s.p2m_shatter else ""
            return f"EPT violations {int(s.ept_violation):,}{fetched} · misconfigurations {int(s.ept_misconfig):,}{full}"
        if not road_of(plan).paravirtual:
            return "how the shadows map each frame: there is no EPT on this road"
        if not shadows.in_use(scene.sim.machine):
            back = switched(scene.sim, off="frame types again")
            return f"{back}what the type of each frame allows; shadows come with log-dirty"
        return switched(scene.sim, on="shadow mappings") + "how the shadows map each frame, while log-dirty is on"

    def alt(self, scene: Scene, plan: Plan) -> str:
        return alternative(scene.sim.tick, plan, by_fill(self.cells(scene, plan)), self.caption(scene, plan))

    def table(self, scene: Scene, plan: Plan) -> list[dict[str, Any]]:
        return rows(self.cells(scene, plan), lambda cell: {"gfn": hex(int(plan.key[cell]))})

    def card(self, scene: Scene, plan: Plan, cell: int) -> Card | None:
        return card_of(scene, plan, cell)

    def lit(self, scene: Scene, plan: Plan, gfn: int) -> list[int]:
        return cell_of(plan, gfn)
