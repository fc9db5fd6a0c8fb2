"""The board of the guest's own page tables: a cell an entry, process by process, then the kernel's direct map."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from pagingviz.arch import x86
from pagingviz.boards.board import DEFAULT, Card, LegendRow, Options, Plan
from pagingviz.boards.can_occur import entry_by_entry, forks, guest_superpages, out_of_sync, read_only_entries, those
from pagingviz.boards.cell_words import NOTHING, W_FREE, W_OOS, W_SUPER, W_TABLE, W_WRITE, word
from pagingviz.boards.guest_entry_card import card_of
from pagingviz.boards.in_words import alternative, by_fill, rows
from pagingviz.boards.palette import FREE, OUT_OF_SYNC, PINNED, READ_ONLY, SUPERPAGE, TABLE, WRITABLE
from pagingviz.boards.scene import Scene
from pagingviz.boards.sheet import DATA_CELLS, Sheet
from pagingviz.machine.guest_tables import targets
from pagingviz.machine.machine import Machine
from pagingviz.reading import shadows
from pagingviz.reading.guest_entries import address, pointing_at, read_entries
from pagingviz.scenario.roads import ROADS, road_of
from pagingviz.scenario.scenario import Scenario
from pagingviz.story.counting import counted
from pagingviz.story.events import frame_text
from pagingviz.story.sentences import process_name, running

# ---- the plan


def _legend(scenario: Scenario, work: Any) -> tuple[LegendRow, ...]:
    """What can occur (boards.can_occur)."""
    possible = (
        ("W", WRITABLE, "writable; thick: guest D set", True),
        ("R", READ_ONLY, "read-only", read_only_entries(work)),
        ("T", TABLE, "table; thick: it has a shadow" if road_of(scenario).shadows else "table", True),
        ("O", OUT_OF_SYNC, "table out of sync", out_of_sync(scenario)),
        ("S", SUPERPAGE, "superpage", guest_superpages(scenario, work)),
        ("S", READ_ONLY, "superpage, read-only", entry_by_entry(work)),
        ("w", WRITABLE, "small letter: A clear", entry_by_entry(work)),
        ("r", READ_ONLY, "small letter: A clear", not entry_by_entry(work) and forks(work)),
        (".", FREE, "not present", True),
    )
    return those(possible)


@lru_cache(maxsize=64)
def _plan(signature: tuple, road: str, legend: tuple[LegendRow, ...]) -> Plan:
    processes, frames, zone, direct_map, levels, shown = signature
    pages = [np.frombuffer(raw, np.uint64).astype(np.int64) for _, raw in processes]
    total = sum(p.size for p in pages) + zone + DATA_CELLS if shown is None else sum(len(table.index) for table in shown)
    width = next((w for w in (32, 64, 96, 128) if total * 1.25 <= w * w * 0.6), 128)
    sheet = Sheet(width, levels)
    if shown is None:
        for slot, (name, _) in enumerate(processes):
            sheet.process(slot, name, pages[slot], direct_map)
        sheet.kernel(frames, zone, direct_map)
    else:
        for table in shown:
            sheet.table(table)
    return Plan(
        "guest-tables",
        "Guest page tables",
        "1 cell = 1 entry the work can use, the rest stay empty; the direct map of data frames: several entries a cell",
        width,
        sheet.row,
        legend,
        road,
        np.full(sheet.row * width, -1),
        labels=tuple(sheet.labels),
        entries=tuple(sheet.entries),
    )


# ---- the cells


def _word_of(flags: int, level: int) -> np.uint16:
    """The word of a guest entry of `level` by its low eight bits; of one that leads to a table whatever is known of that."""
    if not flags & int(x86.P):
        return W_FREE
    writable = flags & int(x86.RW)
    big = flags & int(x86.PSE) and level < 4  # at level 1: a piece of a superpage (reading.guest_entries)
    if level > 1 and not big:
        return W_TABLE
    fill = (SUPERPAGE if big else WRITABLE) if writable else READ_ONLY
    letter = ("S" if big else "W") if writable else ("S" if big else "R")
    return word(fill, letter if flags & int(x86.A) else letter.lower()) | np.uint16(PINNED if flags & int(x86.D) else 0)


_LOW = np.uint64(0xFF)
_WORDS = np.array([[_word_of(flags, level) for flags in range(256)] for level in range(5)], np.uint16)  # [level, low bits]


def _table_words(machine: Machine) -> np.ndarray:
    """By frame with state, one more for all others: the word of the table in it with its thick edge, 0 for no table."""
    shadowed, live = shadows.shadowed_tables(machine), machine.live_tables()
    out = np.zeros(shadowed.size + 1, np.uint16)
    out[live] = W_TABLE
    out[:-1][shadowed] = W_TABLE | PINNED
    out[:-1][shadows.out_of_sync(machine)] = W_OOS | PINNED
    return out


def _cells(machine: Machine, plan: Plan) -> np.ndarray:
    out = np.full(plan.height * plan.width, NOTHING)
    live, zone = machine.live_tables(), int(machine.sys[0].zone)
    about = _table_words(machine)
    tables = np.zeros(zone + 1, np.uint16)  # by frame of the zone, one for all others
    tables[live] = about[live]
    for e, _, value in read_entries(machine, plan.entries):
        low = (value & _LOW).astype(np.intp)
        words = _WORDS[e.level][low]
        if e.is_direct_map:  # which of its frames hold tables, and how are these shadowed?
            worst = tables[np.minimum(np.cumsum(e.span) - e.span, zone)]  # a cell for each frame of the zone
            plain = np.where(low & int(x86.PSE) != 0, W_SUPER, W_WRITE) | PINNED
            words = np.where(words == W_FREE, W_FREE, np.where(worst != 0, worst, plain))
        elif e.slot < 0 or e.level > 1:
            known = about[machine.modelled.index(targets(machine, value))]
            words = np.where((known != 0) & (words == W_TABLE if e.level > 1 else words != W_FREE), known, words)
        out[e.cell] = words
    return out.reshape(plan.height, plan.width)


def first_address(machine: Machine, plan: Plan, cell: object) -> int | None:
    """First address that the entry in a cell covers; None where there is no entry, or no number."""
    if not isinstance(cell, int) or isinstance(cell, bool):
        return None
    for e in plan.entries:
        hit = np.flatnonzero(e.cell == cell)
        if hit.size:
            return address(machine, int(e.page[hit[0]]))
    return None


# ---- the board


class GuestTables:
    """The entries that the work can ever use, each with what the guest has put into it."""

    id = "guest-tables"

    def plan(self, scenario: Scenario, work: Any, options: Options = DEFAULT) -> Plan:
        processes = tuple((p.name, p.pages.tobytes()) for p in work.processes)
        signature = (processes, scenario.frames, work.zone, scenario.direct_map_base, work.levels, work.shown)
        return _plan(signature, scenario.road, _legend(scenario, work))

    def cells(self, scene: Scene, plan: Plan) -> np.ndarray:
        return _cells(scene.sim.machine, plan)

    def caption(self, scene: Scene, plan: Plan) -> str:
        sim = scene.sim
        s, road = sim.machine.sys[0], sim.scenario.road
        count = counted(sim.machine.live_tables().size, "table")
        found = shadows.shadowed_tables(sim.machine), shadows.out_of_sync(sim.machine)
        shadowed, stale = (int(np.count_nonzero(tables)) for tables in found)
        tail = f", {counted(shadowed, 'frame')} shadowed" if ROADS[road].shadows else ""
        tail += f", {stale} out of sync" if stale else ""
        if not sim.work.processes:
            return f"CR3 gfn {frame_text(s.cr3[0])} · {count}{tail}"
        who = " · ".join(f"{running(sim, v)}, CR3 gfn {frame_text(s.cr3[v])}" for v in range(sim.scenario.vcpus))
        return f"running: {who} · {count}{tail}"

    def alt(self, scene: Scene, plan: Plan) -> str:
        return alternative(scene.sim.tick, plan, by_fill(self.cells(scene, plan)), self.caption(scene, plan))

    def table(self, scene: Scene, plan: Plan) -> list[dict[str, Any]]:
        about = {}
        for e in plan.entries:
            who = process_name(scene.sim, e.slot) if e.slot >= 0 else "kernel"
            for cell, page in zip(e.cell.tolist(), e.page.tolist(), strict=True):
                about[cell] = {"process": who, "level": e.level, "gva": f"{page << 12 & (1 << 48) - 1:#x}"}
        return rows(self.cells(scene, plan), about.__getitem__)

    def card(self, scene: Scene, plan: Plan, cell: int) -> Card | None:
        return card_of(scene.sim, plan, cell)

    def lit(self, scene: Scene, plan: Plan, gfn: int) -> list[int]:
        m, found = scene.sim.machine, []
        for values in read_entries(m, plan.entries):
            e = values.entries
            if e.is_direct_map:
                found.append(int(e.cell[int(np.searchsorted(np.cumsum(e.span), gfn, side="right"))]))
            else:
                found += e.cell[pointing_at(m, values, gfn)].tolist()
        return found
