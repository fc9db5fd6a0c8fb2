"""The board of the dirty bitmap: a cell a bit, by what it is in this round, by how often it was set, or by who set it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from pagingviz.boards.board import DEFAULT, Card, LegendRow, Options, Plan, Scale
from pagingviz.boards.can_occur import by_hand, device_writes
from pagingviz.boards.cell_words import HATCHED, NOTHING, W_BEFORE, W_DIRTY, W_FREE, W_LOGGED, W_TABLE, word
from pagingviz.boards.frame_map import card_of, cell_of, frame_plan
from pagingviz.boards.in_words import NO_HYPERVISOR, alternative, by_fill, by_letter, rows, state_by_letter, switched
from pagingviz.boards.palette import (
    AGE_OLDEST,
    AGE_YOUNGEST,
    DIRTY,
    DIRTY_BEFORE,
    FREE,
    NEUTRAL,
    OUTSIDE,
    PENDING,
    PINNED,
    TABLE,
)
from pagingviz.boards.scene import Scene
from pagingviz.machine.machine import Machine
from pagingviz.reading import dirty_bits
from pagingviz.reading.dirty_tree import tree_pages
from pagingviz.scenario.roads import road_of
from pagingviz.scenario.scenario import Scenario
from pagingviz.scenario.table import FIELD
from pagingviz.story.counting import counted

BITS = FIELD["bits"].choices  # what the cells show

# ---- the plan


def _round_legend(scenario: Scenario, work: Any) -> tuple[LegendRow, ...]:
    return (
        ("D", DIRTY, "written since the last CLEAN"),
        ("d", DIRTY_BEFORE, "in the round before"),
        *((("L", PENDING, "in the processor's log"),) if _logs(scenario) else ()),
        ("T", TABLE, "page table, clean"),
        (".", FREE, "clean"),
    )


def _often_legend(scenario: Scenario, work: Any) -> tuple[LegendRow, ...]:
    return (
        ("4", NEUTRAL, "in more than 3 of 4 rounds"),
        ("3", NEUTRAL, "in more than half"),
        ("2", NEUTRAL, "in more than 1 of 4"),
        ("1", NEUTRAL, "less often"),
        (".", FREE, "never"),
    )


def _who_legend(scenario: Scenario, work: Any) -> tuple[LegendRow, ...]:
    road = road_of(scenario)
    possible: tuple[tuple[str, int, str, bool], ...] = (
        ("g", DIRTY, "store of the guest", True),
        ("A", TABLE, "A/D bits of the table in it", True),
        ("e", TABLE, "emulated store to a table", road.always_shadows or road.paravirtual and by_hand(work)),
        ("L", PENDING, "processor's log", _logs(scenario)),
        ("X", OUTSIDE, "hypervisor", road.paravirtual or by_hand(work)),
        ("v", OUTSIDE, "device model", device_writes(scenario, work)),
        (".", FREE, "nobody", True),
    )
    return tuple((letter, fill, text) for letter, fill, text, there in possible if there)


def _logs(scenario: Scenario) -> bool:
    """Whether Xen uses the processor's log of this machine."""
    return road_of(scenario).nested and bool(scenario.pml)


_VIEWS = {
    "round": ("Dirty bitmap", _round_legend),
    "often": ("Dirty bitmap: how often", _often_legend),
    "who": ("Dirty bitmap: who set the bit last", _who_legend),
}
_STEPS = AGE_OLDEST - AGE_YOUNGEST + 1  # of the ramp: dark is seldom, bright is often
_SHARES = Scale(
    "share of rounds",
    tuple((AGE_OLDEST - k, {0: "seldom", 4: "1/4", 8: "1/2", 12: "3/4"}.get(k, "")) for k in range(_STEPS)),
    "every round",
)
_FEW = 64  # columns; with more of them a thick edge would hide the colour, which is what the view is about


@lru_cache(maxsize=256)
def _plan(road: str, frames: int, title: str, legend: tuple[LegendRow, ...], bits: str) -> Plan:
    plan = frame_plan("dirty-bitmap", title, "bit", legend, road, frames, bits)
    return replace(plan, scale=_SHARES) if bits == "often" and legend else plan


# ---- the cells


def _round(machine: Machine, plan: Plan) -> np.ndarray:
    """The bits of this round and of the one before."""
    out = np.where(plan.key < 0, NOTHING, W_FREE)
    if machine.sys[0].log_dirty:
        for word_, gfn in (
            (W_TABLE, machine.live_tables()),
            (W_BEFORE, dirty_bits.dirty_before(machine)),
            (W_LOGGED, machine.logged_frames()),
            (W_DIRTY, machine.dirty_frames()),
        ):  # the worst last
            out[np.asarray(gfn, np.intp) // plan.per_cell] = word_
    return out


_OFTEN = np.array([W_FREE, *(word(AGE_OLDEST - k, "1234"[4 * k // _STEPS]) for k in range(_STEPS))])
_WHO = np.array(
    [W_FREE, word(DIRTY, "g"), word(TABLE, "A"), word(TABLE, "e"), word(OUTSIDE, "X"), W_LOGGED, word(OUTSIDE, "v")]
)  # by xen.MK_*


def _history(machine: Machine, plan: Plan) -> np.ndarray:
    """How often each bit was set, as a share of all rounds so far, or by whom the last time; thick: it is set now."""
    _, who, times = dirty_bits.history(machine)
    if plan.bits == "who":
        rank, words = who, _WHO
    else:
        share = np.minimum(times / (int(machine.sys[0].dirty_round) + 1), 1)
        rank, words = np.ceil(share * _STEPS).astype(np.intp), _OFTEN
    worst = np.zeros(plan.key.size, np.intp)
    np.maximum.at(worst, machine.modelled.frames() // plan.per_cell, rank)
    out = np.where(plan.key >= 0, words[worst], NOTHING)
    if plan.width < _FEW:
        out[machine.dirty_frames() // plan.per_cell] |= PINNED
    return out


# ---- the board


def _tree(machine: Machine) -> str:
    """What the bitmap's tree takes of the pool, and whether that was all that it needed."""
    n = tree_pages(machine).size
    pages = counted(n, "page")
    if machine.sys[0].failed_allocs:
        return f"its tree has {pages} of the pool and lacks some: CLEAN fails"
    if not n:
        return "its tree takes pages of the pool at the first bit"
    return f"its tree takes {pages} of the pool"


class DirtyBitmap:
    """The bit of each frame of the guest."""

    id = "dirty-bitmap"

    def plan(self, scenario: Scenario, work: Any, options: Options = DEFAULT) -> Plan:
        title, legend = _VIEWS[options.bits]
        if not road_of(scenario).hypervisor:
            return _plan(scenario.road, scenario.frames, "No dirty bitmap on this road", (), options.bits)
        return _plan(scenario.road, scenario.frames, title, legend(scenario, work), options.bits)

    def cells(self, scene: Scene, plan: Plan) -> np.ndarray:
        if not road_of(plan).hypervisor:
            return np.full((plan.height, plan.width), HATCHED)
        draw = _round if plan.bits == "round" else _history
        return draw(scene.sim.machine, plan).reshape(plan.height, plan.width)

    def caption(self, scene: Scene, plan: Plan) -> str:
        s = scene.sim.machine.sys[0]
        if not road_of(plan).hypervisor:
            return NO_HYPERVISOR
        if plan.bits != "round":
            rounds = int(s.dirty_round) + 1
            what = f"over {counted(rounds, 'round')}" if plan.bits == "often" else "of all rounds"
            edge = "thick edge: " if plan.width < _FEW else ""
            now = f"{edge}set now, {counted(s.dirty_count, 'bit')}" if s.log_dirty else "log-dirty is off now"
            return f"{what} · {now}"
        if not s.log_dirty:
            return switched(scene.sim, off="log-dirty is off") + "no bitmap: ENABLE, which switches log-dirty on, begins one"
        came = switched(scene.sim, on="log-dirty is on")
        return f"{came}{counted(s.dirty_count, 'bit')} set in round {int(s.dirty_round)} · {_tree(scene.sim.machine)}"

    def alt(self, scene: Scene, plan: Plan) -> str:
        grid = self.cells(scene, plan)
        by_history = ", ".join(f"{n} {text}" for n, text in by_letter(grid, plan))
        return alternative(
            scene.sim.tick, plan, by_fill(grid) if plan.bits == "round" else by_history, self.caption(scene, plan)
        )

    def table(self, scene: Scene, plan: Plan) -> list[dict[str, Any]]:
        state = None if plan.bits == "round" else state_by_letter(plan)
        return rows(self.cells(scene, plan), lambda cell: {"gfn": hex(int(plan.key[cell]))}, state)

    def card(self, scene: Scene, plan: Plan, cell: int) -> Card | None:
        return card_of(scene, plan, cell)

    def lit(self, scene: Scene, plan: Plan, gfn: int) -> list[int]:
        return cell_of(plan, gfn)
