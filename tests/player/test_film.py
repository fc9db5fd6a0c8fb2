"""The player of a broken rule's film: it goes where it is asked to, never beyond the film, and tells both machines apart."""

import numpy as np
import pytest

from pagingviz.boards.board import Plan
from pagingviz.boards.cell_words import word
from pagingviz.boards.palette import CHANGED, DIRTY, FREE
from pagingviz.boards.payload import decode
from pagingviz.experiments.broken_rules import BROKEN_RULES
from pagingviz.experiments.noticed import BITMAP, Wrong
from pagingviz.experiments.what_if import Film
from pagingviz.player.film import BROKEN, SIDES, TRUE, FilmPlayer
from pagingviz.player.message import Display

FIRST, TICK, LAST = 40, 45, 49
SHOWN = Display("What if", (), compact=True)
CELL = 20  # of the frame that is wrong


@pytest.fixture
def player():
    """A player of ten ticks, made by hand: from TICK on one bit is set on the true machine alone."""
    grids = np.full((LAST - FIRST + 1, 2, 4, 32), word(FREE, "."), np.uint16)
    grids[TICK - FIRST :, 0].reshape(-1, 128)[:, CELL] = word(DIRTY, "D")
    told = [["It reads.", "It reads."]] * (TICK - FIRST) + [["It faults.", "It writes."]] * (LAST - TICK + 1)
    captions = [["of the true one", "of the broken one"]] * (LAST - FIRST + 1)
    wrong = Wrong(TICK, BITMAP, [CELL], "Nobody learns of it.")
    return FilmPlayer(Film("flush-at-clean", wrong, FIRST, told, captions, [[CELL], [CELL]], grids, "", ""))


def ask(player, cmd="poll", **more):
    """(header, frames) of the answer to an ask."""
    return decode(player.answer({"seq": 1, "cmd": cmd, "tick": player.tick} | more, SHOWN))


def tick_of(player, cmd, **more):
    """The tick that is shown after an ask."""
    header, _ = ask(player, cmd, **more)
    return header["frames"][-1]["tick"]


def test_it_begins_where_the_rule_is_noticed_with_a_map_of_each_machine(player):
    header, (grids,) = decode(player.answer(None, SHOWN))
    (record,) = header["frames"]
    assert [board["title"] for board in header["boards"]] == [f"Dirty bitmap, {side}" for side in SIDES]
    assert (record["tick"], record["sentence"], header["marks"]) == (TICK, "Nobody learns of it.", [[TICK, "wrong"]])
    assert record["source"] == BROKEN_RULES["flush-at-clean"].source
    assert record["captions"] == ["of the true one", "of the broken one"]
    changed = [np.flatnonzero(grid & CHANGED).tolist() for grid in grids]
    assert changed == [[CELL], []], "outlined: what has changed since the tick before"
    assert all(f"at tick {TICK}" in board["alt"] for board in header["boards"])
    assert "1 dirty" in header["boards"][0]["alt"] and "dirty" not in header["boards"][1]["alt"].partition(": ")[2]


def test_it_steps_and_never_leaves_the_film(player):
    assert tick_of(player, "step", n=-1) == TICK - 1
    assert tick_of(player, "step", n=3) == TICK + 2
    assert tick_of(player, "home") == FIRST and tick_of(player, "step", n=-5) == FIRST
    assert tick_of(player, "end") == LAST and tick_of(player, "step", n=7) == LAST
    assert tick_of(player, "seek", n=0) == FIRST and tick_of(player, "seek", n=10**9) == LAST
    assert tick_of(player, "next") == TICK and tick_of(player, "home") == FIRST and tick_of(player, "prev") == TICK
    assert tick_of(player, "step", n="many", tick=None) == TICK + 1


def test_what_happens_is_told_once_or_of_both_machines(player):
    header, _ = ask(player, "seek", n=FIRST)
    assert header["frames"][0]["sentence"] == "On both machines: It reads."
    header, _ = ask(player, "seek", n=LAST)
    assert header["frames"][0]["sentence"] == "True: It faults. Broken: It writes."
    header, _ = ask(player, "micro", n=1)
    assert "whole ticks" in header["frames"][0]["sentence"] and header["frames"][0]["tick"] == LAST
    header, _ = ask(player)
    assert header["frames"][0]["sentence"] == "True: It faults. Broken: It writes."


def test_the_wrong_page_is_outlined_from_its_tick_on(player):
    header, _ = ask(player)
    both = {board["id"]: [CELL] for board in header["boards"]}
    assert len(both) == 2 and header["lit"] == both
    assert ask(player, "step", n=1)[0]["lit"] == both
    assert ask(player, "seek", n=TICK - 1)[0]["lit"] == {}


def test_a_card_tells_what_the_cell_is_on_both_machines(player):
    board = ask(player)[0]["boards"][1]["id"]
    header, _ = ask(player, "inspect", board=board, cell=CELL)
    assert header["inspect"]["rows"] == [[TRUE, "written since the last CLEAN"], [BROKEN, "clean"]]
    assert {name: cells for name, cells in header["lit"].items()} == dict.fromkeys(
        (board["id"] for board in header["boards"]), [CELL]
    )
    for other in ({"board": board, "cell": 128}, {"board": board, "cell": -1}, {"board": "guest-tables", "cell": 1}):
        assert ask(player, "inspect", **other)[0]["inspect"] is None


def test_a_run_ends_with_the_film(player):
    ask(player, "home")
    header, frames = ask(player, "run", **{"from": FIRST, "frames": 4, "fps": 30})
    assert [record["tick"] for record in header["frames"]] == [FIRST + 1, FIRST + 2, FIRST + 3, FIRST + 4]
    assert header["playing"] and len(frames) == 4
    assert ask(player, "poll")[0]["frames"] == [], "what it has is still to be seen"
    header, _ = ask(player, "run", **{"from": FIRST + 4, "frames": 30})
    assert header["frames"][-1]["tick"] == LAST and not header["playing"]
    assert ask(player, "stop", tick=LAST - 2, n=0)[0]["frames"][0]["tick"] == LAST - 2


def test_every_rule_s_boards_have_a_plan_of_each_machine():
    for name, rule in BROKEN_RULES.items():
        film = Film(name, Wrong(1, BITMAP, [0], ""), 0, [["", ""]], [["", ""]], [[], []], np.zeros((1, 2, 1, 1)), "", "")
        plans: list[Plan] = FilmPlayer(film).plans
        assert len({plan.id for plan in plans}) == 2 and all(plan.id.startswith(rule.board) for plan in plans)
        assert len({plan.column for plan in plans}) == (1 if plans[0].width > 2 * plans[0].height else 2)
