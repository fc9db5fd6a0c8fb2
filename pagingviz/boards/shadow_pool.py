"""The board of the pool: a cell a page, on the shadow road the shadows by age, on the HAP road the nested tables."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from pagingviz.arch import events as ev
from pagingviz.arch import xen
from pagingviz.boards import pool_words
from pagingviz.boards.board import DEFAULT, Card, LegendRow, Options, Plan, Scale
from pagingviz.boards.can_occur import Possible, entry_by_entry, guest_superpages, out_of_sync, those
from pagingviz.boards.cell_words import HATCHED, NOTHING, W_FREE, W_OOS
from pagingviz.boards.in_words import NO_HYPERVISOR, NO_HYPERVISOR_UNIT, alternative, by_fill, rows, switched
from pagingviz.boards.palette import (
    ABSENT,
    AGE_OLDEST,
    AGE_YOUNGEST,
    CROSSED,
    FREE,
    LETTER_SHIFT,
    LETTERS,
    NEUTRAL,
    OUT_OF_SYNC,
    PINNED,
)
from pagingviz.boards.pool_card import card_of
from pagingviz.boards.scene import Scene
from pagingviz.machine.layout import least_real_pool
from pagingviz.reading import nested, recycling, shadows
from pagingviz.reading.dirty_tree import tree_pages
from pagingviz.scenario.fields import POOL_LOW
from pagingviz.scenario.frames import hap_pages
from pagingviz.scenario.roads import ROADS, road_of
from pagingviz.scenario.scenario import Scenario
from pagingviz.story.counting import counted, form
from pagingviz.story.events import TYPES
from pagingviz.timeline.simulation import Simulation

_BARE_PAGES = 32  # cells of the hatched board of a machine without a pool
_REAL_FLOOR = 128  # pages a vCPU that real Xen has at least (shadow/common.c: shadow_min_acceptable_pages)

# ---- the plan


def largest_pool(sim: Simulation) -> int:
    """Pages of the pool at its largest, as the scenario or a command has it: so large it is shown from the start."""
    return max([sim.scenario.pool, *(command.arg or 0 for command in sim.journal if command.name == "pool")])


def _pages(scenario: Scenario, work: Any, options: Options) -> int:
    """How many pages the board shows."""
    if road_of(scenario).nested:
        return hap_pages(scenario, work)
    pages = scenario.pool if options.pages is None else options.pages
    if road_of(scenario).paravirtual and scenario.floor:
        return max(least_real_pool(scenario), options.pages or 0)
    return pages


def _modes(scenario: Scenario, work: Any) -> set[int]:
    """Levels of paging in which the guest can run on shadows: without paging it has those of a guest of two levels."""
    return {work.levels, 2} if entry_by_entry(work) else {scenario.guest_levels}


def _legend(scenario: Scenario, work: Any) -> tuple[LegendRow, ...]:
    """What can occur (boards.can_occur)."""
    road = road_of(scenario)
    if road.nested:
        possible = [
            ("4", "nested root", True),
            ("3", "L3 table", True),
            ("2", "L2 table", True),
            ("1", "L1 table", True),
            ("L", "page-modification log of a vCPU", bool(scenario.pml)),
        ]
    else:
        modes, hvm, oos = _modes(scenario, work), road.always_shadows, out_of_sync(scenario)
        top = max(modes)
        possible = [
            ("4", "L4 shadow: a root", 4 in modes),
            ("3", "L3 shadow", 4 in modes),
            ("2", "L2 shadow: a root" if top < 4 else "L2 shadow", True),
            ("1", "L1 shadow", True),
            ("+", "further page of a shadow", hvm and 2 in modes),
            ("f", "fl1: splinters of a superpage", hvm and guest_superpages(scenario, work)),
            ("K", "snapshot", oos or scenario.xen == "4.17"),
            ("p", "p2m", hvm and bool(work.p2m_pages)),
            ("m", "monitor", hvm),
        ]
    possible.append(("B", "log-dirty tree", True))
    shrinks = road.paravirtual or _pages(scenario, work, DEFAULT) > POOL_LOW  # the least size that a command can give it
    more: tuple[Possible, ...] = (
        ("O", OUT_OF_SYNC, "L1 of a table out of sync", out_of_sync(scenario)),
        (".", FREE, "free", True),
        (" ", ABSENT, "not in the pool now", shrinks),
        ("", None, "thick: pinned or loaded", road.shadows),
        ("", None, "corner 1, 2 …: order in which pinned ones go", road.shadows),
        ("", None, "corner v0: loaded by vCPU 0", road.shadows),
        ("", None, "crossed: shadow destroyed in this tick", road.shadows),
    )
    return those([(letter, NEUTRAL, text, there) for letter, text, there in possible]) + those(more)


_AGES = Scale(
    "age", tuple((AGE_YOUNGEST + k, f"{1 << k if k else 0:,}" if k % 5 == 0 else "") for k in range(16)), "ticks or more"
)


@lru_cache(maxsize=256)
def _plan(road: str, pages: int, legend: tuple[LegendRow, ...]) -> Plan:
    title, unit = "Shadow pool", "1 cell = 1 page"
    if ROADS[road].nested:
        title, unit = "HAP pool", "1 cell = 1 page for nested tables and the bitmap's tree"
    if not ROADS[road].hypervisor:
        title, pages, unit, legend = "No pool on this road", _BARE_PAGES, NO_HYPERVISOR_UNIT, ()
    width = next((w for w, most in ((8, 32), (16, 128), (32, 1024), (64, 4096)) if pages <= most), 128)
    key = np.full(-(-pages // width) * width, -1)
    if ROADS[road].hypervisor:
        key[:pages] = np.arange(pages)
    scale = _AGES if legend else None
    return Plan("shadow-pool", title, unit, width, key.size // width, legend, road, key, scale=scale)


# ---- the cells


def age_fill(age: np.ndarray) -> np.ndarray:
    """Fill codes, int[n], of ages in ticks, int64[n]: one step of the ramp for each doubling."""
    bits = np.frexp(np.maximum(age, 0).astype(np.float64))[1]  # bit length
    return np.minimum(AGE_YOUNGEST + np.maximum(bits - 1, 0), AGE_OLDEST)


_LETTER = np.array([LETTERS.index(c) for c in " 1f21f21f2234pmK +"], np.uint16)  # by SH_* code
_BY_LEVEL = np.array([LETTERS.index(c) for c in "B1234"], np.uint16)  # of nested tables


def _cells(sim: Simulation, plan: Plan) -> np.ndarray:
    machine = sim.machine
    out = np.full(plan.key.size, NOTHING)
    n = int(np.count_nonzero(plan.key >= 0))
    kind = machine.view("ptype")[:n].astype(np.intp)
    letter = _LETTER[kind]
    if road_of(plan).nested:
        level = machine.view("pref")[:n].astype(np.intp)
        letter = np.where(kind == xen.SH_P2M, _BY_LEVEL[np.minimum(level, 4)], letter)
        letter[nested.log_pages(machine)] = LETTERS.index("L")
    letter[tree_pages(machine)] = LETTERS.index("B")
    used = (kind != xen.SH_FREE) & (kind != xen.SH_OUT)
    age = machine.tick - shadows.stamps(machine, n)
    words = np.where(used, age_fill(age).astype(np.uint16) | letter << LETTER_SHIFT, W_FREE)
    words = np.where(shadows.stale(machine, n), W_OOS, words)
    words = np.where(kind == xen.SH_OUT, HATCHED, words).astype(np.uint16)
    words[(machine.view("ppin")[:n] != 0) & used] |= PINNED
    words[list(shadows.loaded_by(machine))] |= PINNED
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
        if not road_of(scenario).hypervisor:
            return _plan(scenario.road, 0, ())
        return _plan(scenario.road, _pages(scenario, work, options), _legend(scenario, work))

    def cells(self, scene: Scene, plan: Plan) -> np.ndarray:
        grid = np.full(plan.key.size, HATCHED) if not road_of(plan).hypervisor else _cells(scene.sim, plan)
        return grid.reshape(plan.height, plan.width)

    def caption(self, scene: Scene, plan: Plan) -> str:
        sim, s, road = scene.sim, scene.sim.machine.sys[0], plan.road
        if not ROADS[road].hypervisor:
            return NO_HYPERVISOR
        if ROADS[road].nested:
            return pool_words.nested_pool(sim.machine)
        if not shadows.in_use(sim.machine):
            n = int(s.total_pages)
            left = f"; {counted(n, 'page')} of the bitmap's tree {form(n, 'is', 'are')} left" if n else ""
            return switched(sim, off="shadows go") + f"no shadows: they come with log-dirty{left}"
        total = shadows.pool_size(sim.machine)
        toy = f" (a toy: real Xen has {_REAL_FLOOR} a vCPU or more)" if total < _REAL_FLOOR * sim.scenario.vcpus else ""
        came = switched(sim, on="shadows come") if ROADS[road].paravirtual else ""
        return f"{came}{int(s.free_pages)} of {total} pages free{toy} · {pool_words.next_fault(sim.machine)}"

    def corners(self, scene: Scene, plan: Plan) -> dict[int, str]:
        machine = scene.sim.machine
        if not shadows.in_use(machine):
            return {}
        out = {head: str(place) for place, head in enumerate(recycling.pinned(machine), 1)}
        for head, vcpus in shadows.loaded_by(machine).items():
            out[head] = f"{out.get(head, '')} v{''.join(map(str, vcpus))}"
        return out

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
