"""All boards by their ids, and what a page asks of them: plans, and the card of a cell with all that lights up with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pagingviz.boards import translation
from pagingviz.boards.board import DEFAULT, Board, Card, Options, Plan
from pagingviz.boards.destination import Destination
from pagingviz.boards.dirty_bitmap import DirtyBitmap
from pagingviz.boards.ept_npt import EptNpt
from pagingviz.boards.guest_tables import GuestTables
from pagingviz.boards.nested_tables import NestedTables
from pagingviz.boards.scene import Scene
from pagingviz.boards.shadow_pool import ShadowPool
from pagingviz.boards.source import Source
from pagingviz.boards.wire import Wire
from pagingviz.scenario.scenario import Scenario

_ALL: tuple[Board, ...] = (
    GuestTables(),
    ShadowPool(),
    EptNpt(),
    DirtyBitmap(),
    NestedTables(),
    *translation.BOARDS.values(),
    Source(),
    Wire(),
    Destination(),
)
REGISTRY: dict[str, Board] = {board.id: board for board in _ALL}

# What the pages show, by ids.
HOME = ("guest-tables", "shadow-pool", "ept-npt", "dirty-bitmap")
MIGRATION = ("source", "wire", "destination")
ROADS = tuple(translation.ROADS)


def make_plan(board: str, scenario: Scenario, work: Any, options: Options = DEFAULT) -> Plan:
    """The plan of the board with this id. Raises KeyError for an id that no board has."""
    return REGISTRY[board].plan(scenario, work, options)


def card(scene: Scene, plans: Sequence[Plan], plan: Plan, cell: int) -> Card | None:
    """The card of a cell of the board of `plan`, with the cells that light up with it on all boards of `plans`.

    None where the board has no card for the cell, or no such cell.
    """
    if not 0 <= cell < plan.width * plan.height:
        return None
    found = REGISTRY[plan.id].card(scene, plan, cell)
    if found is not None and found.frame is not None:
        for other in plans:
            lit, own = REGISTRY[other.id].lit(scene, other, found.frame), found.lit.get(other.id)
            found.lit[other.id] = sorted({*own, *lit}) if own else lit
    return found
