"""The scripts that listen to the viewer and to Python for the live board, each on its own, in a real Chromium."""

import pytest

from pagingviz.player.message import MOST_FPS, MOST_FRAMES, Display, header
from tests.boards.scripts import run

pytestmark = pytest.mark.browser


# --- actions.js, keys.js ------------------------------------------------------------------------------------------------


def test_actions_become_asks(script_page):
    body = "return asks.map(([name, value]) => m.navigationAsk(name, value, most));"
    asks = [
        ["step"],
        ["back"],
        ["micro"],
        ["home"],
        ["seek", "12"],
        ["scrub", 3.4],
        ["seek", 100],
        ["seek", 101],
        ["seek", -1],
        ["seek", "x"],
        ["toggle"],
        ["constructor"],
    ]
    seek = [{"cmd": "seek", "n": 12}, {"cmd": "seek", "n": 3}, {"cmd": "seek", "n": 100}]
    assert run(script_page, "actions", body, asks=asks, most=100) == [
        {"cmd": "step", "n": 1},
        {"cmd": "step", "n": -1},
        {"cmd": "micro", "n": 1},
        {"cmd": "home"},
        *seek,
        *[None] * 5,
    ]


def test_a_walk_begins_again_after_its_last_reference(script_page):
    body = "return [[0, 1], [3, 1], [4, 1], [4, -1], [0, -1]].map(([from, by]) => m.nextReference(from, 4, by));"
    assert run(script_page, "actions", body) == [1, 4, 1, 3, 0]


def test_keys_have_the_actions_that_the_buttons_show(script_page):
    keys = [" ", "ArrowLeft", "ArrowRight", "Home", "End", "n", "P", "m", "E", "Escape", "7", "0", "x", "ArrowDown", "Tab"]
    body = "return keys.map((key) => m.actionOf(key, walks));"
    names = ["toggle", "back", "step", "home", "end", "next", "prev", "micro", "explain", "unpin", "choose", None, None]
    assert run(script_page, "keys", body, keys=keys, walks=False) == [*names, None, None]
    assert run(script_page, "keys", body, keys=keys, walks=True) == [*names, "deeper", None]


def test_keys_that_an_element_needs_are_not_taken_from_it(script_page):
    body = """const box = document.createElement("div");
    const made = (html) => { box.innerHTML = html; return box.firstElementChild; };
    return cases.map(([html, key, pointed]) => m.usesKeys(made(html), key, pointed));"""
    cases = {
        ("<input type=text>", "n", False): True,
        ("<select></select>", "ArrowDown", True): True,
        ("<input type=range data-board-scrubber>", "ArrowLeft", False): False,
        ("<input type=radio>", "ArrowLeft", False): True,
        ("<input type=radio>", "ArrowLeft", True): False,
        ("<button>run</button>", " ", True): False,
        ("<summary>more</summary>", " ", False): True,
        ("<summary>more</summary>", "n", False): False,
        ("<canvas data-board=a></canvas>", "ArrowLeft", False): True,
        ("<canvas data-board=a></canvas>", "Escape", False): True,
        ("<canvas data-board=a></canvas>", " ", False): False,
        ("<canvas data-board=a></canvas>", "e", False): False,
    }
    assert run(script_page, "keys", body, cases=[list(case) for case in cases]) == list(cases.values())


def test_keys_are_heard_until_they_are_not_wanted_any_more(open_script_page):
    page = open_script_page()
    listen = "window.heard = []; window.stop = m.listen((name, digit) => window.heard.push([name, digit]), () => false);"
    run(page, "keys", listen)
    for key in ("ArrowRight", "n", "3", "Control+n", "q", "e", "Shift+E", "Space"):
        page.keyboard.press(key)
    page.keyboard.down("Space")
    page.keyboard.down("Space")  # held down: it does not count again
    page.keyboard.up("Space")
    heard = [["step", None], ["next", None], ["choose", 3], ["explain", 1], ["explain", -1], ["toggle", None], ["toggle", None]]
    assert page.evaluate("heard") == heard
    page.evaluate("stop()")
    page.keyboard.press("n")
    assert page.evaluate("heard") == heard


# --- cursor.js, aloud.js ------------------------------------------------------------------------------------------------

CELLS = "##.##", ".....", "###..", "#...#"  # a point only fills up the rectangle
AFTER = "return walks.map(([key, far, cell]) => m.cellAfter(key, far, cell, { w: 5, h: 4 }, (i) => cells[i] === '#'));"


def test_the_cursor_goes_over_cells_alone(script_page):
    walks = {
        ("ArrowRight", False, 1): 3,
        ("ArrowRight", False, 4): 4,
        ("ArrowLeft", False, 3): 1,
        ("ArrowLeft", False, 0): 0,
        ("ArrowDown", False, 1): 11,
        ("ArrowDown", False, 4): 12,
        ("ArrowDown", False, 12): 15,
        ("ArrowUp", False, 12): 1,
        ("ArrowUp", False, 0): 0,
        ("Home", False, 19): 15,
        ("End", False, 10): 12,
        ("Home", True, 19): 0,
        ("End", True, 0): 19,
        ("PageDown", False, 4): 19,
        ("PageUp", False, 15): 0,
        ("x", False, 3): 3,
    }
    found = run(script_page, "cursor", AFTER, walks=[list(walk) for walk in walks], cells="".join(CELLS))
    assert dict(zip(walks, found, strict=True)) == walks


def test_every_cell_is_reached_by_arrows(script_page):
    body = """const reached = new Set([0]);
    for (const cell of reached) {
      for (const key of ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]) {
        reached.add(m.cellAfter(key, false, cell, { w: 5, h: 4 }, (i) => cells[i] === "#"));
      }
    }
    return [...reached].sort((a, b) => a - b);"""
    cells = "".join(CELLS)
    assert run(script_page, "cursor", body, cells=cells) == [k for k, cell in enumerate(cells) if cell == "#"]


def test_of_many_texts_the_last_one_is_said(open_script_page):
    page = open_script_page()
    page.clock.install()
    body = """window.said = [];
    window.aloud = new m.Aloud();
    new MutationObserver(() => said.push(aloud.node.textContent)).observe(aloud.node, { childList: true });
    for (const text of ["one", "two", "three"]) aloud.say(text);"""
    run(page, "aloud", body)
    page.clock.run_for(2_000)
    page.evaluate("aloud.say('four'), aloud.close()")
    page.clock.run_for(2_000)
    assert page.evaluate("said") == ["three"]


# --- channel.js, leaving.js, reel.js -------------------------------------------------------------------------------------

LINK = "const sent = [], link = new m.Channel(() => ({ tick: 5 })); link.emit = (ask) => sent.push(ask);"


def test_steps_are_added_up_while_an_ask_is_under_way(script_page):
    body = """for (const n of [1, 1, 1, -1]) link.send({ cmd: "step", n });
    const under = sent.length, navigating = link.navigating, answered = link.settle(1);
    link.sendNext();
    link.settle(2), link.sendNext(), link.close();
    return { under, navigating, answered, sent, rest: [link.navigating, link.isAsking("step")] };"""
    first, second = ({"tick": 5, "cmd": "step", "n": 1, "seq": seq} for seq in (1, 2))
    assert run(script_page, "channel", LINK + body) == {
        "under": 1,
        "navigating": True,
        "answered": first,
        "sent": [first, second],
        "rest": [False, False],
    }


def test_steps_forth_and_back_vanish_and_a_jump_replaces_them(script_page):
    body = """link.send({ cmd: "kind", kind: "clean" });
    link.send({ cmd: "step", n: 1 }), link.send({ cmd: "step", n: -1 });
    const none = link.waiting.length;
    link.send({ cmd: "step", n: 4 }), link.send({ cmd: "speed" }), link.send({ cmd: "home" }), link.send({ cmd: "home" });
    const left = link.waiting.map((ask) => ask.cmd);
    link.drop(), link.close();
    return [none, left, link.waiting.length, link.navigating];"""
    assert run(script_page, "channel", LINK + body) == [0, ["speed", "home"], 0, False]


def test_an_old_answer_is_no_answer(script_page):
    body = """link.settle(8), link.send({ cmd: "home" });
    const answers = [link.settle(8), link.settle(9)?.cmd];
    link.close();
    return answers;"""
    assert run(script_page, "channel", LINK + body) == [None, "home"]


def test_an_ask_without_an_answer_is_sent_again_unchanged(open_script_page):
    page = open_script_page()
    page.clock.install()
    run(page, "channel", LINK + "Object.assign(window, { sent, link }); link.send({ cmd: 'home' });")
    page.clock.run_for(9_000)
    sent = page.evaluate("sent")
    assert len(sent) >= 2 and all(ask == sent[0] for ask in sent)
    page.evaluate("link.settle(1)")
    page.clock.run_for(9_000)
    assert page.evaluate("sent.length") == len(sent)


def test_a_change_of_page_waits_for_the_answer_and_nothing_is_asked_meanwhile(open_script_page):
    page = open_script_page()
    page.evaluate("""async () => {
        const m = window.leaving = await import("/leaving.js");
        m.asking("me", true);
        document.body.innerHTML = '<a data-testid="stSidebarNavLink" href="/other">other</a>';
        window.followed = 0;
        document.querySelector("a").onclick = (event) => { event.preventDefault(); window.followed += 1; };
    }""")
    assert page.evaluate("leaving.msToWait()") == 0
    page.get_by_text("other").click()
    assert page.evaluate("[followed, leaving.msToWait() > 0]") == [0, True]
    page.evaluate("leaving.asking('me', false)")
    page.wait_for_function("followed === 1")
    page.evaluate("leaving.arrived()")
    assert page.evaluate("leaving.msToWait()") == 0


PLAYER = """const shown = []; let asks = 0, over = null;
const ended = new Promise((resolve) => { over = resolve; });
const player = new m.Reel({ show: (frame) => shown.push(frame.tick), more: () => { asks += 1; }, ended: () => over() });
player.setLimits(limits, 0);"""
LIMITS = header(Display("", ()), 0)["limits"]


def test_batches_are_about_a_second_long_within_the_limits(script_page):
    body = """const read = [];
    for (const [delay, least] of [[0, 0], [33, 0], [1000, 0], [33, 100]]) {
      player.setLimits(limits, least), player.delay = delay;
      read.push([player.batch, player.fps]);
    }
    player.close();
    return read;"""
    assert (MOST_FRAMES, MOST_FPS) == (60, 60)
    assert run(script_page, "reel", PLAYER + body, limits=LIMITS) == [[60, 60], [30, 30], [2, 1], [10, 30]]
    assert run(script_page, "reel", PLAYER + body, limits={"frames": 20, "fps": 25}) == [[20, 25], [20, 25], [2, 1], [10, 25]]


def test_frames_are_played_in_order_to_the_end_of_the_run(script_page):
    body = """player.start();
    player.enqueue([{ tick: 3 }, { tick: 5 }]), player.enqueue([{ tick: 9 }]);
    player.drained = true;
    await ended;
    player.close();
    return { shown, newest: player.newestTick, playing: player.playing, asked: asks > 0 };"""
    assert run(script_page, "reel", PLAYER + body, limits=LIMITS) == {
        "shown": [3, 5, 9],
        "newest": 9,
        "playing": False,
        "asked": True,
    }
