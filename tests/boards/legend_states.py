"""States of many machines in which the boards show what they can show, for the tests of legends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import pagingviz
from pagingviz.boards import registry
from pagingviz.boards.board import Options, Plan
from pagingviz.boards.cell_words import letter_of
from pagingviz.boards.dirty_bitmap import BITS
from pagingviz.boards.palette import FILL_MASK
from pagingviz.boards.scene import Scene
from pagingviz.scenario.scenario import Scenario
from pagingviz.timeline.simulation import Simulation

LIBRARY = sorted(path.stem for path in Path(pagingviz.__file__).parent.glob("scenario/library/*.toml"))
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
