"""A visitor's uploads and links, without a browser: one clear sentence for what is bad, and the machine on screen stays."""

import math

import numpy as np
import pytest

from pagingviz.boards.registry import HOME
from pagingviz.player import player as playing
from pagingviz.player.message import Display
from pagingviz.scenario.fields import ScenarioError
from pagingviz.ui import address
from pagingviz.ui.session import Visit
from pagingviz.work.tracefile import fingerprint
from tests.work.tracefiles import good, npz, zipped

DISPLAY = Display("The machine", HOME)
PICKLE = zipped([("pages.npy", b"\x80\x04cposix\nsystem\n(S'true'\ntR.")])


@pytest.fixture
def visit(warm, monkeypatch):
    """A visitor of the blackboard at tick 500. Every answer waits for the end of the way, however slow the computer."""
    monkeypatch.setattr(playing, "SLICE", math.inf)
    visit = Visit()
    visit.arrive({"scenario": "blackboard", "tick": "500"})
    visit.answer(None, DISPLAY)
    return visit


@pytest.mark.parametrize(
    "data",
    [b"", b"hello, I am a text\n" * 9, npz()[:-40], PICKLE, npz(kind=np.array([9], np.uint8))],
    ids=["empty", "text", "cut short", "pickle", "bad kind"],  # a zip file holds the time at which it was made
)
def test_a_bad_upload_is_refused_and_the_machine_stays(visit, data):
    digest = visit.player.sim.machine.digest()
    visit.upload(data, "mine.npz")
    assert "mine.npz" in visit.error and visit.error.count(". ") == 0 and visit.error.endswith(".")
    assert visit.player.sim.machine.digest() == digest and not visit.files


def test_an_upload_runs_and_its_link_names_it_by_sha256(visit):
    data = npz()
    visit.upload(data, "mine.npz")
    visit.answer(None, DISPLAY)
    assert visit.error == "" and visit.scenario.trace == fingerprint(data)
    assert visit.player.sim.work.processes[0].pages.tolist() == good()["pages"].tolist()
    assert visit.address()["trace"] == fingerprint(data)


def test_a_widget_of_the_machine_before_that_says_what_it_was_drawn_with_changes_nothing(visit):
    """So a click that comes while the page is still being drawn keeps what it has chosen."""
    frames = visit.scenario.frames
    visit.choose("moving", play=True)
    visit.answer(None, DISPLAY)
    moving = visit.scenario
    assert moving.frames != frames
    visit.put("frames", frames, frames)
    visit.put("frames", frames, f"{frames}")
    assert visit.scenario == moving and visit.player.playing
    visit.put("frames", frames, 2 * frames)
    assert visit.scenario.frames == 2 * frames


def test_a_link_elsewhere_asks_for_the_file_and_goes_on_when_it_comes(visit):
    data, elsewhere = npz(), Visit()
    visit.upload(data, "mine.npz")
    visit.player.go(70)
    visit.answer(None, DISPLAY)
    elsewhere.arrive(visit.address())
    assert fingerprint(data)[:8] in elsewhere.error and elsewhere.player is not None
    elsewhere.upload(data, "copy.npz")
    elsewhere.answer(None, DISPLAY)
    assert elsewhere.error == "" and elsewhere.player.sim.machine.digest() == visit.player.sim.machine.digest()


@pytest.mark.parametrize(
    "query, word",
    [
        ({"scenario": "nosuch"}, "nosuch"),
        ({"tick": "minus one"}, "tick"),
        ({"tick": "1000000001"}, "tick"),
        ({"frames": "9"}, "frames"),
        ({"pml": "2"}, "pml"),
        ({"do": "melt@3"}, "melt"),
        ({"colour": "red"}, "colour"),
        ({"trace": "/etc/passwd"}, "trace"),
    ],
)
def test_a_bad_link_keeps_the_machine(visit, query, word):
    digest = visit.player.sim.machine.digest()
    visit.arrive(query)
    assert word in visit.error and visit.player.sim.machine.digest() == digest
    with pytest.raises(ScenarioError):
        address.read(query)


def test_an_ask_that_comes_twice_is_carried_out_once(visit):
    sim = visit.player.sim
    places = []
    for seq in (1, 2, 2, 3):
        visit.answer({"seq": seq, "cmd": "micro", "tick": sim.tick, "n": 1}, DISPLAY)
        places.append((sim.tick, sim.opened))
    assert places[0] < places[1] == places[2] < places[3]


def test_a_callback_with_nothing_new_changes_nothing(visit):
    """Streamlit calls the callbacks of all fields again when a run was cut short before it had drawn them."""
    visit.change(seed=2)
    visit.answer(None, DISPLAY)
    visit.command("blow")
    player, revision = visit.player, visit.revision
    for name in ("road", "frames", "pool", "seed", "oos", "shopt", "guest"):
        visit.change(**{name: getattr(visit.scenario, name)})
    visit.choose(visit.scenario.name)
    assert visit.player is player and visit.revision == revision and player.tick == 500


def test_a_change_while_kernels_compile_keeps_what_was_asked_for(monkeypatch):
    monkeypatch.setattr("pagingviz.ui.session.compiled", lambda: False)
    visit = Visit()
    visit.arrive({"scenario": "touched", "tick": "70"})
    visit.change(seed=3)
    assert visit.address() == {"scenario": "touched", "tick": "70", "seed": "3"}
