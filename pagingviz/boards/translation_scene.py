"""What the page Translation shows at one moment: an address that is resolved down every road, and the words about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pagingviz.boards import translate_words as words
from pagingviz.boards.board import Plan
from pagingviz.boards.scene import Scene, Walks
from pagingviz.boards.translation import ROADS, numbers
from pagingviz.reading.translate import Walk
from pagingviz.story.status import status

_HIDDEN = ("seed", "table updates")  # of the status line


@dataclass(frozen=True)
class TranslationScene(Scene):
    """The walks of one address at the present moment of `sim`."""

    def _walks(self) -> Walks:
        assert self.walks is not None
        return self.walks

    def sentence(self, sought: str = "") -> tuple[str, str]:
        """About the present reference, and the rule's source."""
        walks = self._walks()
        return sentence(walks.by_board, walks.made, walks.own)

    def status(self) -> list[tuple[str, str]]:
        """The status line of every page, and the access."""
        walks = self._walks()
        walk = walks.found[walks.own]
        access = f"{words.ACCESSES[walk.kind]} {walk.gva:#x}, {'user' if walk.user else 'kernel'}"
        return [*(row for row in status(self.sim) if row[0] not in _HIDDEN), ("access", access)]

    def more(self, plans: Sequence[Plan]) -> dict[str, object]:
        """How many references are made, the numbers in the cells, and whether a road is still on its way."""
        walks = self._walks()
        return {
            "made": walks.made,
            "total": walks.total,
            "late": walks.late,
            "corners": [numbers(plan, walks.by_board[plan.id]) for plan in plans],
        }


def sentence(by_board: Mapping[str, Walk | str], made: int, own: str) -> tuple[str, str]:
    """(sentence, source) about reference `made`: of the visitor's own road while it goes on, else of one that still does.

    by_board: {board: Walk or text}; own: the board of the visitor's road.
    """
    walks = {board: walk for board, walk in by_board.items() if not isinstance(walk, str)}
    if not walks:
        return "No road is there yet.", ""
    if made >= max(len(walk.references) for walk in walks.values()):
        return _whole(walks, own)
    if not made:
        access = words.access(next(iter(walks.values()))).capitalize()
        return f"{access}: nothing is read yet; press ↓ for the first reference.", ""
    order = [own, "translation-ept", "translation-npt", *walks]
    board = next(board for board in order if board in walks and len(walks[board].references) >= made)
    walk = walks[board]
    text, source = words.reference(walk, walk.references[made - 1])
    ends = f" Here it ends: {walk.end.name}." if made == walk.end.at and walk.end.kind != "frame" else ""
    return f"{ROADS[board][1]}, reference {made} of {len(walk.references)}. {text}{ends}", source


def _whole(walks: Mapping[str, Walk], own: str) -> tuple[str, str]:
    """All walks are at their end: how many references each took, then what comes of the visitor's own."""
    counts = ", ".join(f"{ROADS[board][1]} {len(walk.references)}" for board, walk in walks.items())
    board = own if own in walks else next(iter(walks))
    text, source = words.then(walks[board])
    if walks[board].end.kind != "frame":
        text = f"{words.ending(walks[board])}. {text}"
    return f"References: {counts}. {ROADS[board][1]}: {text}", source
