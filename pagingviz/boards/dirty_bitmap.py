"""The board of the dirty bitmap: a cell a bit, by what it is in this round, by how often it was set, or by who set it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from pagingviz.arch.words import NONE
from pagingviz.boards.board import DEFAULT, Card, Options, Plan
from pagingviz.boards.cell_words import HATCHED, NOTHING, W_BEFORE, W_DIRTY, W_FREE, W_LOGGED, W_TABLE, word
from pagingviz.boards.frame_map import card_of, cell_of, frame_plan
from pagingviz.boards.in_words import NO_HYPERVISOR, alternative, by_fill, by_letter, rows, state_by_letter
from pagingviz.boards.palette import AGE_OLDEST, AGE_YOUNGEST, DIRTY, DIRTY_BEFORE, FREE, OUTSIDE, PENDING, PINNED, TABLE
from pagingviz.boards.scene import Scene
from pagingviz.machine.machine import Machine
from pagingviz.reading import dirty_bits
from pagingviz.scenario.roads import ROADS, road_of
from pagingviz.scenario.scenario import Scenario
from pagingviz.scenario.table import FIELD

BITS = FIELD["bits"].choices  # what the cells show

# ---- the plan


def _round_legend(road: str, pml: bool) -> tuple:
    return (
        ("D", DIRTY, "written since the last CLEAN"),
        ("d", DIRTY_BEFORE, "in the round before"),
        *((("l", PENDING, "in the processor's log"),) if pml and ROADS[road].nested else ()),
        ("T", TABLE, "page table, clean"),
        (".", FREE, "clean"),
    )


_OFTEN_LEGEND = (
    ("4", AGE_YOUNGEST + 2, "in more than 3 of 4 rounds"),
    ("3", AGE_YOUNGEST + 6, "in more than half"),
    ("2", AGE_YOUNGEST + 10, "in more than 1 of 4"),
    ("1", AGE_OLDEST - 1, "less often"),
    (".", FREE, "never"),
)


def _who_legend(road: str, pml: bool) -> tuple:
    """What cannot happen on this road is not in it."""
    rows_ = (
        ("s", DIRTY, "store of the guest", True),
        ("A", TABLE, "A/D bits of the table in it", True),
        ("e", TABLE, "emulated store to a table", not ROADS[road].nested),
        ("l", PENDING, "processor's log", ROADS[road].nested and pml),
        ("X", OUTSIDE, "hypervisor", True),
        ("v", OUTSIDE, "device model", True),
        (".", FREE, "nobody", True),
    )
    return tuple(row[:3] for row in rows_ if row[3])


@lru_cache(maxsize=256)
def _plan(road: str, frames: int, pml: bool, bits: str) -> Plan:
    title, legend = {
        "round": ("Dirty bitmap", _round_legend(road, pml)),
        "often": ("Dirty bitmap: how often", _OFTEN_LEGEND),
        "who": ("Dirty bitmap: who set the bit last", _who_legend(road, pml)),
    }[bits]
    return frame_plan("dirty-bitmap", title, "bit", legend, road, frames, bits)


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


_STEPS = AGE_OLDEST - AGE_YOUNGEST + 1  # of the ramp: dark is seldom, bright is often
_OFTEN = np.array([W_FREE, *(word(AGE_OLDEST - k, "1234"[4 * k // _STEPS]) for k in range(_STEPS))])
_WHO = np.array(
    [W_FREE, word(DIRTY, "s"), word(TABLE, "A"), word(TABLE, "e"), word(OUTSIDE, "X"), W_LOGGED, word(OUTSIDE, "v")]
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
    out[machine.dirty_frames() // plan.per_cell] |= PINNED
    return out


# ---- the board


class DirtyBitmap:
    """The bit of each frame of the guest."""

    id = "dirty-bitmap"

    def plan(self, scenario: Scenario, work: Any, options: Options = DEFAULT) -> Plan:
        return _plan(scenario.road, scenario.frames, bool(scenario.pml), options.bits)

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
            what = f"over {rounds} round{'s' if rounds > 1 else ''}" if plan.bits == "often" else "of all rounds"
            now = f"thick edge: set now, {int(s.dirty_count):,} bits" if s.log_dirty else "log-dirty is off now"
            return f"{what} · {now}"
        if not s.log_dirty:
            return "log-dirty is off: no bitmap"
        tree = "its tree takes 4 pages or more of the pool" if s.tree_root != NONE else "its tree is not allocated yet"
        return f"{int(s.dirty_count):,} bits set in round {int(s.dirty_round)} · {tree}"

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
