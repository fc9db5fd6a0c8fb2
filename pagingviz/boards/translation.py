"""The boards of the page Translation: one a road, a cell a reference. A walk in one dimension is a row, in two a grid."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from pagingviz.arch import x86
from pagingviz.boards import translate_words as words
from pagingviz.boards.board import DEFAULT, Card, LegendRow, Options, Plan
from pagingviz.boards.cell_words import HATCHED, word
from pagingviz.boards.palette import ABSENT, CACHED, CHANGED, FREE, PENDING, PINNED, READ_ONLY, SUPERPAGE, TABLE, WRITABLE
from pagingviz.boards.reference_card import card_of
from pagingviz.boards.scene import Scene
from pagingviz.reading.translate import Reference, Walk
from pagingviz.scenario.scenario import Scenario

ROADS: dict[str, tuple[dict[str, str], str]] = {  # id of a board: (fields of the scenario, title)
    "translation-bare": ({"road": "bare"}, "bare"),
    "translation-pv": ({"road": "pv"}, "PV"),
    "translation-shadow": ({"road": "shadow"}, "shadow"),
    "translation-ept": ({"road": "hap", "hap": "ept"}, "HAP with EPT"),
    "translation-npt": ({"road": "hap", "hap": "npt"}, "HAP with NPT"),
}
_COLUMNS = {"translation-bare": 0, "translation-pv": 0, "translation-shadow": 0, "translation-ept": 1, "translation-npt": 2}
_NO_WALK = "no address is resolved here"  # on a page that does not resolve one

# ---- the plan

_LEAVES = (("T", TABLE, "leads to a table"), ("W", WRITABLE, "leaf, writable"), ("R", READ_ONLY, "leaf, read-only"))
_SUPERPAGE = ("S", SUPERPAGE, "superpage")
_OTHERS = (
    (".", FREE, "absent"),
    (" ", FREE, "to come"),
    (" ", CACHED, "cached"),
    (" ", ABSENT, "no reference"),
)
_LEGENDS: dict[str, tuple[LegendRow, ...]] = {  # by road: shadows hold no superpages, and a PV guest has none
    "bare": (*_LEAVES, _SUPERPAGE, *_OTHERS),
    "pv": (*_LEAVES, *_OTHERS),
    "shadow": (*_LEAVES, *_OTHERS),
    "hap": (*_LEAVES, _SUPERPAGE, ("S", READ_ONLY, "superpage, read-only"), ("?", PENDING, "change pending"), *_OTHERS),
}


@lru_cache(maxsize=32)
def _plan(guest: tuple[int, ...], board: str) -> Plan:
    """guest: levels of the guest's tables that are read from memory, from the top."""
    fields, title = ROADS[board]
    nested = fields["road"] == "hap"
    heads = (*(f"L{level}" for level in guest), "data")
    name = fields.get("hap", "").upper()
    height = 5 if nested else 1
    return Plan(
        board,
        title,
        "down: the nested tables, across: the guest's" if nested else "one read a level",
        len(heads),
        height,
        _LEGENDS[fields["road"]],
        fields["road"],
        np.full(height * len(heads), -1),
        labels=(*((4 - level, f"{name} L{level}") for level in (4, 3, 2, 1)), (4, "guest")) if nested else (),
        heads=heads,
        column=_COLUMNS[board],
        marks=("the walk ends here", "the present reference"),
    )


# ---- the cells


def cell_of(plan: Plan, ref: Reference) -> int:
    """The cell of a reference."""
    column = plan.width - 1 if not ref.column else plan.heads.index(f"L{ref.column}")
    row = 0 if plan.height == 1 else 4 if ref.dimension == "guest" else 4 - ref.level
    return row * plan.width + column


def numbers(plan: Plan, walk: Walk | str) -> dict[int, str]:
    """{cell: number of the reference in it}."""
    return {} if isinstance(walk, str) else {cell_of(plan, ref): str(ref.number) for ref in walk.references}


def _word(walk: Walk, ref: Reference) -> np.uint16:
    """The cell word of the entry that a reference reads."""
    if words.pending(walk, ref):
        fill, letter = PENDING, "?"
    elif ref.leads == "hole":
        fill, letter = FREE, "."
    elif ref.leads == "bad":
        fill, letter = PENDING, "F"
    elif ref.leads == "table":
        fill, letter = TABLE, "T"
    else:
        fill = (SUPERPAGE if ref.level > 1 else WRITABLE) if words.writable(walk, ref) else READ_ONLY
        letter = "S" if ref.level > 1 else "W" if fill == WRITABLE else "R"
    return word(CACHED if ref.served else fill, letter)


def _cells(plan: Plan, walk: Walk | str, made: int) -> np.ndarray:
    """The cell words of a walk of which `made` references are made: flat."""
    out = np.full(plan.width * plan.height, HATCHED)
    if isinstance(walk, str):
        return out
    for ref in walk.references:
        cell = cell_of(plan, ref)
        if ref.number > made:
            out[cell] = word(FREE, " ")
            continue
        ends = PINNED if ref.number == walk.end.at and walk.end.kind != "frame" else 0
        out[cell] = _word(walk, ref) | ends | (CHANGED if ref.number == made else 0)
    if walk.end.kind == "frame":
        done = made >= len(walk.references)
        free = walk.rights & int(x86.TLB_W | x86.TLB_KW)
        out[-1] = (word(WRITABLE, "W") if free else word(READ_ONLY, "R")) if done else word(FREE, " ")
    return out


# ---- the boards


class Translation:
    """The references of one address's walk down one road."""

    def __init__(self, board: str):
        self.id = board

    def walk(self, scene: Scene) -> tuple[Walk | str, int]:
        """(the walk down this road, or a sentence why there is none; how many of its references are made)."""
        return (scene.walks.by_board[self.id], scene.walks.made) if scene.walks else (_NO_WALK, 0)

    def plan(self, scenario: Scenario, work: Any, options: Options = DEFAULT) -> Plan:
        # PAE's top are four registers, which are no reads of memory; but behind NPT the walk reads its entries in memory
        top = 2 if scenario.guest_levels == 3 and ROADS[self.id][0].get("hap") != "npt" else scenario.guest_levels
        return _plan(tuple(range(top, 0, -1)), self.id)

    def cells(self, scene: Scene, plan: Plan) -> np.ndarray:
        return _cells(plan, *self.walk(scene)).reshape(plan.height, plan.width)

    def caption(self, scene: Scene, plan: Plan) -> str:
        walk, made = self.walk(scene)
        if isinstance(walk, str):
            return walk
        if made >= len(walk.references):
            exits = plan.height > 1 and walk.end.kind != "frame"  # a grid has room for what comes of an exit
            return f"{words.ending(walk)}. {words.then(walk)[0]}" if exits else words.ending(walk)
        return words.short(walk, walk.references[made - 1]) if made else f"{len(walk.references)} references to come"

    def alt(self, scene: Scene, plan: Plan) -> str:
        walk, made = self.walk(scene)
        if isinstance(walk, str):
            return f"{plan.title}: {walk}"
        n = min(made, len(walk.references))
        return f"{plan.title}: {words.access(walk)}, {n} of {len(walk.references)} references made. {words.ending(walk)}."

    def table(self, scene: Scene, plan: Plan) -> list[dict[str, Any]]:
        walk, made = self.walk(scene)
        if isinstance(walk, str):
            return []
        return [
            {
                "cell": cell_of(plan, ref),
                "reference": ref.number,
                "table": words.table(walk, ref),
                "entry": ref.index,
                "value": f"{ref.entry:#x}",
                "cached": ref.served,
            }
            for ref in walk.references[:made]
        ]

    def card(self, scene: Scene, plan: Plan, cell: int) -> Card | None:
        walk, _ = self.walk(scene)
        if isinstance(walk, str):
            return None
        ref = next((ref for ref in walk.references if cell_of(plan, ref) == cell), None)
        last = plan.width * plan.height - 1
        if ref is None and (cell != last or walk.end.kind != "frame"):
            return None
        card = card_of(scene.sim, walk, ref)
        card.title = f"{plan.title}: {card.title}"
        card.lit = {plan.id: [last]} if ref is None else _lit(scene, ref)
        return card

    def lit(self, scene: Scene, plan: Plan, gfn: int) -> list[int]:
        return []


def _lit(scene: Scene, ref: Reference) -> dict[str, list[int]]:
    """The cells, on all boards, that read a guest table in the same guest frame, or the very same nested or shadow entry."""
    guest, out = ref.dimension == "guest", {}
    for board, walk in scene.walks.found.items() if scene.walks else ():
        plan = BOARDS[board].plan(walk.machine.scenario, None)
        out[board] = [
            cell_of(plan, x)
            for x in walk.references
            if x.dimension == ref.dimension
            and (x.gfn == ref.gfn and x.level == ref.level if guest else x.address == ref.address)
        ]
    return out


BOARDS = {board: Translation(board) for board in ROADS}
