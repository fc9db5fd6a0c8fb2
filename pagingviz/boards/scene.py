"""What a page shows at one moment: what its boards are drawn from, and the words that stand beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pagingviz.reading.translate import Walk
from pagingviz.story.sentences import sentence
from pagingviz.story.status import status
from pagingviz.timeline.simulation import Simulation

if TYPE_CHECKING:
    from pagingviz.boards.board import Plan


@dataclass(frozen=True)
class Walks:
    """One address resolved down every road: what the boards of the page Translation are drawn from.

    by_board: {id of a board: its Walk, or a sentence why there is none}; made: how many references of each walk are made;
    own: the board of the visitor's own road, which always has a Walk; late: some road's machine has not reached the visitor's
    tick yet.
    """

    by_board: Mapping[str, Walk | str]
    made: int
    own: str
    late: bool = False

    @property
    def found(self) -> dict[str, Walk]:
        """The walks that there are."""
        return {board: walk for board, walk in self.by_board.items() if not isinstance(walk, str)}

    @property
    def total(self) -> int:
        """References of the longest walk."""
        return max((len(walk.references) for walk in self.found.values()), default=0)


@dataclass(frozen=True)
class Scene:
    """The present moment of `sim`, in the words of a page about the machine. walks: only on the page Translation."""

    sim: Simulation
    walks: Walks | None = None

    def sentence(self, sought: str = "") -> tuple[str, str]:
        """(what happens at this moment, where the rule comes from or ""). sought: the kind of event that was looked for."""
        return sentence(self.sim, sought)

    def status(self) -> list[tuple[str, str]]:
        """The status line: [(label, value)]."""
        return status(self.sim)

    def more(self, plans: Sequence[Plan]) -> dict[str, object]:
        """What a frame's record carries beside what every page has: plain data."""
        return {}
