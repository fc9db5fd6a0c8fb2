"""The live board as a whole in a real Chromium, with the test in the role of Streamlit and Python."""

from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import expect

from pagingviz.boards import palette
from pagingviz.boards.palette import LETTER_SHIFT, LETTERS, PALETTES, PINNED
from pagingviz.boards.payload import encode
from pagingviz.player.message import Display, board_record, header
from tests.boards.scripts import PLAN, boxes, message, show
from tests.support.waiting import until

pytestmark = pytest.mark.browser
VARIABLES = "node => ['--panel', '--accent'].map((name) => getComputedStyle(node).getPropertyValue(name))"
UNDER_EACH_OTHER = """() => {
    const [left, right] = [...document.querySelector("#component").shadowRoot.querySelectorAll("canvas")]
      .map((canvas) => canvas.getBoundingClientRect());
    return right.top > left.bottom;
}"""
HIDDEN = """() => {
    const root = document.querySelector("#component").shadowRoot, card = root.querySelector(".card").getBoundingClientRect();
    const boxes = [...root.querySelectorAll("path.lit, path.pin")].map((path) => path.getBoundingClientRect());
    if (boxes.filter(({ width }) => width).length !== 5 || !card.width) return ["nothing lights up"];
    const beside = (box) => box.left >= card.right || box.right <= card.left;
    const hidden = (box) => box.width && !beside(box) && box.top < card.bottom && box.bottom > card.top;
    return boxes.filter(hidden).map((box) => [box.left, box.top]);
}"""
RIGHT = replace(PLAN, id="right", title="Right", width=16, height=16, labels=())


def test_a_message_is_painted_and_a_key_asks_for_the_next_tick(open_script_page):
    page = open_script_page()
    show(page, message(PLAN, RIGHT))
    canvases = page.locator('canvas[data-ready="1"][data-tick="5"]')
    expect(canvases).to_have_count(2)
    expect(page.locator(".what")).to_have_text("At 5.")
    expect(page.locator(".chips .warn b")).to_have_text("1\u2009234")
    expect(page.locator(".panel").first.locator(".legend li")).to_have_text(["Wwritable", "a table", ".free", "1 cell = 4"])
    page.keyboard.press("ArrowRight")
    expect(page.locator('canvas[data-ready="0"]')).to_have_count(2)  # another picture is under way
    ask = page.evaluate("asks")[-1]
    assert {key: ask[key] for key in ("cmd", "n", "tick", "seq", "fps", "board")} == {
        "cmd": "step",
        "n": 1,
        "tick": 5,
        "seq": 1,
        "fps": 30,
        "board": None,
    }
    show(page, message(PLAN, RIGHT, seq=1, tick=6))
    expect(page.locator('canvas[data-ready="1"][data-tick="6"]')).to_have_count(2)


SAID = {
    "writable": [("rights", "May be stored to.")],
    "Left": [("Left", "The left map.")],
    "faults": [("fault", "Counted.")],
    "At": [("At", "A word of time.")],
}


def told(page):
    """What the tooltip says, once it is there."""
    tip = page.get_by_role("tooltip")
    expect(tip).to_be_visible()
    return tip.inner_text()


def test_legend_title_chips_and_words_show_the_glossary_when_pointed_at(open_script_page):
    """A message from a running machine is without the texts: those that came before it stay."""
    page = open_script_page()
    show(page, message(PLAN, RIGHT, about=SAID, marked={"At 5.": [[0, 2, "At"]]}))
    page.locator(".what dfn").hover()
    assert told(page) == "At A word of time."
    show(page, message(PLAN, RIGHT, tick=6, seq=1, playing=True))
    expect(page.locator('canvas[data-tick="6"]')).to_have_count(2)
    expect(page.locator(".what dfn")).to_have_count(0)
    expect(page.get_by_role("tooltip")).to_be_hidden()  # its word is gone
    entries = page.locator(".panel").first.locator(".legend li")
    for place, text in (
        (entries.nth(0), "rights May be stored to."),
        (page.get_by_role("heading", name="Left"), "Left The left map."),
        (page.locator(".chips li", has_text="faults"), "fault Counted."),
    ):
        place.hover()
        expect(page.get_by_role("tooltip")).to_have_text(text)
    entries.nth(1).hover()
    expect(page.get_by_role("tooltip")).to_be_hidden()


def test_a_tap_opens_the_tooltip_and_the_next_one_closes_it(open_script_page):
    page = open_script_page(touch=True, width=390, height=844)
    show(page, message(PLAN, RIGHT, about=SAID))
    chip, tip = page.locator(".chips li"), page.get_by_role("tooltip")
    chip.tap()
    assert told(page) == "fault Counted."
    chip.tap()
    expect(tip).to_be_hidden()
    page.locator(".panel").first.locator(".legend li").first.tap()
    expect(tip).to_have_text("rights May be stored to.")
    page.locator(".source").tap()
    expect(tip).to_be_hidden()


def test_the_menu_of_events_tells_of_the_chosen_one(open_script_page):
    page = open_script_page()
    kind, label = header(Display("", ()), 0)["kinds"][1]
    show(page, message(PLAN, RIGHT, kind=kind, about={label: [("page fault", "Not allowed.")]}))
    page.locator(".player .prev").focus()
    page.keyboard.press("Tab")
    assert "page fault Not allowed." in told(page)


def test_a_click_pins_a_cell_and_the_lens_has_the_words_of_the_legend(open_script_page):
    page = open_script_page()
    show(page, message(PLAN, RIGHT, cell=palette.WRITABLE | PINNED | LETTERS.index("W") << LETTER_SHIFT))
    page.locator('canvas[data-board="right"]').click()
    ask = page.evaluate("asks")[-1]
    assert (ask["cmd"], ask["board"]) == ("inspect", "right") and 0 <= ask["cell"] < 256
    page.locator('canvas[data-board="left"]').hover()
    expect(page.locator(".lens strong")).to_have_text("writable · thick")
    expect(page.locator(".lens .where")).to_contain_text("low · row 2")
    found = {"title": "gfn 0x7", "chain": ["gva", "gpa"], "rows": [["bits", "RW"]], "why": ""}
    show(page, message(PLAN, RIGHT, seq=1, inspect=found, lit={"left": [3, 9]}))
    expect(page.locator(".card h3")).to_have_text("gfn 0x7")
    assert page.locator("path.lit").first.get_attribute("d").count("M") == 2
    page.keyboard.press("Escape")
    expect(page.locator(".card h3")).to_have_text("Inspector")


def test_a_card_begins_with_why_and_shows_that_there_is_more(open_script_page):
    page = open_script_page(width=700, height=600)
    found = {"title": "gfn 0x7", "chain": ["gva"], "rows": [[f"row {k}", "1"] for k in range(60)], "why": "Written."}
    show(page, message(PLAN, RIGHT))
    page.locator('canvas[data-board="left"]').click()
    show(page, message(PLAN, RIGHT, seq=1, inspect=found))
    assert page.locator(".card .body > *").first.inner_text() == "Why?"
    more = page.get_by_role("button", name="more below")
    expect(more).to_be_visible()
    page.locator(".card .body").evaluate("body => body.scrollTo(0, body.scrollHeight)")
    expect(more).to_be_hidden()


def test_a_cell_can_be_asked_what_led_to_it_where_its_board_can_tell(open_script_page):
    page = open_script_page(width=700, height=600)
    found = {"title": "gfn 0x7", "chain": ["gva"], "rows": [], "why": "Written."}
    asks, silent = replace(PLAN, id="dirty-bitmap"), RIGHT
    show(page, message(asks, silent))

    def answer(**more):
        """What the board has asked, an ask of the pointer's before the click's."""
        for _ in range(2):
            show(page, message(asks, silent, seq=page.evaluate("asks.at(-1).seq"), inspect=found | more))

    page.locator('canvas[data-board="right"]').click()
    answer()
    button = page.get_by_role("button", name="Since when, and what led to it?")
    expect(button).to_have_count(0)
    page.keyboard.press("Escape")
    page.locator('canvas[data-board="dirty-bitmap"]').click()
    answer()
    button.click()
    page.wait_for_function("asks.at(-1).cmd === 'why'")
    asked = page.evaluate("asks.at(-1)")
    assert (asked["cmd"], asked["board"]) == ("why", "dirty-bitmap") and asked["cell"] >= 0
    chain = [
        {"tick": 12, "k": 3, "n": 4, "text": "Set.", "source": "paging.c: f"},
        {"tick": 9, "k": 1, "n": 1, "text": "Cleared.", "source": ""},
    ]
    because = {"heading": "So since tick 12", "chain": chain, "back": 5}
    answer(because=because)
    expect(button).to_have_count(0)
    assert page.locator(".causes li").all_inner_texts() == ["Set.\npaging.c: f\nshow tick 12", "Cleared.\nshow tick 9"]
    page.get_by_role("button", name="show tick 9").click()
    page.wait_for_function("asks.at(-1).cmd === 'seek'")
    jump = page.evaluate("asks.at(-1)")
    assert (jump["cmd"], jump["n"]) == ("seek", 9)
    expect(page.get_by_role("button", name="back to tick 5")).to_be_visible()
    expect(page.locator(".aloud")).to_contain_text("So since tick 12. Set. Cleared.")
    found["why"] = "Written. " * 200
    answer(because=because)
    expect(page.locator(".card .why")).to_contain_text("Written. Written.")
    first, body = (page.locator(found).first.bounding_box() for found in (".causes li", ".card .body"))
    assert body["y"] <= first["y"] and first["y"] + first["height"] <= body["y"] + body["height"], "what was asked for is seen"


def test_a_card_that_floats_hides_neither_its_cell_nor_those_that_light_up(open_script_page):
    page = open_script_page(width=700, height=560)
    wide = replace(PLAN, width=16, height=8, key=np.arange(128), labels=())
    plans = [replace(wide, id=name) for name in "abcd"]
    found = {"title": "gfn 0x7", "chain": ["gva", "gpa"], "rows": [["bits", "RW"]], "why": "Written."}
    show(page, message(*plans))
    assert not page.locator(".board.side").count()
    for name, x, y in (("a", 0.1, 0.1), ("b", 0.9, 0.1), ("b", 0.9, 0.9), ("d", 0.9, 0.9)):
        board = page.locator(f'canvas[data-board="{name}"]')
        box = board.bounding_box()
        board.click(position={"x": box["width"] * x, "y": box["height"] * y}, force=True)
        ask = page.evaluate("asks.at(-1)")
        show(page, message(*plans, seq=ask["seq"], inspect=found, lit={other: [ask["cell"]] for other in "abcd"}))
        assert page.evaluate(HIDDEN) == [], (name, x, y)
        page.keyboard.press("Escape")


def test_the_notice_waits_for_python_and_lets_a_long_way_be_cancelled(open_script_page):
    page = open_script_page()
    show(page, message(PLAN, RIGHT))
    page.keyboard.press("End")
    show(
        page,
        encode(
            header(
                Display("", ()),
                1,
                state="seeking",
                progress=0.4,
                message="On the way.",
                boards=[board_record(PLAN), board_record(RIGHT)],
            ),
            [],
        ),
    )
    expect(page.locator(".notice p")).to_have_text("On the way.")
    assert page.locator(".notice progress").evaluate("bar => bar.value") == 40
    page.wait_for_function("asks.at(-1).cmd === 'poll'")
    show(page, message(PLAN, RIGHT, seq=2, tick=5, state="seeking", message="On the way."))
    page.get_by_role("button", name="Cancel").click()

    def answer():
        """A question that was under way at the click is answered first, as Python does."""
        seq = page.evaluate("asks.at(-1).seq")
        show(page, message(PLAN, RIGHT, seq=seq, tick=5, state="seeking", message="On the way."))

    assert until(lambda: page.evaluate("asks.some((ask) => ask.cmd === 'cancel')"), answer)


def test_two_boards_stand_side_by_side_inside_the_window(open_script_page):
    page = open_script_page(width=1280, height=720)
    show(page, message(PLAN, RIGHT))
    left, right = boxes(page)["left"], boxes(page)["right"]
    assert left["x"] + left["width"] < right["x"] and right["x"] + right["width"] <= 1280
    assert max(box["y"] + box["height"] for box in (left, right)) <= 720
    page.set_viewport_size({"width": 500, "height": 720})
    expect(page.locator(".board.many")).to_have_css("width", "500px")
    page.wait_for_function(UNDER_EACH_OTHER)
    assert max(box["x"] + box["width"] for box in boxes(page).values()) <= 500


def test_boards_that_name_their_column_have_one_pitch(open_script_page):
    page = open_script_page()
    columns = {"a": 0, "b": 0, "c": 1}
    show(page, message(*(replace(PLAN, id=name, width=4, labels=(), column=column) for name, column in columns.items())))
    a, b, c = (boxes(page)[name] for name in "abc")
    assert (a["width"], a["height"]) == (b["width"], b["height"]) == (c["width"], c["height"])
    assert a["x"] == b["x"] and a["y"] < b["y"] and c["x"] > a["x"] and c["y"] == a["y"]


def test_presenter_mode_shows_one_board_at_a_time_where_cells_would_be_too_small(open_script_page):
    page = open_script_page()
    wide = replace(RIGHT, width=40, height=16)
    show(page, message(PLAN, wide, present=True))
    assert list(boxes(page)) == ["left"]
    page.keyboard.press("2")
    page.wait_for_function("document.querySelector('#component').shadowRoot.querySelectorAll('.panel')[0].hidden")
    assert list(boxes(page)) == ["right"]
    expect(page.locator('.tabs [aria-pressed="true"]')).to_contain_text("Right")
    show(page, message(PLAN, wide, seq=1))
    assert list(boxes(page)) == ["left", "right"]


def test_the_colours_around_the_board_are_those_of_the_theme(open_script_page):
    page = open_script_page()
    for seq, theme in enumerate(PALETTES):
        show(page, message(PLAN, RIGHT, theme=theme, seq=seq, marks=[[3, "CLEAN"]], furthest=9))
        colours = page.locator(".board").evaluate(VARIABLES)
        assert colours == [PALETTES[theme].ground, PALETTES[theme].accent]
    kinds = [kind for kind, _ in header(Display("", ()), 0)["kinds"]]
    colour = palette.EVENT_MARKS[kinds.index("CLEAN") % len(palette.EVENT_MARKS)]
    assert page.locator(".marks path").get_attribute("stroke") == colour
