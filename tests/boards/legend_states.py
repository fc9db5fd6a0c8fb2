"""States of many machines in which the boards show what they can show, for the tests of legends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import pagingviz
from pagingviz.boards import palette, registry
from pagingviz.boards.board import Options, Plan
from pagingviz.boards.cell_words import letter_of
from pagingviz.boards.dirty_bitmap import BITS
from pagingviz.boards.palette import AGE_YOUNGEST, BLANK, FILL_MASK, NEUTRAL, READ_ONLY, WRITABLE
from pagingviz.boards.scene import Scene
from pagingviz.scenario.scenario import Scenario, load
from pagingviz.timeline.simulation import Simulation

LIBRARY = sorted(path.stem for path in Path(pagingviz.__file__).parent.glob("scenario/library/*.toml"))
SMALL = {"trace": "", "frames": 512}
MADE_UP = {  # what no scenario of the library has
    "bare": SMALL | {"road": "bare", "work": "uniform:24"},
    "PAE with superpages": SMALL
    | {"road": "shadow", "guest": "pae", "direct_map_pages": "large", "work": "uniform:60,fork:12"},
    "32 bits": SMALL | {"road": "shadow", "guest": "hvm32", "work": "hotcold:60,uniform:30", "pool": 40},
    "no tables out of sync": SMALL | {"road": "shadow", "oos": 0, "xen": "4.17", "work": "uniform:60,fork:12"},
    "PV, Xen 4.17": SMALL | {"road": "pv", "xen": "4.17", "work": "uniform:60,fork:12", "pool": 40},
    "PML": SMALL | {"road": "hap", "pml": 1, "frames": 4096, "superpages": 1, "work": "uniform:60"},
    "NPT": SMALL | {"road": "hap", "hap": "npt", "superpages": 1, "frames": 4096, "work": "uniform:60"},
    "superpages for data only": SMALL | {"road": "hap", "superpages": 1, "exec_sp": 0, "frames": 4096, "work": "hotcold:90"},
    "a guest that reads": SMALL
    | {"road": "hap", "superpages": 1, "frames": 4096, "work": "uniform:1500", "write": 0, "start": 6000},
    "a guest that reads, 1 GiB": SMALL
    | {"road": "hap", "superpages": 2, "frames": 1 << 18, "direct_map_pages": "large", "pml": 0}
    | {"work": "uniform:90", "write": 0, "start": 900},
    "two vCPUs": SMALL | {"road": "shadow", "vcpus": 2, "work": "uniform:60,fork:12,hotcold:60", "pool": 48},
}
Seen = set[tuple[str, int]]  # (letter, fill code)


def pairs(grid: np.ndarray) -> Seen:
    """The pairs of letter and fill code on a grid of cell words."""
    return {(letter_of(word), word & FILL_MASK) for word in np.unique(grid & 0x1FFF).tolist()}


def look(sim: Simulation, plans: dict[tuple[str, str], Plan], seen: dict[tuple[str, str], Seen]) -> None:
    """Add what all boards of the machine show now."""
    scene = Scene(sim)
    for which, plan in plans.items():
        seen[which] |= pairs(registry.REGISTRY[plan.id].cells(scene, plan))


def plans_of(sim: Simulation) -> dict[tuple[str, str], Plan]:
    """{(board, what its bits tell): plan} of all boards of the machine, the pool as large as any command makes it."""
    out = {}
    for board in (*registry.HOME, "nested-tables"):
        for bits in BITS if board == "dirty-bitmap" else ("round",):
            pages = max(sim.scenario.pool, 64)
            out[board, bits] = registry.make_plan(board, sim.scenario, sim.work, Options(pages, bits))
    return out


def ticks_of(sim: Simulation, n: int) -> list[int]:
    """About n ticks up to a little after where the scenario opens, most at the beginning, and those round its commands."""
    last = min(sim.scenario.start, 60_000) + 300
    spread = {round(last * (k / n) ** 2) for k in range(n + 1)}
    around = {c.tick + d for c in sim.journal for d in (0, 3, 40) if c.tick <= last}
    return sorted(spread | around)


def states(sim: Simulation, n: int = 12) -> Iterator[None]:
    """Bring the machine into its states one after the other: what its own course brings, then what commands by hand do."""
    for tick in ticks_of(sim, n):
        sim.seek(tick)
        yield
    frames, pages = sim.scenario.frames, sim.machine.sys[0]
    used, all_pages = int(pages.p2m_pages), int(pages.total_pages + pages.p2m_pages)
    smaller = min(max(used if sim.scenario.road == "hap" else all_pages - 2, 16), sim.scenario.pool_cap)
    for text, later in (
        ("enable", (1, 1, 1, 1, 1, 1, 1, 10, 50, 200)),
        *(("clean", (1, 1, 1, 3, 20)),) * 6,
        (f"dm:{frames - 3}:3", ()),
        ("blow", (1, 20)),
        ("off", (1, 20)),
        ("clean", (1, 20)),
        (f"pool:{smaller}", ()),
    ):
        sim.command(text)
        yield
        for step in later:
            sim.seek(sim.tick + step)
            yield


def seen_by(scenario: Scenario) -> tuple[dict[tuple[str, str], Plan], dict[tuple[str, str], Seen]]:
    """(plans, what all boards of a machine showed in all its states): once as it is, once with log-dirty on from the start."""
    sim = Simulation(scenario)
    plans, seen = plans_of(sim), defaultdict(set)
    for _ in states(sim):
        look(sim, plans, seen)
    sim = Simulation(scenario)
    sim.command("enable")
    for tick in (*range(24), 33, 45, 60, 90, 130, 180, 250, 350, 500, 800):
        sim.seek(tick)
        look(sim, plans, seen)
    return plans, seen


def scenario_of(name: str) -> Scenario:
    return Scenario(**MADE_UP[name]) if name in MADE_UP else load(name)


def explained(plan, pair) -> bool:
    """Whether the legend has an entry for a cell of this (letter, fill code).

    A neutral entry is for every shade of the board's scale, one without letter for every letter, one of small letters for the
    small letter of any other entry.
    """
    letter, code = pair
    rows = {(letter, code) for letter, code, _ in plan.legend if code is not None}
    shade = code >= AGE_YOUNGEST and plan.scale and code in dict(plan.scale.steps)
    small = rows & {("w", WRITABLE), ("r", READ_ONLY)} and letter.islower() and (letter.upper(), code) in rows
    return code == BLANK or pair in rows or (" ", code) in rows or bool(shade and (letter, NEUTRAL) in rows) or bool(small)


def met(row, seen) -> bool:
    """Whether a cell that this entry of a legend is about has been seen."""
    letter, code, _ = row
    if code == NEUTRAL:
        return any(other == letter and fill >= AGE_YOUNGEST for other, fill in seen)
    return any(fill == code and other == (letter if letter.strip() else other) for other, fill in seen)


def missing(plans, seen):
    """Entries that were not met, by (board, view)."""
    rows = {which: [row for row in plan.legend if row[1] is not None] for which, plan in plans.items()}
    return {(which, row) for which, of_board in rows.items() for row in of_board if not met(row, seen[which])}


def met_nowhere(machines):
    """{(board, view): entries of its legend that none of the machines shows}. machines: (plans, what was seen) of each."""
    wanted, there = defaultdict(set), defaultdict(set)
    for plans, seen in machines:
        left = missing(plans, seen)
        for which, plan in plans.items():
            rows = {row for row in plan.legend if row[1] is not None}
            wanted[which] |= rows
            there[which] |= {row for row in rows if (which, row) not in left}
    return {which: rows - there[which] for which, rows in wanted.items() if rows - there[which]}


def unexplained(plans, seen):
    """(board, view, pair) of cells that no entry explains. A board without a legend is hatched."""
    hatched = {(" ", palette.ABSENT), (" ", BLANK)}
    return [
        (*which, pair)
        for which, plan in plans.items()
        for pair in seen[which]
        if not (explained(plan, pair) if plan.legend else pair in hatched)
    ]
