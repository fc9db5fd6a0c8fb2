"""What a board is: the arrangement of its cells, and the protocol that every board fulfils.

A board shows one thing as a grid of cells. Its plan depends on the scenario and its work only, so that no cell changes its
meaning while the machine runs. A new board is one new file with a class like those beside this file, and one line of
registry.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from pagingviz.boards.scene import Scene
from pagingviz.boards.sheet import CellsOfEntries
from pagingviz.scenario.scenario import Scenario

LegendRow = tuple[str, int | None, str]  # (letter, fill code, text); None where it is about a cell's size, edge or corner


@dataclass(frozen=True)
class Scale:
    """What the shades of a ramp of fill codes mean: "age: 0 ... 32 ... 1,024 ... 32,768 ticks or more".

    name: the quantity; steps: (fill code, the number from which on it is used, "" where that is not written), in order;
    tail: what stands after the last one.
    """

    name: str
    steps: tuple[tuple[int, str], ...]
    tail: str


@dataclass(frozen=True)
class Plan:
    """The arrangement of one board."""

    id: str
    title: str
    unit: str  # what one cell stands for
    width: int  # cells
    height: int
    legend: tuple[LegendRow, ...]
    road: str  # of the machine
    key: np.ndarray = field(repr=False)  # int64[width * height], by cell the first frame or pool page it stands for, -1: none
    per_cell: int = 1  # frames in a cell
    labels: tuple[tuple[int, str], ...] = ()  # (row, text) on the left
    heads: tuple[str, ...] = ()  # a text above each column
    column: int | None = None  # on the page, from the top of which boards stand in order; None: arranged by their sizes
    marks: tuple[str, str] = ("pinned", "changed in this tick")  # what a thick edge and an outline mean
    entries: tuple[CellsOfEntries, ...] = field(default=(), repr=False)  # of the board of guest tables
    levels: tuple[tuple[int, int, int, int], ...] = ()  # of nested tables: (level, first cell, cells, entries in a cell)
    bits: str = ""  # of the dirty bitmap: what its cells show, one of boards.dirty_bitmap.BITS
    scale: Scale | None = None  # of the cells whose fill is a quantity


@dataclass(frozen=True)
class Options:
    """What a page chooses about its boards.

    pages: pages of the pool to show, where a command makes it larger than the scenario has it; bits: one of
    boards.dirty_bitmap.BITS.
    """

    pages: int | None = None
    bits: str = "round"


DEFAULT = Options()


@dataclass
class Card:
    """What the inspector shows about one cell.

    chain: the steps of the translation that lead through it; rows: (name, value); why: why it is as it is; why_tick: tick of
    the event that made it so, where known; lit: {board: cells} that stand for the same thing; frame: a frame of the guest,
    whose cells on all boards of the page belong to these as well.
    """

    title: str
    chain: list[str]
    rows: list[tuple[str, str]]
    why: str
    why_tick: int | None = None
    lit: dict[str, list[int]] = field(default_factory=dict)
    frame: int | None = None

    def wire(self) -> dict[str, Any]:
        """The card as the board in the browser gets it."""
        return {
            "title": self.title,
            "chain": self.chain,
            "rows": self.rows,
            "why": self.why,
            "why_tick": self.why_tick,
            "lit": self.lit,
        }


@runtime_checkable
class Cornered(Protocol):
    """A board that writes something small into the corners of its cells."""

    def corners(self, scene: Scene, plan: Plan) -> dict[int, str]:
        """{cell: a text of a few characters}; what stands after a space goes into the right corner."""


class Board(Protocol):
    """One board. A cell is named by its flat number in the grid, row by row."""

    @property
    def id(self) -> str:
        """Its name in the registry, in addresses of pages and in the browser."""

    def plan(self, scenario: Scenario, work: Any, options: Options = DEFAULT) -> Plan:
        """The arrangement for a machine of this scenario with this work (work.work.Work)."""

    def cells(self, scene: Scene, plan: Plan) -> np.ndarray:
        """The grid at the present moment: cell words (palette.py), uint16[height, width]."""

    def caption(self, scene: Scene, plan: Plan) -> str:
        """One or two short lines under the title, about the present moment."""

    def alt(self, scene: Scene, plan: Plan) -> str:
        """Alternative text: what somebody who cannot see the board should know, with numbers."""

    def table(self, scene: Scene, plan: Plan) -> list[dict[str, Any]]:
        """The same data as rows, one for each cell that is not empty."""

    def card(self, scene: Scene, plan: Plan, cell: int) -> Card | None:
        """The inspector's card of a cell, 0 <= cell < width * height; None where there is nothing to say."""

    def lit(self, scene: Scene, plan: Plan, gfn: int) -> list[int]:
        """The cells that stand for guest frame `gfn`."""
