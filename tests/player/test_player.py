"""The player without a browser: every ask gets the true picture of the tick it means."""

import json
import math

import numpy as np
import pytest

from pagingviz.boards.cell_words import differ
from pagingviz.boards.palette import AGE_OLDEST, AGE_YOUNGEST, CHANGED, CROSSED, TABLE
from pagingviz.boards.payload import decode
from pagingviz.boards.registry import HOME
from pagingviz.manual.glossary import tooltip
from pagingviz.player import player as playing
from pagingviz.player.crowd import Crowd
from pagingviz.player.message import Display, compiling
from pagingviz.player.player import Player
from pagingviz.player.speed import ticks_a_frame
from pagingviz.scenario.scenario import MAX_TICK, ScenarioError, load
from pagingviz.story.sentences import sentence
from pagingviz.timeline.simulation import Simulation
from tests.boards.on_screen import Shown

DISPLAY = Display("The machine", HOME)


@pytest.fixture
def sliced(warm):
    """A player of the blackboard at tick 300, with a crowd of its own. It answers before a long way is done."""
    made = Player(Simulation(load("blackboard")), crowd=Crowd())
    made.sim.seek(300)
    return made


@pytest.fixture
def player(sliced, monkeypatch):
    """The same, but every answer waits for the end of the way, however slow the computer is."""
    monkeypatch.setattr(playing, "SLICE", math.inf)
    return sliced


def ask(player, cmd, **more):
    """(header, frames) of the answer; `tick` is the present one unless said otherwise."""
    player.count = getattr(player, "count", 0) + 1
    asked = {
        "seq": player.count,
        "cmd": cmd,
        "tick": player.sim.tick,
        "from": player.sim.tick,
        "n": 1,
        "frames": 10,
        "fps": 30,
        "per_frame": 1,
        "kind": player.kind,
        "play": False,
        "board": None,
        "cell": None,
    }
    header, frames = decode(player.answer(asked | more, DISPLAY))
    assert header["seq"] == player.count
    return header, frames


def truth(tick, do=None):
    """The grids of a fresh machine that has been run to `tick`."""
    scenario = load("blackboard")
    sim = Simulation(scenario if do is None else scenario.replace(do=do))
    sim.seek(tick)
    return [Shown(sim, board).grid for board in HOME]


def same(shown, expected):
    """Equal but for the outlines of what has just changed."""
    return all(np.array_equal(a & ~np.uint16(CHANGED), b) for a, b in zip(shown, expected, strict=True))


def shows(answer, tick):
    """A picture that stands still: true, and outlined exactly where it differs from the tick before."""
    header, frames = answer
    assert header["state"] == "ready" and header["frames"][-1]["tick"] == tick
    now, before = truth(tick), truth(max(tick - 1, 0))
    assert same(frames[-1], now)
    for grid, a, b in zip(frames[-1], now, before, strict=True):
        assert np.array_equal(grid & CHANGED != 0, differ(a, b))
    return header


def test_growing_older_is_no_change():
    before = np.array([AGE_YOUNGEST, AGE_YOUNGEST | CROSSED, AGE_YOUNGEST, TABLE, TABLE], np.uint16)
    now = np.array([AGE_OLDEST, AGE_YOUNGEST, TABLE, TABLE, TABLE + 1], np.uint16)
    assert differ(now, before).tolist() == [False, False, True, False, True]


@pytest.mark.parametrize("n, tick", [(1, 301), (-1, 299), (25, 325), (-1000, 0)])
def test_step(player, n, tick):
    shows(ask(player, "step", n=n), tick)


def test_step_counts_from_the_painted_tick(player):
    """The machine may be ahead by a batch; what the viewer saw last decides."""
    shows(ask(player, "step", tick=280), 281)


def test_home_end_seek_stop(player):
    shows(ask(player, "home"), 0)
    shows(ask(player, "end"), 300)
    shows(ask(player, "seek", n=123), 123)
    shows(ask(player, "stop", tick=120), 120)


def test_a_batch_goes_on_from_what_was_sent(player):
    """At one frame a second there is time for all that are asked for, on a slow computer too."""
    header, frames = ask(player, "run", frames=5, fps=1, **{"from": 300})
    assert [frame["tick"] for frame in header["frames"]] == [301, 302, 303, 304, 305] and header["playing"]
    for frame, grids in zip(header["frames"], frames, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(grids, truth(frame["tick"]), strict=True))
    header, _ = ask(player, "run", frames=2, fps=1, per_frame=10, tick=303, **{"from": 305})
    assert [frame["tick"] for frame in header["frames"]] == [315, 325]
    shows(ask(player, "stop", tick=304), 304)


def test_micro_opens_the_next_tick_event_by_event(player):
    header, _ = ask(player, "micro")
    first, n = header["micro"]
    assert (first, header["frames"][0]["tick"]) == (1, 301)
    for k in range(2, n + 1):
        assert ask(player, "micro")[0]["micro"] == [k, n]
    assert ask(player, "micro")[0]["frames"][0]["tick"] == 302


def test_a_step_first_finishes_an_open_tick(player):
    player.sim.seek(2799)
    header, _ = ask(player, "micro")
    assert header["micro"][1] > 1, "the test needs a tick of several events"
    shows(ask(player, "step"), 2800)


def test_back_from_an_open_tick(player):
    ask(player, "micro")
    shows(ask(player, "step", n=-1), 300)


def test_next_and_previous_event(player):
    header = ask(player, "next", kind="CLEAN")[0]
    assert header["kind"] == "CLEAN" and header["frames"][0]["tick"] == 400
    assert ask(player, "next", kind="CLEAN", n=2)[0]["frames"][0]["tick"] == 1200
    assert ask(player, "prev", kind="CLEAN")[0]["frames"][0]["tick"] == 800
    assert player.sim.furthest == 1200, "ticks that were only searched do not count as reached"


def test_no_such_event(player, monkeypatch):
    """Whatever was looked through in vain leaves no trace: neither the furthest tick nor the history moves."""
    monkeypatch.setattr(playing, "SEARCH", 5000)
    before = player.sim.history()[0].tolist()
    for cmd, kind, word in (
        ("next", "FORK", "within 5,000 ticks"),
        ("prev", "FORK", "before this tick"),
        ("next", "P2M_SPLIT", "comes any more: this road has none"),
        ("next", "SUSPEND", "comes any more: there is no migration"),
    ):
        header = shows(ask(player, cmd, kind=kind), 300)
        assert word in header["frames"][0]["sentence"]
        assert header["furthest"] == player.sim.furthest == 300 and player.sim.history()[0].tolist() == before


def test_a_search_that_is_given_up_leaves_no_trace(sliced, monkeypatch):
    monkeypatch.setattr(playing, "SLICE", 0)
    monkeypatch.setattr(playing, "STRIDE", 1000)
    before = sliced.sim.history()[0].tolist()
    assert ask(sliced, "next", kind="FORK")[0]["state"] == "seeking"
    ask(sliced, "cancel")
    assert sliced.sim.tick == sliced.sim.furthest == 300 and sliced.sim.history()[0].tolist() == before


def test_what_was_looked_for_is_told_first(player):
    """Also where something else in the tick matters more; and only until the viewer goes elsewhere."""
    header = ask(player, "next", kind="MARK_DIRTY")[0]
    tick, told = header["frames"][0]["tick"], header["frames"][0]["sentence"]
    usual = sentence(player.sim)[0]
    assert told.startswith("The dirty bit of gfn ") and told.endswith(f" In the same tick: {usual}")
    assert ask(player, "inspect", board="dirty-bitmap", cell=3)[0]["frames"][0]["sentence"] == told
    ask(player, "step", n=-1)
    header = ask(player, "step")[0]
    assert (header["frames"][0]["tick"], header["frames"][0]["sentence"]) == (tick, usual)
    assert ask(player, "next", kind="CLEAN")[0]["frames"][0]["sentence"].startswith("CLEAN: ")


@pytest.mark.parametrize("command", ["flush", "blow", "off", "enable", "peek", "pool:30", "dm:9"])
def test_each_command_given_now_is_told_first(player, command):
    """Also after a CLEAN in the same tick, which is told after it."""
    ask(player, "seek", n=400)
    player.command(command)
    told = decode(player.answer(None, DISPLAY))[0]["frames"][0]["sentence"]
    words = {
        "flush": "The TLB is flushed.",
        "blow": "All shadows are blown away: ",
        "off": "Log-dirty off: ",
        "enable": "ENABLE is refused here and changes nothing: log-dirty is on already.",
        "peek": "PEEK: ",
        "pool:30": "The shadow pool is set to 30 pages.",
        "dm:9": "A device has written gfn 0x9: its bit is set.",
    }
    assert told.startswith(words[command]) and "Before that, in the same tick: CLEAN: " in told


def test_a_search_ends_with_the_migration(warm, monkeypatch):
    monkeypatch.setattr(playing, "SLICE", math.inf)
    player = Player(Simulation(load("moving")), crowd=Crowd())
    for _ in range(6):
        header, _ = ask(player, "next", kind="ROUND")
    assert "No round of a migration comes any more: the migration is over." == header["frames"][0]["sentence"]
    assert player.sim.furthest == player.sim.tick == 3051, "at the last round"


def test_a_first_round_takes_about_ten_seconds(warm):
    """At the speed with which a scenario with a migration is played at first; without one it is a tick a frame."""
    player = Player(Simulation(load("moving")), crowd=Crowd())
    player.sim.seek(5300)
    first = player.sim.migration.state.rounds[0]
    assert 5 < first.ticks / player.per_frame / player.fps < 20
    assert ticks_a_frame(load("blackboard")) == 1


def test_captions_stand_in_the_frames_alone(player):
    """The header of a batch is ahead of what is painted: each frame has the caption of its own tick, the header has none."""
    header, _ = ask(player, "run", frames=5, fps=1, **{"from": 297})
    shown = Simulation(load("blackboard"))
    bitmap, told = Shown(shown, "dirty-bitmap"), {}
    for frame in header["frames"]:
        shown.seek(frame["tick"])
        told[frame["tick"]] = bitmap.caption
        assert frame["captions"][HOME.index("dirty-bitmap")] == bitmap.caption
    assert list(told) == [298, 299, 300, 301, 302] and len(set(told.values())) == 3, "log-dirty goes on at tick 300"
    rest = json.dumps({part: value for part, value in header.items() if part != "frames"})
    assert [text for text in told.values() if text in rest] == []


def test_a_long_way_is_walked_in_slices_and_can_be_given_up(sliced):
    header, frames = ask(sliced, "seek", n=MAX_TICK)
    assert header["state"] == "seeking" and 0 < header["progress"] < 1 and not frames
    assert ask(sliced, "poll")[0]["progress"] > header["progress"]
    header, _ = ask(sliced, "cancel")
    assert header["state"] == "ready" and 300 < header["frames"][0]["tick"] < MAX_TICK


def test_inspect(player):
    header, _ = ask(player, "inspect", board="dirty-bitmap", cell=3)
    assert header["inspect"]["title"] and header["lit"]
    assert ask(player, "inspect", board="dirty-bitmap", cell=10**6)[0]["inspect"] is None
    assert ask(player, "inspect", board="no-such-board", cell=0)[0]["inspect"] is None


@pytest.mark.parametrize("nonsense", ["", None, [], {}, -5, 1e300, float("nan"), True])
def test_nonsense_from_a_browser_is_bounded(sliced, nonsense):
    for cmd in ("step", "run", "inspect", "seek", "speed", "whatever"):
        more = dict.fromkeys(("n", "tick", "from", "frames", "fps", "per_frame", "kind", "cell"), nonsense)
        header, _ = ask(sliced, cmd, board="ept-npt", **more)
        assert header["state"] in ("ready", "seeking")
        ask(sliced, "cancel")
        sliced.sim.seek(10)


def test_commands_act_now_and_enter_the_journal(player):
    player.command("clean")
    assert player.sim.script() == "enable@300,clean@300"
    shown = decode(player.answer(None, DISPLAY))
    assert same(shown[1][-1], truth(300, "enable@300,clean@300"))
    with pytest.raises(ScenarioError):
        player.command("pool:3")


def test_while_kernels_compile_titles_and_legends_stand():
    header, frames = decode(compiling(load("blackboard"), DISPLAY, 0.4, 7))
    assert (header["state"], header["progress"], header["seq"], frames) == ("compiling", 0.4, 7, [])
    assert [board["id"] for board in header["boards"]] == list(HOME)
    assert all(board["title"] and board["legend"] for board in header["boards"])


def test_a_full_server_says_so_to_the_next_visitor():
    now = [0.0]
    crowd = Crowd(clock=lambda: now[0])
    for _ in range(100):
        crowd.spent(0.85 / 20, 1)  # a frame costs so much that two visitors at 10 frames a second fill a core
    assert crowd.admit("a") and crowd.admit("b") and not crowd.admit("c")
    assert crowd.admit("a"), "who runs is never stopped"
    crowd.leave("a")
    assert crowd.admit("c")
    now[0] = 10.0
    assert crowd.admit("d"), "who has not asked for a while does not run"


def test_busy_is_a_state_with_a_message(player):
    player.crowd.spent(50, 1)
    player.crowd.admit("somebody")
    header, frames = ask(player, "run")
    assert header["state"] == "busy" and "busy" in header["message"] and not frames


def test_a_picture_that_stands_still_comes_with_the_words_of_the_glossary(player):
    header = decode(player.answer(None, DISPLAY))[0]
    about, marked = header["about"], header["marked"]
    assert about["rules"] == [["audit", tooltip("rules")]] and about["Shadow pool"] == [["pool", tooltip("Shadow pool")]]
    assert about[dict(header["kinds"])[header["kind"]]]
    sentence = header["frames"][0]["sentence"]
    assert marked[sentence] and all(about[word] for _, _, word in marked[sentence])
    cell = int(np.flatnonzero(player.plans(DISPLAY.boards, "round")[1].key >= 0)[0])
    header, _ = ask(player, "inspect", board="shadow-pool", cell=cell)
    assert header["marked"][header["inspect"]["why"]] and header["about"]["type"]
    header, _ = ask(player, "run", play=True)
    assert header["playing"] and header["about"] == header["marked"] == {}
