"""The way of questions and the notes in the sidebar: what is pressed there does what the text says."""

import re

import pytest
from playwright.sync_api import expect
from streamlit.testing.v1 import AppTest

from pagingviz.arch import events as ev
from pagingviz.scenario.scenario import GROUPS, load, names
from pagingviz.story.steps import notes
from pagingviz.timeline.simulation import Simulation
from tests.support.waiting import PATIENCE
from tests.ui.serving import wait_ready
from tests.ui.visiting import MAIN, machine, settled, visit


def text_of(name, k):
    """What the sidebar shows of the k-th note."""
    return notes(load(name).notes)[k].text(lambda step: f"**{step.words}**")


def shown(app):
    """The texts of the sidebar."""
    return [text.value for text in app.sidebar.markdown]


def button(app, label):
    """The sidebar's button with that label."""
    return next(button for button in app.sidebar.button if button.label == label)


def turn(app, times=1):
    """On to a later note."""
    for _ in range(times):
        button(app, "Next").click().run()
    return app


def test_every_group_has_questions_and_every_question_a_place_of_its_own():
    for group in GROUPS:
        places = [load(name).place for name in names() if load(name).group == group]
        assert places == list(range(1, len(places) + 1)) and places, group
    assert all(re.fullmatch(r"[A-Z].*\?", load(name).question) for name in names())


def test_notes_are_open_at_first_and_are_read_one_after_the_other(warm):
    app = visit(scenario="touched", tick="20")
    opened = next(item for item in app.sidebar.expander if item.label == "What to try")
    assert opened.proto.expanded
    assert text_of("touched", 0) in shown(app) and "1 of 3" in shown(app)
    assert load("touched").sentence in [text.value for text in app.sidebar.caption]
    assert button(app, "Back").disabled
    turn(app)
    assert text_of("touched", 1) in shown(app) and "2 of 3" in shown(app)
    turn(app)
    assert text_of("touched", 2) in shown(app) and button(app, "Next").disabled
    button(app, "Back").click().run()
    assert "2 of 3" in shown(app)


def test_the_list_of_questions_opens_a_scenario_with_its_own_first_note(warm):
    app = turn(visit(scenario="touched", tick="20"))
    button(app, "2.3 Is a shadow a full copy?").click().run()
    headings = [text.value for text in app.markdown]
    assert [f"**{k} {heading}**" for k, heading in enumerate(GROUPS.values(), start=1)] == [
        text for text in headings if re.fullmatch(r"\*\*\d .*\*\*", text)
    ]
    settled(app.button("question-updates").click().run())
    assert dict(app.query_params)["scenario"] == "updates" and machine(app)[1] == load("updates").start
    assert text_of("updates", 0) in shown(app)


def test_a_step_sets_fields_and_is_done_then_and_begin_again_takes_it_back(warm):
    app = turn(visit(scenario="programs", tick="70"), 2)
    settled(button(app, "Set shadow pool pages to 40").click().run())
    assert app.query_params["pool"] == "40" and machine(app)[1] == 70
    done = button(app, "Set shadow pool pages to 40")
    assert done.disabled and done.help == "It is set so now."
    settled(button(app, "Begin again").click().run())
    assert "pool" not in app.query_params and machine(app)[1] == load("programs").start
    assert not button(app, "Set shadow pool pages to 40").disabled


def test_a_step_goes_to_a_tick_and_to_the_next_event_of_a_kind(warm):
    app = visit(scenario="two-tables", tick="301")
    turn(app)
    settled(button(app, "Next CR3 load").click().run())
    at = machine(app)[1]
    sim = Simulation(load("two-tables"))
    sim.seek(301)
    assert sim.run_to_event("CR3_LOAD", 100) and sim.tick == at and ev.CR3_LOAD in sim.events()["kind"]
    assert app.session_state.visit.player.kind == "CR3_LOAD", "N goes on with it"
    settled(button(app, "Go to tick 600").click().run())
    assert machine(app)[1] == 600 and app.query_params["scenario"] == "two-tables"


def test_a_step_opens_another_scenario(warm):
    app = turn(visit(scenario="idle", tick="10"), 2)
    settled(button(app, "1.1 Why does a CLEAN of the dirty bits empty the pool?").click().run())
    assert machine(app)[1] == load("blackboard").start


def test_a_step_that_cannot_be_taken_says_why(warm, monkeypatch):
    app = turn(visit(scenario="rounds", core="nehalem", tick="10"), 2)
    refused = button(app, "Set page-modification log to on")
    assert refused.disabled and "pml=1 needs core=skylake" in refused.help
    app.switch_page("../../pages/real_xen.py").run()
    assert "recorded machine" in button(app, "Go to tick 9,000").help and button(app, "Go to tick 9,000").disabled
    monkeypatch.setattr("pagingviz.ui.session.compiled", lambda: False)
    early = AppTest.from_file(MAIN, default_timeout=PATIENCE)
    early.query_params["scenario"] = "forks"
    early.run()
    assert button(early, "Next fork").disabled and "not there yet" in button(early, "Next fork").help


@pytest.mark.browser
def test_notes_stay_as_the_visitor_leaves_them(open_page):
    page = open_page("/?scenario=touched&tick=20", tick=20)
    text = page.get_by_text("Is the shadow a second copy of the guest's page tables?")
    expect(text).to_be_visible()
    page.get_by_role("button", name="Next", exact=True).click()
    expect(page.get_by_text("2 of 3")).to_be_visible()
    page.get_by_text("What to try").click()
    expect(page.get_by_text("2 of 3")).not_to_be_visible()
    page.get_by_role("link", name="Shadow pool").first.click()
    expect(page.get_by_role("heading", name="Shadow pool", level=1)).to_be_visible()
    wait_ready(page, 20)
    expect(page.get_by_text("2 of 3")).not_to_be_visible()
    page.get_by_text("What to try").click()
    expect(page.get_by_text("2 of 3")).to_be_visible()


@pytest.mark.browser
def test_questions_are_chosen_with_the_keyboard(open_page):
    page = open_page("/?scenario=touched&tick=20", tick=20)
    page.get_by_role("button", name="2.3 Is a shadow a full copy?").focus()
    page.keyboard.press("Enter")
    other = page.get_by_role("button", name="2.7 What happens when the guest changes a table?")
    expect(other).to_be_visible()
    other.focus()
    page.keyboard.press("Enter")
    wait_ready(page, load("updates").start)
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page).to_have_url(re.compile("scenario=updates"))
