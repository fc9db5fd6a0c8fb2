"""Asked why a cell is as it is, the player answers on its card, and the machine is where it was."""

import math

import pytest

from pagingviz.boards.payload import decode
from pagingviz.boards.registry import HOME
from pagingviz.player import player as playing
from pagingviz.player.crowd import Crowd
from pagingviz.player.message import Display
from pagingviz.player.player import Player
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation

DISPLAY = Display("The machine", HOME)


@pytest.fixture
def player(warm, monkeypatch):
    """A player of the blackboard at tick 900; each answer waits for the end of the work."""
    made = Player(Simulation(load("blackboard")), crowd=Crowd())
    made.sim.seek(900)
    monkeypatch.setattr(playing, "SLICE", math.inf)
    return made


def ask(player, cmd, gfn, **more):
    """The header of the answer to an ask about a frame's cell of the bitmap."""
    common = {"seq": player.seq + 1, "tick": player.sim.tick, "from": player.sim.tick, "n": 1, "frames": 3}
    asked = common | {"cmd": cmd, "board": "dirty-bitmap", "cell": gfn} | more
    return decode(player.answer(asked, DISPLAY))[0]


def state(player):
    sim = player.sim
    return sim.tick, sim.opened, sim.furthest, sim.machine.digest(), sim.history()[0].tolist()


def test_the_card_tells_since_when_and_what_led_to_it(player):
    gfn = int(player.sim.machine.dirty_frames()[0])
    assert "because" not in ask(player, "inspect", gfn)["inspect"]
    before = state(player)
    told = ask(player, "why", gfn)["inspect"]["because"]
    assert state(player) == before
    newest, cleared = told["chain"]
    assert told["heading"] == f"So since tick {newest['tick']}" and told["back"] is None
    assert f"dirty bit of gfn {gfn:#x} has been set" in newest["text"]
    assert "CLEAN" in cleared["text"] and (cleared["tick"], cleared["source"]) == (800, "paging.c: paging_log_dirty_op")


def test_it_stays_while_the_moments_are_looked_at_and_goes_with_the_cell(player):
    gfn, other = player.sim.machine.dirty_frames()[:2].tolist()
    tick = ask(player, "why", gfn)["inspect"]["because"]["chain"][0]["tick"]
    there = ask(player, "seek", gfn, n=tick)["inspect"]["because"]
    assert (there["heading"], there["back"]) == (f"At tick 900: so since tick {tick}", 900)
    assert ask(player, "seek", gfn, n=900)["inspect"]["because"]["back"] is None
    assert "because" not in ask(player, "inspect", other)["inspect"]
    assert "because" not in ask(player, "inspect", gfn)["inspect"], "it was for the cell before"


def test_a_command_makes_it_untrue(player):
    gfn = int(player.sim.machine.dirty_frames()[0])
    ask(player, "why", gfn)
    player.command("clean")
    assert "because" not in ask(player, "inspect", gfn)["inspect"]


def test_in_an_open_tick_it_is_about_the_event_that_has_happened_last(player):
    player.sim.seek(802)
    n = player.sim.events().size
    k = next(k for k in range(1, n) if player.sim.micro(k) and player.sim.machine.dirty_frames().size)
    gfn, before = int(player.sim.machine.dirty_frames()[0]), state(player)
    newest = ask(player, "why", gfn)["inspect"]["because"]["chain"][0]
    assert state(player) == before and (newest["tick"], newest["k"], newest["n"]) == (802, k, n)


@pytest.mark.parametrize("cmd", ["cancel", "run", "step", "inspect"])
def test_a_search_that_is_given_up_brings_the_machine_back(player, monkeypatch, cmd):
    player.sim.seek(2790)
    before = state(player)
    monkeypatch.setattr(playing, "SLICE", -1)
    never = int((player.sim.machine.view("ver") == 0).nonzero()[0][-1])
    header = ask(player, "why", never)
    assert header["state"] == "seeking" and header["message"].startswith("Looking for what led to it, back to tick ")
    assert player.tick == 2790, "the address stays that of the picture"
    monkeypatch.setattr(playing, "SLICE", math.inf)
    header = ask(player, cmd, never, tick=2790, **{"from": 2790})
    if cmd == "inspect":  # the search goes on
        assert header["inspect"]["because"]["chain"][-1]["tick"] <= 2790 and state(player) == before
    elif cmd == "cancel":
        assert state(player) == before and "because" not in header["inspect"]
    else:
        assert header["frames"][0]["tick"] == 2791


@pytest.mark.parametrize("cell", [("wire", 3), ("dirty-bitmap", 10**6), ("dirty-bitmap", -1), (None, None)])
def test_a_cell_that_is_none_has_no_answer(player, cell):
    before = state(player)
    header = ask(player, "why", 0, board=cell[0], cell=cell[1])
    assert header["state"] == "ready" and header["inspect"] is None and state(player) == before
