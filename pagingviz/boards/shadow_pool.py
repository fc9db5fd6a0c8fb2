"""The board of the pool: a cell a page, on the shadow road the shadows by age, on the HAP road the nested tables."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import xen
from pagingviz.boards.board import DEFAULT, Card, LegendRow, Options, Plan
from pagingviz.boards.cell_words import HATCHED, NOTHING, W_FREE, W_OOS
from pagingviz.boards.in_words import NO_HYPERVISOR, NO_HYPERVISOR_UNIT, alternative, by_fill, rows
from pagingviz.boards.palette import AGE_OLDEST, AGE_YOUNGEST, CROSSED, FREE, LETTER_SHIFT, LETTERS, OUT_OF_SYNC, PINNED
from pagingviz.boards.pool_card import card_of
from pagingviz.boards.scene import Scene
from pagingviz.machine.layout import least_real_pool
from pagingviz.reading import nested, shadows
from pagingviz.reading.dirty_tree import tree_pages
from pagingviz.scenario.frames import hap_pages
from pagingviz.scenario.roads import ROADS, road_of
from pagingviz.scenario.scenario import Scenario
from pagingviz.story.events import TYPES
from pagingviz.timeline.simulation import Simulation

_YOUNG, _OLD = 16, 28  # fill codes of the legend: an example of a young page and of an old one
_BARE_PAGES = 32  # cells of the hatched board of a machine without a pool
_REAL_FLOOR = 128  # pages a vCPU that real Xen has at least (shadow/common.c: shadow_min_acceptable_pages)

# ---- the plan


def _pages(scenario: Scenario, work: Any, options: Options) -> int:
    """How many pages the board shows."""
    if road_of(scenario).nested:
        return hap_pages(scenario, work)
    pages = scenario.pool if options.pages is None else options.pages
    if road_of(scenario).paravirtual and scenario.floor:
        return max(least_real_pool(scenario), options.pages or 0)
    return pages


def _kinds(scenario: Scenario, work: Any) -> str:
    """Letters that the pool of such a machine can show beside those of every machine, for the legend."""
    if road_of(scenario).paravirtual:
        return "o" if scenario.xen == "4.17" else ""
    if not road_of(scenario).always_shadows:
        return "P" if road_of(scenario).nested and scenario.pml else ""
    raw = work.shown is not None
    out_of_sync = scenario.oos and scenario.shopt & int(xen.SHOPT_OUT_OF_SYNC)
    possible = (
        ("f", raw or scenario.direct_map_pages != "4k"),
        ("+", raw or work.levels == 2),
        ("O", out_of_sync),
        ("o", out_of_sync or scenario.xen == "4.17"),
        ("P", work.p2m_pages),
        ("m", True),
    )
    return "".join(letter for letter, there in possible if there)


_HAP_LEGEND = (
    ("4", _YOUNG, "nested root"),
    ("1", _OLD, "to 4: nested table, by level"),
    ("l", _YOUNG, "log-dirty tree"),
    ("P", _YOUNG, "page-modification log of a vCPU"),
    (".", FREE, "free"),
)
_EXTRA = (
    ("f", _YOUNG, "fl1: splinters of a superpage"),
    ("+", _YOUNG, "further page of a shadow"),
    ("O", OUT_OF_SYNC, "L1 of a table out of sync"),
    ("o", _YOUNG, "its snapshot"),
    ("P", _YOUNG, "p2m"),
    ("m", _YOUNG, "monitor"),
)


@lru_cache(maxsize=256)
def _plan(road: str, pages: int, kinds: str) -> Plan:
    legend: tuple[LegendRow, ...]
    if ROADS[road].nested:
        title, unit, legend = "HAP pool", "1 cell = 1 page for nested tables and the bitmap's tree", _HAP_LEGEND
        legend = tuple(entry for entry in legend if entry[0] != "P" or "P" in kinds)
    else:
        title, unit = "Shadow pool", "1 cell = 1 page; bright = young, dark = old"
        legend = (
            ("4", _YOUNG, "root; thick: pinned"),
            ("1", _OLD, "to 3: shadow, by level"),
            *(entry for entry in _EXTRA if entry[0] in kinds),
            ("l", _YOUNG, "log-dirty tree"),
            (".", FREE, "free"),
        )
    if not ROADS[road].hypervisor:
        pages, unit, legend = _BARE_PAGES, NO_HYPERVISOR_UNIT, ()
    width = next((w for w, most in ((8, 32), (16, 128), (32, 1024), (64, 4096)) if pages <= most), 128)
    key = np.full(-(-pages // width) * width, -1)
    if ROADS[road].hypervisor:
        key[:pages] = np.arange(pages)
    return Plan("shadow-pool", title, unit, width, key.size // width, legend, road, key)


# ---- the cells


def age_fill(age: np.ndarray) -> np.ndarray:
    """Fill codes, int[n], of ages in ticks, int64[n]: one step of the ramp for each doubling."""
    bits = np.frexp(np.maximum(age, 0).astype(np.float64))[1]  # bit length
    return np.minimum(AGE_YOUNGEST + np.maximum(bits - 1, 0), AGE_OLDEST)


_LETTER = np.array([LETTERS.index(c) for c in " 1f21f21f2234Pmo +"], np.uint16)  # by SH_* code
_BY_LEVEL = np.array([LETTERS.index(c) for c in "l1234"], np.uint16)  # of nested tables


def _cells(sim: Simulation, plan: Plan) -> np.ndarray:
    machine = sim.machine
    out = np.full(plan.key.size, NOTHING)
    n = int(np.count_nonzero(plan.key >= 0))
    kind = machine.view("ptype")[:n].astype(np.intp)
    letter = _LETTER[kind]
    if road_of(plan).nested:
        level = machine.view("pref")[:n].astype(np.intp)
        letter = np.where(kind == xen.SH_P2M, _BY_LEVEL[np.minimum(level, 4)], letter)
        letter[nested.log_pages(machine)] = LETTERS.index("P")
    letter[tree_pages(machine)] = LETTERS.index("l")
    used = (kind != xen.SH_FREE) & (kind != xen.SH_OUT)
    age = machine.tick - shadows.stamps(machine, n)
    words = np.where(used, age_fill(age).astype(np.uint16) | letter << LETTER_SHIFT, W_FREE)
    words = np.where(shadows.stale(machine, n), W_OOS, words)
    words = np.where(kind == xen.SH_OUT, HATCHED, words).astype(np.uint16)
    words[(machine.view("ppin")[:n] != 0) & used] |= PINNED
    words[shadows.loaded_roots(machine)] |= PINNED
    events = sim.events()
    gone = events["mfn"][events["kind"] == ev.CODES["DEMOTE"]]
    words[gone[gone < n].astype(np.intp)] |= CROSSED
    out[:n] = words
    return out


# ---- the board


class ShadowPool:
    """The pages of the pool, each with what it is used for and how long ago it was made."""

    id = "shadow-pool"

    def plan(self, scenario: Scenario, work: Any, options: Options = DEFAULT) -> Plan:
        return _plan(scenario.road, _pages(scenario, work, options), _kinds(scenario, work))

    def cells(self, scene: Scene, plan: Plan) -> np.ndarray:
        grid = np.full(plan.key.size, HATCHED) if not road_of(plan).hypervisor else _cells(scene.sim, plan)
        return grid.reshape(plan.height, plan.width)

    def caption(self, scene: Scene, plan: Plan) -> str:
        sim, s, road = scene.sim, scene.sim.machine.sys[0], plan.road
        if not ROADS[road].hypervisor:
            return NO_HYPERVISOR
        if ROADS[road].nested:
            split = f"{int(s.p2m_split)} superpage{'s' if s.p2m_split != 1 else ''} split"
            return f"{int(s.p2m_pages)} pages in use, {int(s.free_pages)} free · {split}"
        if not shadows.in_use(sim.machine):
            left = f"; {int(s.total_pages)} pages of the bitmap's tree are left" if s.total_pages else ""
            return f"no shadows: they come with log-dirty{left}"
        total = shadows.pool_size(sim.machine)
        toy = f", a toy: real Xen's floor is {_REAL_FLOOR} a vCPU" if total < _REAL_FLOOR * sim.scenario.vcpus else ""
        return f"{int(s.free_pages)} of {total} pages free{toy} · recycled {int(s.shadow_prealloc_1)} times"

    def alt(self, scene: Scene, plan: Plan) -> str:
        return alternative(scene.sim.tick, plan, by_fill(self.cells(scene, plan)), self.caption(scene, plan))

    def table(self, scene: Scene, plan: Plan) -> list[dict[str, Any]]:
        kinds = scene.sim.machine.view("ptype")
        names = {cell: TYPES.get(int(kinds[page]), "") for cell, page in enumerate(plan.key.tolist()) if page >= 0}
        return rows(self.cells(scene, plan), lambda cell: {"page": hex(int(plan.key[cell])), "type": names[cell]})

    def card(self, scene: Scene, plan: Plan, cell: int) -> Card | None:
        page = int(plan.key[cell])
        return card_of(scene.sim, plan, page) if page >= 0 else None

    def lit(self, scene: Scene, plan: Plan, gfn: int) -> list[int]:
        return shadows.pages_of_table(scene.sim.machine, gfn)
