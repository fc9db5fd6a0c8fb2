"""The boards behind their protocol: all are in one registry, nobody asks for one by its id, and a new one is one file."""

import ast
from pathlib import Path

import numpy as np
import pytest

from pagingviz.boards import registry
from pagingviz.boards.board import DEFAULT, Board, Card, Plan
from pagingviz.boards.cell_words import W_DIRTY, W_FREE
from pagingviz.boards.palette import DIRTY, FREE
from pagingviz.boards.payload import decode
from pagingviz.boards.registry import REGISTRY, make_plan
from pagingviz.boards.scene import Scene
from pagingviz.player.crowd import Crowd
from pagingviz.player.message import Display, compiling
from pagingviz.player.player import Player
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation

PACKAGE = Path(registry.__file__).resolve().parents[1]
METHODS = [name for name in vars(Board) if not name.startswith("_") and name != "id"]


@pytest.fixture(scope="module")
def sim(warm):
    sim = Simulation(load("blackboard").replace(frames=1024))
    sim.seek(900)
    return sim


@pytest.mark.parametrize("board", REGISTRY)
def test_every_board_does_what_the_protocol_says(sim, board):
    shows, scene = REGISTRY[board], Scene(sim)
    assert shows.id == board and all(callable(getattr(shows, name)) for name in METHODS)
    plan = make_plan(board, sim.scenario, sim.work)
    assert plan.id == board and plan.key.shape == (plan.width * plan.height,)
    grid = shows.cells(scene, plan)
    assert grid.shape == (plan.height, plan.width) and grid.dtype == np.uint16
    assert shows.caption(scene, plan) and shows.alt(scene, plan).startswith(plan.title)
    assert all(row["cell"] < grid.size for row in shows.table(scene, plan))
    assert all(0 <= cell < grid.size for cell in shows.lit(scene, plan, 5))
    for cell in (0, grid.size - 1):
        assert isinstance(registry.card(scene, [plan], plan, cell), Card | None)
    assert registry.card(scene, [plan], plan, grid.size) is None


def test_nobody_asks_for_a_board_by_its_id():
    """`plan.id == "..."` would be a second registry. What a board does differently stands in its own file."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Compare):
                continue
            parts = [part for side in (node.left, *node.comparators) for part in ast.walk(side)]
            if any(isinstance(part, ast.Attribute) and part.attr == "id" for part in parts) and any(
                isinstance(part, ast.Constant) and part.value in REGISTRY for part in parts
            ):
                found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert found == []


# ---- a new board: one class, one line in the registry


class Versions:
    """How often the first frames of the guest have been stored to: a board that no other file knows."""

    id = "versions"

    def plan(self, scenario, work, options=DEFAULT):
        legend = ("D", DIRTY, "stored to"), (".", FREE, "never")
        return Plan(self.id, "Versions", "1 cell = 1 frame", 16, 4, legend, scenario.road, np.arange(64))

    def cells(self, scene, plan):
        stored = scene.sim.machine.view("ver")[:64] != 0
        return np.where(stored, W_DIRTY, W_FREE).reshape(plan.height, plan.width)

    def caption(self, scene, plan):
        return f"{int(scene.sim.machine.view('ver')[:64].sum())} stores"

    def alt(self, scene, plan):
        return f"{plan.title}: {self.caption(scene, plan)}"

    def table(self, scene, plan):
        return [{"cell": cell, "stores": int(scene.sim.machine.view("ver")[cell])} for cell in range(64)]

    def card(self, scene, plan, cell):
        return Card(f"frame {cell}", [], [("stores", str(int(scene.sim.machine.view("ver")[cell])))], "it is so", frame=cell)

    def lit(self, scene, plan, gfn):
        return [gfn] if gfn < 64 else []


def test_a_new_board_is_one_class_and_one_line_of_the_registry(sim, monkeypatch):
    monkeypatch.setitem(REGISTRY, "versions", Versions())
    display = Display("A page of its own", ("versions", "dirty-bitmap"))
    header, _ = decode(compiling(sim.scenario, display, 0.5, 1))
    assert header["boards"][0]["title"] == "Versions"
    player = Player(sim, crowd=Crowd())

    def shown(board, cell):
        ask = {"seq": 1, "cmd": "inspect", "tick": sim.tick, "board": board, "cell": cell}
        return decode(player.answer(ask, display))

    header, frames = shown("versions", 8)
    stored = int((sim.machine.view("ver")[:64] != 0).sum())
    assert np.count_nonzero((frames[0][0] & 0x1FFF) == W_DIRTY) == stored > 0
    assert header["boards"][0]["legend"][0][2] == "stored to" and header["boards"][0]["alt"].endswith("stores")
    assert header["frames"][0]["captions"][0] != header["boards"][0]["caption"] == header["boards"][0]["unit"]
    assert header["inspect"]["title"] == "frame 8" and header["lit"] == {"versions": [8], "dirty-bitmap": [8]}
    header, _ = shown("dirty-bitmap", 9)
    assert header["lit"]["versions"] == [9], "the cards of the other boards light up its cells"
