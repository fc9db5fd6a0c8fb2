"""The home page without a mouse: few stops of Tab, a cursor on the maps, the card that a click brings."""

import pytest
from playwright.sync_api import expect

from tests.ui.serving import wait_quiet, wait_ready

pytestmark = pytest.mark.browser
HOME = "/?scenario=blackboard&tick=900"
MOST_STOPS = 20
# All of the board at which Tab stops: what is seen, and is a control or has been given a place in the order.
STOPS = """board => [...board.querySelectorAll('button, select, input, [tabindex="0"]')]
    .filter((node) => node.checkVisibility() && !node.disabled).length"""


def board(page, name):
    return page.locator(f'canvas[data-board="{name}"]')


def test_the_home_page_has_few_stops_and_one_for_each_map(open_page):
    page = open_page(HOME, tick=900)
    wait_quiet(page)
    stops = page.locator(".board").evaluate(STOPS)
    assert page.locator("canvas[data-board]").count() < stops <= MOST_STOPS
    page.locator(".stage").focus()
    for name in ("guest-tables", "shadow-pool", "ept-npt", "dirty-bitmap"):
        page.keyboard.press("Tab")
        expect(board(page, name)).to_be_focused()


def test_the_cursor_brings_the_card_that_a_click_brings(open_page):
    page = open_page(HOME, tick=900)
    wait_quiet(page)
    card, title, aloud = page.locator(".card"), page.locator(".card h3"), page.locator(".aloud")
    box = board(page, "shadow-pool").bounding_box()
    pitch = box["width"] / 8
    board(page, "shadow-pool").click(position={"x": pitch * 4.5, "y": pitch / 2})
    expect(title).to_contain_text("pool page")
    clicked = card.inner_text()
    page.keyboard.press("Escape")
    expect(title).to_have_text("Inspector")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(board(page, "shadow-pool")).to_be_focused()
    page.keyboard.press("Home")
    expect(aloud).to_contain_text("row 0, column 0")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(aloud).to_contain_text("row 0, column 4")
    page.keyboard.press("Enter")
    expect(card).to_have_text(clicked, use_inner_text=True)
    expect(aloud).to_contain_text(f"{title.inner_text()}. Why?")
    wait_ready(page, 900)
    page.keyboard.press("Escape")
    expect(title).to_have_text("Inspector")
    page.keyboard.press("Escape")
    expect(page.locator(".stage")).to_be_focused()
    page.keyboard.press("ArrowRight")
    wait_ready(page, 901)
