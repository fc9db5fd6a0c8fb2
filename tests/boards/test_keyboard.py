"""The maps and the words of the live board without a mouse: one stop of Tab a map, a cursor, explanations, what is read out."""

from dataclasses import replace

import numpy as np
import pytest
from playwright.sync_api import expect

from pagingviz.boards import palette
from pagingviz.boards.payload import encode
from pagingviz.player.message import Display, board_record, header
from tests.boards.scripts import PLAN, message, show

pytestmark = pytest.mark.browser
RIGHT = replace(PLAN, id="right", title="Right", width=16, height=16, key=np.arange(256), labels=())
FOUND = {"title": "gfn 0x7", "chain": ["gva", "gpa"], "rows": [["bits", "RW"]], "why": "Written."}
SAID = {
    "writable": [("rights", "May be stored to.")],
    "Left": [("Left", "The left map.")],
    "Right": [("Right", "The right map.")],
    "faults": [("fault", "Counted.")],
    "bits": [("bits", "Of an entry.")],
    "At": [("At", "A word of time.")],
}


@pytest.fixture
def open_boards(open_script_page):
    """open_boards() -> Page with two maps, whose words all have an explanation."""

    def open_():
        page = open_script_page()
        show(page, message(PLAN, RIGHT, about=SAID, marked={"At 5.": [[0, 2, "At"]]}))
        expect(page.locator('canvas[data-ready="1"]')).to_have_count(2)
        return page

    return open_


def focused(page, board):
    """The map of this board, once it has the focus."""
    canvas = page.locator(f'canvas[data-board="{board}"]')
    expect(canvas).to_be_focused()
    return canvas


def read_out(page, text):
    expect(page.locator("[aria-live=polite].aloud")).to_have_text(text)


def outlined(page, board):
    """Column and row of the cell that the cursor's outline runs around, of a board without labels."""
    panel = page.locator(".panel", has=page.locator(f'canvas[data-board="{board}"]'))
    path = panel.locator("path.pointed").last.get_attribute("d")
    x, y = path.removeprefix("M").partition("h")[0].split()
    pitch = panel.locator("canvas").evaluate("(canvas) => Math.floor(canvas.width / 16)")
    return int(x) // pitch, int(y) // pitch


def test_a_map_is_one_stop_and_words_are_none(open_boards):
    page = open_boards()
    for board in ("left", "right"):
        page.keyboard.press("Tab")
        canvas = focused(page, board)
        assert canvas.get_attribute("role") == "application"
        assert canvas.get_attribute("aria-label").lower().startswith(board)
    assert page.locator(".panel [tabindex]").count() == 2
    assert page.locator("[data-tip][tabindex]").count() == 0


def test_arrows_move_the_cursor_of_the_focused_map_and_step_elsewhere(open_boards):
    page = open_boards()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    focused(page, "right")
    read_out(page, "writable · row 0, column 0")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    read_out(page, "writable · row 1, column 2")
    assert outlined(page, "right") == (2, 1)
    for key, place in {
        "End": (15, 1),
        "PageDown": (15, 15),
        "Home": (0, 15),
        "PageUp": (0, 0),
        "Control+End": (15, 15),
    }.items():
        page.keyboard.press(key)
        assert outlined(page, "right") == place, key
    expect(page.locator('canvas[data-ready="1"]')).to_have_count(2)  # the machine has not been asked to step
    page.keyboard.press("m")
    expect(page.locator('canvas[data-ready="0"]')).to_have_count(
        2
    )  # M is the machine's everywhere: its next picture is under way
    focused(page, "right")
    page.keyboard.press("Escape")
    expect(page.locator(".stage")).to_be_focused()
    assert page.locator("path.pointed").last.get_attribute("d") == ""


def test_the_cursor_skips_what_only_fills_up_the_rectangle(open_script_page):
    page = open_script_page()
    grid = np.full((16, 16), palette.WRITABLE, np.uint16)
    grid[0, :3] = grid[1] = palette.BLANK
    record = {"tick": 5, "sentence": "At 5.", "status": []}
    whole = header(Display("Page", ("right",)), 0, machine="1", boards=[board_record(RIGHT)], frames=[record])
    show(page, encode(whole, [[grid]]))
    page.keyboard.press("Tab")
    focused(page, "right")
    read_out(page, "writable · row 0, column 3")
    page.keyboard.press("ArrowLeft")
    assert outlined(page, "right") == (3, 0)
    page.keyboard.press("ArrowDown")
    assert outlined(page, "right") == (3, 2)


def test_enter_asks_as_a_click_does_and_the_card_is_read_out(open_boards):
    page = open_boards()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    ask = page.evaluate("asks.at(-1)")
    assert (ask["cmd"], ask["board"], ask["cell"]) == ("inspect", "left", 1)
    show(page, message(PLAN, RIGHT, seq=ask["seq"], inspect=FOUND, lit={"left": [1]}))
    expect(page.locator(".card h3")).to_have_text("gfn 0x7")
    read_out(page, "gfn 0x7. Why? Written. gva; gpa. bits: RW.")
    focused(page, "left")
    page.keyboard.press("Escape")
    expect(page.locator(".card h3")).to_have_text("Inspector")
    focused(page, "left")
    page.keyboard.press("Escape")
    expect(page.locator(".stage")).to_be_focused()


def test_a_click_gives_no_focus_but_the_cursor_comes_to_its_cell(open_boards):
    page = open_boards()
    page.locator('canvas[data-board="left"]').click()
    expect(page.locator(".stage")).to_be_focused()
    cell = page.evaluate("asks.at(-1).cell")
    page.keyboard.press("Tab")
    focused(page, "left")
    read_out(page, f"writable · low · row {cell // 8}, column {cell % 8}")


def test_the_cursor_is_seen_again_when_the_pointer_goes(open_boards):
    page = open_boards()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.locator('canvas[data-board="right"]').hover()
    assert outlined(page, "right") != (0, 0)
    page.locator(".source").hover()
    assert outlined(page, "right") == (0, 0)


def test_e_explains_the_words_of_the_focused_map_one_after_the_other(open_boards):
    page = open_boards()
    tip, word = page.get_by_role("tooltip"), page.locator("[data-told]")
    page.keyboard.press("Tab")
    for key, title, text in (
        ("e", "Left", "Left The left map."),
        ("e", "Wwritable", "rights May be stored to."),
        ("e", "Left", "Left The left map."),
        ("Shift+E", "Wwritable", "rights May be stored to."),
    ):
        page.keyboard.press(key)
        expect(tip).to_have_text(text)
        expect(word).to_have_text(title)
    read_out(page, "Wwritable. rights: May be stored to.")
    assert word.get_attribute("aria-describedby") == tip.get_attribute("id")
    focused(page, "left")
    page.keyboard.press("ArrowRight")
    expect(tip).to_be_hidden()
    assert word.count() == 0


def test_e_explains_the_words_beside_the_maps_and_escape_closes_that_alone(open_boards):
    page = open_boards()
    tip = page.get_by_role("tooltip")
    page.locator('canvas[data-board="right"]').click()
    show(page, message(PLAN, RIGHT, seq=1, about=SAID, marked={"At 5.": [[0, 2, "At"]]}, inspect=FOUND))
    expect(page.locator(".card h3")).to_have_text("gfn 0x7")
    for text in ("fault Counted.", "bits Of an entry.", "At A word of time."):
        page.keyboard.press("e")
        expect(tip).to_have_text(text)
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    expect(page.locator(".card h3")).to_have_text("gfn 0x7")  # that needs a second Escape
    page.keyboard.press("Escape")
    expect(page.locator(".card h3")).to_have_text("Inspector")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_focus_is_seen_and_moves_nothing(open_script_page, theme):
    page = open_script_page()
    show(page, message(PLAN, RIGHT, theme=theme))
    panel = page.locator(".panel").first
    expect(panel).to_have_css("outline-style", "none")
    before = panel.bounding_box()
    page.keyboard.press("Tab")
    expect(panel).to_have_css("outline-style", "solid")
    outline = panel.evaluate("node => getComputedStyle(node).outlineColor")
    ground = palette.PALETTES[theme].ground
    assert palette.contrast("#" + "".join(f"{int(part):02x}" for part in outline[4:-1].split(",")), ground) >= 3
    assert panel.bounding_box() == before
