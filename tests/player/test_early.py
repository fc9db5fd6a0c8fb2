"""Before the engine is compiled: a recording answers as the machine would, a click gets its card, and the machine goes on."""

import math
import subprocess
import sys
from concurrent.futures import Future

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagingviz.boards.migration_scene import MigrationScene
from pagingviz.boards.payload import decode
from pagingviz.boards.registry import HOME, MIGRATION, REGISTRY, card
from pagingviz.boards.scene import Scene
from pagingviz.player import player as playing
from pagingviz.player.crowd import Crowd
from pagingviz.player.early import cards as cards_module
from pagingviz.player.early.cards import Cards, Wanted
from pagingviz.player.early.player import CARD_MS, SOON, EarlyPlayer
from pagingviz.player.message import Display, plain
from pagingviz.player.player import Player
from pagingviz.scenario.scenario import load
from pagingviz.timeline import warm as kernels
from pagingviz.timeline.simulation import Simulation
from pagingviz.ui import session
from tests.support.waiting import until

HOME_DISPLAY = Display("The machine", HOME)
OF = {
    ("blackboard", "home"): HOME_DISPLAY,
    ("rounds", "pages"): Display("EPT / NPT", ("ept-npt", "nested-tables")),
    ("moving", "migration"): Display("Live migration", MIGRATION, scene=MigrationScene, changes=False),
}
OWN = ("now", "again", "aside", "seq", "pace")  # of the header: not about the picture


class StandingClock:
    """In the place of the module time: no time passes."""

    perf_counter = monotonic = thread_time = staticmethod(lambda: 0.0)


class Nobody:
    """In the place of Cards, where no test looks at a card."""

    def prepare(self, *_):
        """Nothing to do."""
        return Future()

    def close(self):
        """Nothing to end."""


@pytest.fixture
def cards():
    """A process of the test's own."""
    made = Cards()
    yield made
    made.close()


@pytest.fixture(scope="module")
def machines(warm):
    """The compiled engine's machine for each of OF."""
    return {name: Simulation(load(name)) for name, _ in OF}


def asked(player, cmd, **more):
    """An ask as the board sends it."""
    here = player.tick
    return {"seq": 1, "cmd": cmd, "tick": here, "from": here, "n": 1, "frames": 7, "fps": 30, "per_frame": 1} | more


WHY = {"cmd": "why", "board": "dirty-bitmap", "cell": 27}
ASKED_OF_A_MACHINE = [{"cmd": "micro"}, {"cmd": "next"}, {"cmd": "home"}, {"cmd": "seek", "n": 9}, WHY]
ASKS = st.lists(
    st.one_of(
        st.tuples(st.just("step"), st.fixed_dictionaries({"n": st.integers(-30, 60)})),
        st.tuples(st.just("run"), st.fixed_dictionaries({"frames": st.integers(1, 9), "per_frame": st.integers(1, 5)})),
        st.tuples(st.just("seek"), st.fixed_dictionaries({"n": st.integers(-50, 90)})),
        st.tuples(st.sampled_from(["stop", "poll", "end"]), st.just({})),
    ),
    max_size=8,
)


@pytest.mark.parametrize(("name", "view"), OF)
@settings(max_examples=12)
@given(asks=ASKS)
def test_a_recording_answers_as_the_machine_does(machines, name, view, asks):
    scenario, display, player = load(name), OF[name, view], Player(machines[name], crowd=Crowd())
    early = EarlyPlayer(scenario, scenario.start, player.machine, Nobody())
    player.sim.seek(0)
    player.sim.furthest = 0
    slice_, playing.SLICE = playing.SLICE, math.inf
    clock, playing.time = playing.time, StandingClock  # a batch of the player ends early when the computer is slow
    try:
        player.go(scenario.start)
        same(player.answer(None, display), early.answer(None, display))
        for cmd, more in asks:
            if cmd == "poll" and early.playing:
                continue  # the frames that the board has are still to be seen: nothing is said anew
            more = more | {"n": scenario.start + more["n"]} if cmd == "seek" else more
            ask = asked(early, cmd, **more)
            same(player.answer(ask, display), early.answer(ask, display))
            assert early.waits is None and early.tick == player.tick and early.furthest == player.sim.furthest
    finally:
        playing.SLICE, playing.time = slice_, clock


def same(one, other):
    """Two messages show the same: every cell, caption, chip, mark and sentence."""
    (header, frames), (recorded, frames_too) = decode(one), decode(other)
    assert {k: v for k, v in header.items() if k not in OWN} == {k: v for k, v in recorded.items() if k not in OWN}
    assert len(frames) == len(frames_too)
    for grids, grids_too in zip(frames, frames_too, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(grids, grids_too, strict=True))


@pytest.mark.parametrize("ask", ASKED_OF_A_MACHINE)
def test_what_is_not_recorded_waits_for_the_machine_which_then_does_it(machines, ask, monkeypatch):
    monkeypatch.setattr(playing, "SLICE", math.inf)
    scenario, player = load("blackboard"), Player(Simulation(load("blackboard")))
    early = EarlyPlayer(scenario, scenario.start, "1", Nobody())
    wanted = asked(early, ask["cmd"]) | ask
    header, frames = decode(early.answer(wanted, HOME_DISPLAY))
    assert header["state"] == "seeking" and not frames and "needs the machine" in header["message"]
    header, frames = decode(early.answer(asked(early, "poll"), HOME_DISPLAY))
    assert header["state"] == "seeking" and not frames, "it is waited for"
    assert until(lambda: early.hand_over(player), between=lambda: None)
    assert player.tick == early.tick and early.waits == wanted
    answer = decode(player.answer(early.waits, HOME_DISPLAY))[0]
    assert ("because" in (answer["inspect"] or {})) == (wanted["cmd"] == "why")
    after = Player(Simulation(scenario))
    after.go(scenario.start)
    after.proceed()
    after.answer(wanted, HOME_DISPLAY)
    assert (player.tick, player.sim.opened) == (after.tick, after.sim.opened)


def test_cancel_goes_back_to_the_recorded_picture():
    scenario = load("blackboard")
    early = EarlyPlayer(scenario, scenario.start, "1", Nobody())
    early.answer(asked(early, "home"), HOME_DISPLAY)
    header, frames = decode(early.answer(asked(early, "cancel"), HOME_DISPLAY))
    assert header["state"] == "ready" and frames and early.waits is None and early.tick == scenario.start


def test_a_run_waits_at_the_end_of_the_recording_and_goes_on_with_the_machine(machines, monkeypatch):
    monkeypatch.setattr(playing, "SLICE", math.inf)
    scenario, player = load("blackboard"), Player(Simulation(load("blackboard")))
    early = EarlyPlayer(scenario, scenario.start, "1", Nobody())
    header, frames = {"state": "ready"}, [0]
    ticks = []
    while frames:
        header, frames = decode(early.answer(asked(early, "run", frames=60), HOME_DISPLAY))
        ticks += [frame["tick"] for frame in header["frames"]]
    assert ticks == list(range(scenario.start + 1, scenario.start + 501)), "all that is recorded, once"
    assert header["state"] == "seeking" and header["playing"] and early.waits["cmd"] == "run"
    assert until(lambda: early.hand_over(player), between=lambda: None) and player.playing
    header, _ = decode(player.answer(early.waits, HOME_DISPLAY))
    assert header["frames"][0]["tick"] == early.tick + 1 and header["playing"]


@pytest.mark.parametrize(("name", "view"), OF)
def test_cards_of_plain_kernels_are_those_of_the_compiled_engine(machines, cards, name, view):
    scenario, display = load(name), OF[name, view]
    sim = machines[name]
    player = Player(sim)
    for tick in (scenario.start, scenario.start + 30):
        sim.seek(tick)
        scene, plans = display.scene(sim), player.plans(display.boards, "round")
        for plan in plans:
            rng = np.random.default_rng(7)
            for cell in rng.choice(plan.width * plan.height, 6).tolist():
                found = card(scene, plans, plan, cell)
                got = cards.ask(Wanted(name, tick, display.boards, plan.id, cell)).result()
                assert got == (plain(found.wire()) if found else None), (plan.id, cell, tick)
    assert any(REGISTRY[plan.id].card(Scene(sim), plan, 0) for plan in plans)


def test_a_clicked_cell_says_that_its_card_is_being_made_and_then_shows_it(cards):
    scenario = load("blackboard")
    early = EarlyPlayer(scenario, scenario.start, "1", cards)
    ask = asked(early, "inspect", board="dirty-bitmap", cell=3)
    header, frames = decode(early.answer(ask, HOME_DISPLAY))
    assert header["inspect"] == SOON and header["again"] == CARD_MS and frames
    poll = asked(early, "poll", board="dirty-bitmap", cell=3)
    assert until(lambda: decode(early.answer(poll, HOME_DISPLAY))[0]["inspect"] != SOON)
    assert "gfn" in decode(early.answer(poll, HOME_DISPLAY))[0]["inspect"]["title"]


def test_a_process_that_dies_leaves_a_picture_without_a_card(cards, monkeypatch):
    dead = [sys.executable, "-c", ""]
    monkeypatch.setattr(
        cards_module, "start", lambda *_, **__: subprocess.Popen(dead, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    )
    scenario = load("blackboard")
    early = EarlyPlayer(scenario, scenario.start, "1", cards)
    ask = asked(early, "inspect", board="dirty-bitmap", cell=3)
    assert until(lambda: decode(early.answer(ask, HOME_DISPLAY))[0]["inspect"] is None)


@pytest.fixture
def uncompiled(warm, monkeypatch):
    """A server whose kernels are not compiled yet, until the test says so."""
    state = {"compiled": False}
    monkeypatch.setattr(session, "compiled", lambda: state["compiled"])
    monkeypatch.setattr(kernels, "_done", 0.4)
    monkeypatch.setattr(kernels, "CACHE", None)
    monkeypatch.setattr(playing, "SLICE", math.inf)
    return state


def test_a_visit_begins_with_the_recording_and_goes_on_with_the_machine_on_the_same_picture(uncompiled):
    visit = session.Visit()
    visit.arrive({})
    header, frames = decode(visit.answer(None, HOME_DISPLAY))
    assert header["state"] == "ready" and header["frames"][0]["tick"] == load("blackboard").start
    assert "40%" in header["aside"] and visit.player is None
    visit.answer(asked(visit.early, "step", n=3), HOME_DISPLAY)
    header, frames = decode(visit.answer(None, HOME_DISPLAY))
    uncompiled["compiled"] = True
    visit.build()
    assert visit.player is not None
    assert until(lambda: (visit.answer(None, HOME_DISPLAY), visit.early is None)[1], between=lambda: None)
    header_after, frames_after = decode(visit.answer(None, HOME_DISPLAY))
    assert header_after["machine"] == header["machine"], "else the board would start afresh"
    for key in ("frames", "boards", "marks", "furthest", "playing"):
        assert header_after[key] == header[key]
    assert all(np.array_equal(a, b) for a, b in zip(frames[0], frames_after[0], strict=True))
    assert header_after["aside"] == ""


def test_another_scenario_has_its_own_recording_and_a_changed_one_says_how_far_the_engine_is(uncompiled):
    visit = session.Visit()
    visit.arrive({})
    machine = decode(visit.answer(None, HOME_DISPLAY))[0]["machine"]
    visit.choose("rounds")
    header, frames = decode(visit.answer(None, HOME_DISPLAY))
    assert frames and header["frames"][0]["tick"] == load("rounds").start and header["machine"] != machine
    visit.change(frames=2048)
    header, frames = decode(visit.answer(None, HOME_DISPLAY))
    assert header["state"] == "compiling" and not frames and "40%" in header["message"]


def test_a_command_is_refused_in_one_sentence_until_the_machine_is_there(uncompiled):
    visit = session.Visit()
    visit.arrive({})
    visit.command("clean")
    assert visit.error.startswith("A command needs the machine.") and visit.early is not None
