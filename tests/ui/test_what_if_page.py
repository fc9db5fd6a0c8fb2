"""The page What if: a rule is chosen, broken, and both machines are stepped around the first wrong tick."""

import re

import pytest
from playwright.sync_api import expect

from pagingviz.experiments.broken_rules import BROKEN_RULES, NAMES
from tests.ui.serving import wait_quiet, wait_ready
from tests.ui.visiting import finished, machine, settled, visit

RULE, TICK = "mark-at-violation", 61  # that is worked out in a moment


def said(app):
    """All texts of the page."""
    return " ".join(text.value for text in app.markdown)


def test_a_rule_is_broken_by_a_button_and_mended_by_another(warm):
    app = visit("what_if", rule=RULE, tick="300")
    before = machine(app)
    rule = BROKEN_RULES[RULE]
    assert rule.rule in said(app) and rule.source in said(app) and rule.instead in said(app)
    assert "First wrong" not in said(app) and not app.get("bidi_component")
    finished(app.button(key="break-it").click().run())
    assert f"First wrong at tick {TICK}, seen in the dirty bitmap" in said(app) and rule.saves in said(app)
    assert (app.query_params["rule"], app.query_params["broken"]) == (RULE, "1")
    assert len(app.get("bidi_component")) == 1, "the two maps"
    assert machine(app) == before and not app.error
    settled(app.button(key="mend-it").click().run())
    assert "broken" not in app.query_params and "First wrong" not in said(app)


def test_a_link_opens_a_broken_rule_and_another_rule_is_whole(warm):
    app = finished(visit("what_if", rule=RULE, broken="1"))
    assert f"First wrong at tick {TICK}" in said(app)
    box = next(item for item in app.selectbox if item.label == "Rule to break")
    assert box.options == [BROKEN_RULES[name].title for name in NAMES]
    settled(box.set_value("last-round").run())
    assert app.query_params["rule"] == "last-round" and "broken" not in app.query_params
    assert BROKEN_RULES["last-round"].rule in said(app) and "First wrong" not in said(app)


def test_without_a_rule_it_is_the_first_one(warm):
    app = visit("what_if")
    assert BROKEN_RULES[NAMES[0]].rule in said(app) and "rule" not in app.query_params


def test_a_rule_that_nobody_knows_is_one_sentence(warm):
    app = visit("what_if", rule="flush-at-cleen")
    assert len(app.error) == 1 and "did you mean flush-at-clean?" in app.error[0].value


def test_a_process_that_fails_is_one_sentence(warm, monkeypatch):
    def fails(*_):
        raise RuntimeError("the process has ended")

    monkeypatch.setattr("pagingviz.ui.what_if.film_of", fails)
    app = finished(visit("what_if", rule="mark-a-and-d", broken="1"))
    assert len(app.error) == 1 and "could not be worked out" in app.error[0].value


def test_presenter_mode_shows_the_maps_alone(warm):
    app = finished(visit("what_if", rule=RULE, broken="1", present="1"))
    assert "First wrong" not in said(app) and len(app.get("bidi_component")) == 1
    assert BROKEN_RULES[RULE].rule in said(visit("what_if", rule=RULE, present="1"))


@pytest.mark.browser
def test_both_machines_are_stepped_by_keys(open_page):
    page = open_page(f"/what-if?scenario=blackboard&tick=77&rule={RULE}", boards=False)
    page.get_by_role("button", name="Break it").focus()
    page.keyboard.press("Enter")
    wait_ready(page, TICK)
    expect(page).to_have_url(re.compile(f"rule={RULE}&broken=1"))
    maps, sentence = page.locator("canvas[data-board]"), page.locator(".what")
    expect(maps).to_have_count(2)
    expect(sentence).to_contain_text("its dirty bit is clear")
    outlines = page.locator("path.lit")
    wait_quiet(page)
    assert [path.get_attribute("d").count("M") for path in outlines.all()] == [1, 1]
    page.locator(".stage").focus()
    for key, tick in (("ArrowLeft", TICK - 1), ("Home", TICK - 30), ("End", TICK + 10), ("n", TICK), ("ArrowRight", TICK + 1)):
        page.keyboard.press(key)
        wait_ready(page, tick)
    page.keyboard.press("ArrowLeft")
    wait_ready(page, TICK)
    page.set_viewport_size({"width": 1000, "height": 640})
    wait_quiet(page)
    box, lit = maps.first.bounding_box(), outlines.first.bounding_box()
    assert lit["x"] == pytest.approx(box["x"] + box["width"] * 20 / 32, abs=4), "the outline has gone with its cell"
    maps.first.click(position={"x": box["width"] * 20.5 / 32, "y": box["height"] / 8})
    expect(page.locator(".card h3")).to_have_text("The same cell on both machines")
    expect(page.locator(".card")).to_contain_text("written since the last CLEAN")
    page.keyboard.press("Escape")
    expect(page.locator(".card h3")).to_have_text("Inspector")
    assert [path.get_attribute("d").count("M") for path in outlines.all()] == [1, 1], "the wrong page is outlined again"
    page.keyboard.press("Space")
    wait_ready(page, TICK + 10)
