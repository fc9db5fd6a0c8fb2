"""Machines side by side: each is what it would be alone, at every tick, whatever the visitor does."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagingviz.boards.palette import CHANGED
from pagingviz.boards.payload import decode
from pagingviz.boards.registry import HOME
from pagingviz.player import player as playing
from pagingviz.player import side
from pagingviz.player.crowd import Crowd
from pagingviz.player.message import Display
from pagingviz.player.player import Player
from pagingviz.player.side import Beside
from pagingviz.reading.guest_entries import mappings
from pagingviz.scenario.beside import scenarios
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.boards.on_screen import Shown
from tests.support.waiting import until

FOUR = "road:hap;road:hap,hap:npt,pool:32;road:pv"
MACHINES = st.sampled_from(
    ["road:hap", "road:bare", "road:pv", "road:hap,hap:npt", "pool:32", "oos:0", "seed:7", "do:enable@40,clean@90,pool:20@95"]
)
STEPS = st.one_of(st.integers(0, 700), st.sampled_from(["enable", "clean", "peek", "off", "blow", "dm:3:4"]))


def alone(sim, text):
    """The digests of the machines that a text names, each built anew and run to the tick of `sim` by itself."""
    own = sim.scenario.replace(do=sim.script())
    found = []
    for scenario in scenarios(own, text):
        other = Simulation(scenario)
        other.run(sim.tick)
        found.append(other.machine.digest())
    return found


def digests(found):
    return [sim.machine.digest() for _, _, sim in found.machines()[1:]]


@settings(max_examples=30)
@given(st.lists(MACHINES, min_size=1, max_size=3, unique=True), st.lists(STEPS, min_size=1, max_size=5))
def test_every_machine_is_at_every_tick_what_it_would_be_alone(warm, machines, steps):
    text = ";".join(machines)
    sim = Simulation(load("blackboard").replace(do="", clean_every=0))
    found = Beside(sim, text)
    for step in steps:
        if isinstance(step, int):
            sim.seek(step)
        else:
            sim.command(step)
        found.arrive()
        assert digests(found) == alone(sim, text), (step, sim.tick, sim.script())


def test_machines_that_are_migrated_stand_still_by_themselves(warm):
    """Each has a migration of its own under the one clock: at every tick it is what it would be alone."""
    sim = Simulation(load("moving").replace(frames=64, work="uniform:24", trace="", pace=2, migrate_at=100))
    found = Beside(sim, "road:hap;road:pv")
    stood = set()
    for tick in (90, 400, 700, 1500, 650, 3000):
        sim.seek(tick)
        found.arrive()
        assert digests(found) == alone(sim, "road:hap;road:pv"), tick
        stood.add(tuple(one.migration.stood for _, _, one in found.machines()))
    assert any(max(one) > 0 for one in stood), "some guest has stood still"
    assert any(len(set(one)) > 1 for one in stood), "and not all of them as long"


def test_a_way_that_is_long_is_walked_in_slices_and_told(warm):
    sim = Simulation(load("blackboard"))
    found = Beside(sim, "road:hap")
    sim.seek(1_000_000)
    assert not found.follow(0.01)
    share, text = found.way()
    assert 0 <= share < 1 and text.startswith("EPT + PML is on its way to tick 1,000,000: ")
    assert [name for _, name, _ in found.machines()] == ["shadow"]
    assert until(lambda: found.follow(0.1), between=lambda: None)
    assert [sim.tick for _, _, sim in found.machines()] == [1_000_000] * 2


def test_a_machine_that_cannot_obey_a_command_says_so_and_the_others_stay(warm):
    sim = Simulation(load("blackboard").replace(frames=320))
    found = Beside(sim, "frames:256;road:hap")
    sim.seek(500)
    found.arrive()
    sim.command("dm:300")
    found.arrive()
    (why,) = found.refused()
    assert why.startswith("Machine 2 (shadow, frames=256): ") and "dm:GFN" in why and why.endswith(".")
    assert [name for _, name, _ in found.machines()] == ["shadow, frames=320", "EPT + PML, frames=320"]


# ---- the player


@pytest.fixture
def player(warm, monkeypatch):
    """A player of the blackboard at tick 300, whose every answer waits for the end of the way."""
    monkeypatch.setattr(playing, "SLICE", math.inf)
    made = Player(Simulation(load("blackboard")), crowd=Crowd())
    made.sim.seek(300)
    made.beside = Beside(made.sim, FOUR)
    return made


def display(player, board="ept-npt"):
    return Display("Side by side", (board,), scene=player.beside.scene, beside=player.beside)


def ask(player, cmd, on="ept-npt", **more):
    player.count = getattr(player, "count", 0) + 1
    asked = {"seq": player.count, "cmd": cmd, "tick": player.sim.tick, "from": player.sim.tick, "n": 1, "frames": 5}
    return decode(player.answer(asked | more, display(player, on)))


def truth(player, board, tick):
    """The grids of the four machines, each run by itself to `tick`."""
    own = player.sim.scenario.replace(do=player.sim.script())
    out = []
    for scenario in (own, *scenarios(own, FOUR)):
        sim = Simulation(scenario)
        sim.seek(tick)
        out.append(Shown(sim, board).grid)
    return out


def same(shown, expected):
    return all(np.array_equal(a & ~np.uint16(CHANGED), b) for a, b in zip(shown, expected, strict=True))


@pytest.mark.parametrize("board", HOME)
def test_the_maps_of_all_machines_show_the_same_tick(player, board):
    for cmd, n, tick in (("step", 1, 301), ("step", -2, 299), ("seek", 700, 700), ("home", 1, 0)):
        header, frames = ask(player, cmd, on=board, n=n)
        assert header["frames"][-1]["tick"] == tick and same(frames[-1], truth(player, board, tick)), (cmd, tick)
    assert [one["id"] for one in header["boards"]] == [board, f"{board}@2", f"{board}@3", f"{board}@4"]
    names = ["shadow, pool=24", "EPT + PML, pool=24", "NPT, pool=32", "PV, pool=24"]
    assert [one["title"].partition(": ")[0] for one in header["boards"]] == names
    assert [(one["column"], one["alike"]) for one in header["boards"]] == [(k, True) for k in range(4)]


def test_every_frame_of_a_run_is_true_of_all_machines(player):
    header, frames = ask(player, "run", per_frame=7)
    ticks = [frame["tick"] for frame in header["frames"]]
    assert ticks == [307, 314, 321, 328, 335]
    for tick, grids in zip(ticks, frames, strict=True):
        assert same(grids, truth(player, "ept-npt", tick)), tick
    assert all(len(frame["captions"]) == 4 for frame in header["frames"])


def test_what_has_changed_since_the_tick_before_is_outlined_on_every_map(player):
    outlined = np.zeros(4, bool)
    for tick in range(301, 320):
        _, frames = ask(player, "seek", n=tick)
        before, now = truth(player, "ept-npt", tick - 1), truth(player, "ept-npt", tick)
        for k, grid in enumerate(frames[-1]):
            changed = grid & CHANGED != 0
            assert np.array_equal(changed, (before[k] != now[k])), (tick, k)
            outlined[k] |= changed.any()
        assert digests(player.beside) == alone(player.sim, FOUR)
    assert outlined[0] and outlined[2], "some map has changed at some tick"


def test_inside_a_tick_the_others_show_it_as_it_ends(player):
    ask(player, "next", kind="SHADOW_FAULT")
    tick = player.sim.tick
    ask(player, "step", n=-1)
    for k in (1, 2):
        header, frames = ask(player, "micro")
        assert header["micro"][0] == k < header["micro"][1] and header["frames"][-1]["tick"] == tick
        assert same(frames[-1][1:], truth(player, "ept-npt", tick)[1:])
    assert not same(frames[-1], truth(player, "ept-npt", tick)), "in the first machine the fault is not dealt with yet"
    header, frames = ask(player, "step", n=1)
    assert header["frames"][-1]["tick"] == tick and same(frames[-1], truth(player, "ept-npt", tick))


def test_a_frame_lights_up_on_the_maps_of_all_machines(player):
    header, _ = ask(player, "inspect", board="ept-npt@3", cell=17)
    assert header["inspect"]["title"] == "NPT, pool=32: gfn 0x11"
    assert header["lit"] == {"ept-npt": [17], "ept-npt@2": [17], "ept-npt@3": [17], "ept-npt@4": [17]}
    header, _ = ask(player, "inspect", board="ept-npt@5", cell=17)
    assert header["inspect"] is None and header["lit"] == {}


def test_the_frames_of_a_pv_guest_are_others(player):
    """Its tables take more frames, and the frames of its programs' pages come behind them."""
    ask(player, "seek", n=900)
    frames = [
        {page: gfn for gfn in range(256) for slot, page in mappings(sim.machine, sim.work, gfn) if slot == 0}
        for _, _, sim in player.beside.machines()
    ]
    tables = [len(sim.machine.live_tables()) for _, _, sim in player.beside.machines()]
    assert len(frames[0]) > 3 and frames[0] == frames[1] == frames[2] and tables[0] == tables[1] == tables[2] < tables[3]
    assert frames[3].keys() == frames[0].keys() and all(frames[3][page] != frames[0][page] for page in frames[0])


def test_a_frame_that_one_machine_lacks_lights_up_on_the_others(player):
    player.sim = Simulation(load("blackboard").replace(frames=320))
    player.beside = Beside(player.sim, "frames:256")
    header, _ = ask(player, "inspect", board="ept-npt", cell=300)
    assert header["lit"] == {"ept-npt": [300]}
    header, _ = ask(player, "inspect", board="ept-npt", cell=100)
    assert header["lit"] == {"ept-npt": [100], "ept-npt@2": [100]}


def test_words_beside_the_maps_speak_of_every_machine(player):
    header, _ = ask(player, "seek", n=900)
    frame = header["frames"][-1]
    assert frame["sentence"].startswith("shadow, pool=24: ")
    chips = dict(map(tuple, frame["status"]))
    assert list(chips) == ["tick", "rules", "shadow, pool=24", "EPT + PML, pool=24", "NPT, pool=32", "PV, pool=24"]
    counts = player.sim.counters()
    assert chips["shadow, pool=24"].startswith(f"in Xen {counts['shadow_fault'] + counts['exits_cr3']:,} times")
    assert chips["rules"] == "hold ✓"


def test_a_search_that_is_given_up_brings_all_to_where_the_slowest_is(player, monkeypatch):
    monkeypatch.setattr(playing, "SLICE", 0.0)
    monkeypatch.setattr(side.Beside, "reached", property(lambda self: 120))
    header, _ = ask(player, "seek", n=400)
    header, _ = ask(player, "cancel")
    assert player.tick == 120


def test_other_machines_are_another_picture(player):
    first, _ = ask(player, "poll")
    player.beside = Beside(player.sim, "road:bare")
    second, frames = ask(player, "poll")
    assert first["machine"] != second["machine"] and len(frames[-1]) == 2
