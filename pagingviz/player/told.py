"""The answer to "why is this cell as it is", worked out in slices of time, and what the card shows of it."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from pagingviz.boards.board import Plan
from pagingviz.boards.since import BOARDS
from pagingviz.boards.why import Why, at_home, why
from pagingviz.story.because import heading
from pagingviz.timeline.simulation import Simulation


@dataclass(frozen=True)
class Progress:
    """Where a job of the player stands: share 0..1 and a sentence."""

    share: float
    message: str


@dataclass(frozen=True)
class Told:
    """An answer: the cell (board, number) that was asked about, the tick at which, and what was found."""

    cell: tuple[str, int]
    tick: int
    answer: Why

    def wire(self, here: int) -> dict[str, Any]:
        """What the card shows of it, plain data; back: the tick to go back to. here: the tick on the screen."""
        links = [link.wire() for link in self.answer.chain]
        back = self.tick if self.tick != here else None
        return {"heading": heading(self.tick, self.answer.since.tick, here), "chain": links, "back": back}


def explained(
    sim: Simulation, plans: Sequence[Plan], cell: tuple[str, int] | None, seconds: float
) -> Generator[Progress, None, Told | None]:
    """A job that finds the answer for a cell (board, number) at the present moment, so many seconds between two yields.

    None for a cell of a board that cannot tell (since.BOARDS), or of none of `plans`. The machine is where it was afterwards,
    also when the job is given up.
    """
    plan = next((plan for plan in plans if cell and plan.id == cell[0] and plan.id in BOARDS), None)
    if plan is None or cell is None or not 0 <= cell[1] < plan.key.size:
        return None
    tick, began = sim.tick, time.perf_counter()
    search = at_home(sim, why(sim, plan, cell[1]))
    try:
        while True:
            back = next(search)
            if time.perf_counter() - began > seconds:
                yield Progress(1 - back / max(tick, 1), f"Looking for what led to it, back to tick {back:,} by now.")
                began = time.perf_counter()
    except StopIteration as end:
        return Told(cell, tick, end.value)
    finally:
        search.close()
