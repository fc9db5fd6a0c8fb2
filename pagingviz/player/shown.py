"""The boards on the screen: each with the scene of the machine that it is drawn from, and its name in the browser.

On most pages all are of one machine. Where machines stand side by side several boards of one kind are shown, one of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pagingviz.boards.board import Board, Card, Cornered, Plan
from pagingviz.boards.registry import REGISTRY, card
from pagingviz.boards.scene import Scene


@dataclass(frozen=True)
class Shown:
    """One board. id: its name in the browser; number: of its machine, from 1 on; name: what that is called, if not alone."""

    id: str
    plan: Plan
    scene: Scene
    number: int = 1
    name: str = ""

    @property
    def board(self) -> Board:
        """What draws it."""
        return REGISTRY[self.plan.id]

    def cells(self) -> np.ndarray:
        """Its cells at the present moment: cell words, uint16[height, width]."""
        return self.board.cells(self.scene, self.plan)

    def caption(self) -> str:
        """The line under its title."""
        return self.board.caption(self.scene, self.plan)

    def alt(self) -> str:
        """Its alternative text."""
        return self.board.alt(self.scene, self.plan)

    def placed(self) -> dict[str, Any]:
        """What of its record in a message's header its plan does not say: its name in the browser, and where it stands.

        alike: it is one of several boards of one kind, which stand in a row, or in a few rows where the cells are larger so.
        """
        return {"id": self.id} | ({"column": self.number - 1, "alike": True} if self.name else {})

    def corners(self) -> dict[int, str]:
        """What stands small in the corners of its cells, by cell."""
        return self.board.corners(self.scene, self.plan) if isinstance(self.board, Cornered) else {}


class Company(Protocol):
    """Machines that are shown beside the player's own, at the same tick."""

    @property
    def mark(self) -> str:
        """Names these machines: another text means other machines."""

    @property
    def reached(self) -> int:
        """The least tick at which one of them stands."""

    def follow(self, seconds: float = ...) -> bool:
        """Bring them nearer to the tick of the player's machine for about so long. True when all are there."""

    def arrive(self) -> None:
        """Bring them there, however long it takes."""

    def way(self) -> tuple[float, str]:
        """(share 0..1, a sentence): how far they are."""

    def among(self, own: Sequence[Shown], bits: str) -> list[Shown]:
        """The boards of all machines: `own` are those of the player's; bits: one of boards.dirty_bitmap.BITS."""


def corners(shown: Sequence[Shown]) -> dict[str, Any]:
    """What stands in the corners of cells, for a frame's record: {"corners": a dict for each board}; {} for nothing."""
    found = [one.corners() for one in shown]
    return {"corners": found} if any(found) else {}


def card_of(shown: Sequence[Shown], board: str, cell: int) -> Card | None:
    """The card of a cell of the board with this name in the browser, with the cells that light up with it on all boards.

    A frame of the guest lights up on the boards of the other machines as well. None where there is no card.
    """
    which = next((one for one in shown if one.id == board), None)
    if which is None:
        return None
    kin = [one for one in shown if one.number == which.number]
    found = card(which.scene, [one.plan for one in kin], which.plan, cell)
    if found is None:
        return None
    lit = {one.id: found.lit[one.plan.id] for one in kin if one.plan.id in found.lit}
    frame = found.frame
    for other in shown:
        if frame is not None and other.number != which.number and frame < other.scene.sim.scenario.frames:
            lit[other.id] = other.board.lit(other.scene, other.plan, frame)
    found.lit = lit
    if which.name:
        found.title = f"{which.name}: {found.title}"
    return found
