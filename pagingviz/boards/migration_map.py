"""What the three boards of a migration (source, wire, destination) share: the same cell stands for the same frames on each.

Outlined on all three: the pages that were handed to the wire last; thick: the frame's dirty bit is set, so it goes again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from pagingviz.arch.sizes import memory
from pagingviz.boards.board import DEFAULT, Card, LegendRow, Options, Plan
from pagingviz.boards.cell_words import HATCHED, NOTHING, letter_of, word
from pagingviz.boards.frame_map import NO_EDGES_FROM, cell_of, frames_in_a_cell
from pagingviz.boards.in_words import alternative, by_letter
from pagingviz.boards.migration_card import card_of
from pagingviz.boards.palette import CHANGED, FILL_MASK, PINNED
from pagingviz.boards.scene import Scene
from pagingviz.migration.policy import policy_of
from pagingviz.migration.run import Migration
from pagingviz.migration.state import POSTCOPY
from pagingviz.reading import migration_frames as frames
from pagingviz.scenario.roads import road_of
from pagingviz.scenario.scenario import Scenario

MOST_CELLS = 4096  # of one board: three stand side by side
MARKS = ("its dirty bit is set: it goes again", "on the wire now")


@dataclass
class Words:
    """The words of a board, in the order of what matters: a cell of many frames shows the last that one of them has.

    rows: (letter, fill code, text); thick: (letter, text) of the entry that explains the thick edge, or None; not_sent,
    sent: letters of frames without state, which cross once. cells: the cell word of each row, int[rows]; rank: {letter: row}.
    """

    rows: tuple[tuple[str, int, str], ...]
    thick: tuple[str, str] | None
    not_sent: str = "."
    sent: str = "W"
    cells: np.ndarray = field(init=False)
    rank: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.cells = np.array([word(fill, letter) for letter, fill, _ in self.rows])
        self.rank = {letter: k for k, (letter, _, _) in enumerate(self.rows)}

    def legend(self, cannot_occur: str, thick_edges: bool) -> list[LegendRow]:
        """The rows of the legend. cannot_occur: letters of what no cell can be."""
        rows: list[LegendRow] = [row for row in self.rows if row[0] not in cannot_occur]
        if self.thick and thick_edges:
            marked, more = self.thick
            rows = [(letter, fill, f"{text}; {more}" if letter == marked else text) for letter, fill, text in rows]
        return rows


def cannot_occur(scenario: Scenario) -> str:
    """Letters that no board of this migration can show (boards.can_occur).

    F: pages are fetched on demand only after a hand-over without them. Dd234: nothing is sent twice where the guest is stopped
    first or gone before its pages. H: a post-copy's pause sends no page. ?: pages are left for later by a policy that skips
    what is dirty again, and of a PV guest a table in flux.
    """
    kind = scenario.migrate
    once = kind in ("stop", "postcopy")
    skips = policy_of(scenario).skips or road_of(scenario).paravirtual
    letters = (
        ("F", kind not in POSTCOPY and scenario.at_limit != "postcopy"),
        ("Dd234", once),
        ("H", kind in POSTCOPY),
        ("?", once or not skips),
    )
    return "".join(letter for letter, absent in letters if absent)


@lru_cache(maxsize=128)
def _arrangement(count: int) -> tuple[int, int, np.ndarray]:
    """(frames in a cell, width, key) of the boards of a guest of so many frames."""
    k = frames_in_a_cell(count, MOST_CELLS)
    n = -(-count // k)
    width = next((w for w, most in ((8, 128), (12, 192), (16, 256), (32, 1024)) if n <= most), 64)
    key = np.full(-(-n // width) * width, -1)
    key[:n] = np.arange(n) * k
    return k, width, key


class MigrationBoard:
    """A board of the page Live migration; its subclasses define what their cells show."""

    id = ""
    column = 0  # on the page
    words: Words
    shows = "worst"  # of the frames of one cell
    more_legend: tuple[LegendRow, ...] = ()

    # ---- what each board has of its own

    def ranks(self, mig: Migration) -> tuple[np.ndarray, np.ndarray]:
        """For each frame with words of its own: its row of `words`, int[modelled], and if its edge is thick, bool[modelled]."""
        raise NotImplementedError

    def line(self, mig: Migration) -> str:
        """The caption while there is a migration."""
        raise NotImplementedError

    idle = ""  # the caption while there is none

    def legend_without_migration(self) -> tuple[LegendRow, ...]:
        return ()

    def grid_without_migration(self, out: np.ndarray, plan: Plan) -> np.ndarray:
        """The cell words of a machine without migration, int[cells]. `out`, int[cells]: each frame hatched, else nothing."""
        return out

    # ---- what they share

    def plan(self, scenario: Scenario, work: Any, options: Options = DEFAULT) -> Plan:
        k, width, key = _arrangement(scenario.frames)
        unit = "1 cell = 1 guest frame of 4 KiB"
        if k > 1:
            unit = f"1 cell = {memory(k)} = {k:,} frames, showing the {self.shows} of them"
        legend = self.words.legend(cannot_occur(scenario), thick_edges=width < NO_EDGES_FROM)
        legend += self.more_legend
        if scenario.migrate == "no":
            legend = list(self.legend_without_migration())
        elif k > 1:
            legend.append(("", None, f"1 cell = {k:,} frames: the {self.shows}"))
        return Plan(
            self.id,
            self.id.capitalize(),
            unit,
            width,
            key.size // width,
            tuple(legend),
            scenario.road,
            key,
            k,
            column=self.column,
            marks=MARKS,
        )

    def cells(self, scene: Scene, plan: Plan) -> np.ndarray:
        mig = scene.sim.migration
        out = np.where(plan.key >= 0, HATCHED, NOTHING)
        if mig is None:
            return self.grid_without_migration(out, plan).astype(np.uint16).reshape(plan.height, plan.width)
        rank, thick = self.ranks(mig)
        n = int(np.count_nonzero(plan.key >= 0))
        cell = mig.machine.modelled.frames() // plan.per_cell
        worst = self._without_state(mig, plan, n)
        np.maximum.at(worst, cell, rank)
        out[:n] = self.words.cells[worst]
        if plan.width < NO_EDGES_FROM:
            out[np.unique(cell[thick])] |= PINNED
        out[np.unique(cell[frames.in_flight(mig)])] |= CHANGED
        return out.astype(np.uint16).reshape(plan.height, plan.width)

    def _without_state(self, mig: Migration, plan: Plan, n: int) -> np.ndarray:
        """Rank of each of the n cells by those of its frames that are never written, int[n]; 0 where there is no such frame."""
        if not mig.machine.modelled.spread:
            return np.zeros(n, np.intp)
        passed = plan.key[:n] + plan.per_cell <= frames.frames_passed(mig)
        rank = self.words.rank
        return np.where(passed, rank[self.words.sent], rank[self.words.not_sent])

    def caption(self, scene: Scene, plan: Plan) -> str:
        mig = scene.sim.migration
        if mig is not None:
            return self.line(mig)
        return "no hypervisor on the bare road: nobody could move it" if not road_of(plan).hypervisor else self.idle

    def alt(self, scene: Scene, plan: Plan) -> str:
        counts = ", ".join(f"{n:,} {text}" for n, text in by_letter(self.cells(scene, plan), plan))
        return alternative(scene.sim.tick, plan, counts, self.caption(scene, plan))

    def table(self, scene: Scene, plan: Plan) -> list[dict[str, Any]]:
        grid = self.cells(scene, plan).reshape(-1)
        texts = {letter: text for letter, _, text in plan.legend}
        out = []
        for i in np.flatnonzero(plan.key >= 0).tolist():
            letter = letter_of(grid[i])
            if int(grid[i]) & FILL_MASK and letter != ".":
                out.append(
                    {
                        "cell": i,
                        "gfn": hex(int(plan.key[i])),
                        "letter": letter,
                        "state": texts.get(letter, ""),
                        "thick edge": bool(grid[i] & PINNED),
                    }
                )
        return out

    def card(self, scene: Scene, plan: Plan, cell: int) -> Card | None:
        return card_of(scene.sim, plan, cell) if scene.sim.migration is not None and plan.key[cell] >= 0 else None

    def lit(self, scene: Scene, plan: Plan, gfn: int) -> list[int]:
        return cell_of(plan, gfn)
