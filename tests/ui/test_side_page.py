"""The page Side by side: its machines are those that they would be alone, and it is reached from every page."""

import re

import pytest
from playwright.sync_api import expect

from pagingviz.boards.registry import HOME
from pagingviz.experiments import balance
from pagingviz.manual.pages import PAGES, script
from pagingviz.scenario.beside import scenarios
from pagingviz.scenario.scenario import load
from pagingviz.scenario.table import FIELD
from pagingviz.timeline.simulation import Simulation
from pagingviz.ui import side_by_side
from tests.ui.serving import wait_quiet, wait_ready
from tests.ui.visiting import machine, settled, visit

DO = "enable@300,clean@600"
FOUR = "road:hap;road:hap,hap:npt,pool:32;road:pv"
NAMES = ["shadow, pool=24", "EPT + PML, pool=24", "NPT, pool=32", "PV, pool=24"]


def alone(text, tick, do=DO):
    """The machines of a text, the blackboard first, each run by itself."""
    own = load("blackboard").replace(do=do)
    out = [Simulation(scenario) for scenario in (own, *scenarios(own, text))]
    for sim in out:
        sim.seek(tick)
    return out


def test_a_link_opens_four_machines_and_their_ledger(warm):
    app = visit("side_by_side", tick="900", do=DO, beside=FOUR, board="dirty-bitmap")
    sims = alone(FOUR, 900)
    assert not app.error and dict(app.query_params)["beside"] == FOUR
    words, ledger = (table.value for table in app.table)
    assert list(words["machine"]) == NAMES
    assert list(words["state digest"]) == [sim.machine.digest() for sim in sims]
    rows = {row.what: row for row in balance.ledger(sims) if row.cycles}
    assert list(ledger["what"]) == list(rows)
    for k, name in enumerate(NAMES):
        assert list(ledger[name]) == [f"{row.cycles[k]:,}" for row in rows.values()]
    assert list(ledger["source"]) == [row.source for row in rows.values()]
    app.session_state["ledger-unit"] = side_by_side.COUNTS
    counts = app.run().table[1].value
    assert (
        dict(zip(counts["what"], counts["NPT, pool=32"], strict=True))["NPF, write"] == f"{sims[2].counters()['npf_write']:,}"
    )
    assert [chart.key for chart in app.get("plotly_chart")] == ["side-by-side-chart"]
    said = [text.value for text in app.caption if " at tick 900: " in text.value]
    assert [text.partition(": ")[0] for text in said] == NAMES and not app.exception


def test_machines_are_chosen_by_roads_or_written_and_a_bad_one_is_one_sentence(warm):
    app = visit("side_by_side", tick="900")
    assert "beside" not in app.query_params and list(app.table[0].value["machine"]) == ["shadow", "EPT + PML"]
    before = machine(app)
    roads = next(item for item in app.button_group if "Roads" in item.label)
    assert roads.value == ["EPT + PML"] and "shadow" not in roads.options
    settled(roads.set_value(["EPT + PML", "NPT"]).run())
    assert list(app.table[0].value["machine"]) == ["shadow", "EPT + PML", "NPT"]
    text = app.query_params["beside"]
    field = next(item for item in app.text_input if "Fields" in item.label)
    assert field.value == text
    settled(field.set_value("pool:3").run())
    assert len(app.error) == 1 and app.error[0].value.startswith("Machine 2 (beside=pool:3): pool must be")
    assert app.query_params["beside"] == text and machine(app) == before
    field = next(item for item in app.text_input if "Fields" in item.label)
    settled(field.set_value("pool:32").run())
    assert app.query_params["beside"] == "pool:32" and not app.error
    assert list(app.table[0].value["machine"]) == ["pool=24", "pool=32"]


def test_a_command_and_a_field_of_the_sidebar_concern_all_machines(warm):
    app = visit("side_by_side", tick="900", beside="road:hap;pool:32")
    settled(app.button("do-clean").click().run())
    digests = list(app.table[0].value["state digest"])
    assert digests == [sim.machine.digest() for sim in alone("road:hap;pool:32", 900, load("blackboard").do + ",clean@900")]
    field = next(item for item in app.number_input if item.label == "guest frames")
    settled(field.set_value(320).run())
    own = load("blackboard").replace(do=app.query_params["do"], frames=320)
    sims = [Simulation(scenario) for scenario in (own, *scenarios(own, "road:hap;pool:32"))]
    for sim in sims:
        sim.seek(900)
    assert list(app.table[0].value["state digest"]) == [sim.machine.digest() for sim in sims]


def test_a_guest_that_one_road_does_not_take_loses_that_machine_alone(warm):
    app = visit("side_by_side", tick="400", beside="road:pv;road:hap", pool="64")
    guest = next(item for item in app.button_group if item.label == "guest paging")
    settled(guest.set_value("pae").run())
    assert app.query_params["beside"] == "road:hap" and not app.error
    assert list(app.table[0].value["machine"]) == ["shadow", "EPT + PML"]


def test_a_machine_that_cannot_be_built_says_why(warm):
    app = visit("side_by_side", tick="400", frames="320", beside="frames:64;road:hap")
    assert len(app.error) == 1 and app.error[0].value.startswith("Machine 2 (shadow, frames=64): This work needs")
    assert list(app.table[0].value["machine"]) == ["shadow, frames=320", "EPT + PML, frames=320"]


@pytest.mark.slow
@pytest.mark.parametrize("page", [path for path in PAGES if path != "side-by-side"], ids=lambda path: path or "machine")
def test_every_page_leads_here(warm, page):
    app = visit(script(page), tick="900", do=DO)
    (link,) = [item for item in app.sidebar.get("page_link") if item.proto.label.startswith("Compare")]
    assert link.proto.label == "Compare with EPT + PML"
    assert "tick=900" in link.proto.query_string and "do=enable" in link.proto.query_string


def test_the_maps_to_choose_from_are_those_of_the_home_page():
    assert FIELD["board"].choices == HOME
    assert [PAGES[choice if choice != "guest-tables" else "guest-page-tables"] for choice in HOME] == list(FIELD["board"].words)


@pytest.mark.browser
def test_from_the_home_page_by_keys_and_pointer(open_page):
    page = open_page(f"/?scenario=blackboard&tick=900&do={DO}", tick=900)
    page.get_by_text("Compare with EPT + PML").click()
    first, second = (page.locator(f'canvas[data-board="ept-npt{end}"][data-ready="1"]') for end in ("", "@2"))
    expect(second).to_be_visible()
    wait_ready(page, 900)
    expect(page.locator(".panel h3")).to_have_text(["shadow: Shadow mappings", "EPT + PML: EPT"])
    page.keyboard.press("ArrowRight")
    wait_ready(page, 901)
    page.keyboard.press("ArrowLeft")
    wait_ready(page, 900)
    digests = [sim.machine.digest() for sim in alone("road:hap", 900)]
    for digest in digests:
        expect(page.get_by_role("cell", name=digest)).to_be_visible()
    wait_quiet(page)
    box = first.bounding_box()
    pitch = box["width"] / 32
    first.hover(position={"x": 3.5 * pitch, "y": 0.5 * pitch})
    lit = page.locator(".panel .lit")
    expect(lit).to_have_count(2)
    for k in range(2):  # the same frame on both maps, whose cells lie alike
        expect(lit.nth(k)).to_have_attribute("d", re.compile(r"M\d+ \d+h"))
    assert lit.nth(0).get_attribute("d") == lit.nth(1).get_attribute("d")
    page.locator(".stage").focus()
    for canvas in (first, second):
        page.keyboard.press("Tab")
        expect(canvas).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".card h3")).to_contain_text("EPT + PML: gfn")
    page.goto(f"{page.url.partition('?')[0]}?scenario=blackboard&tick=900&beside=road:hap;road:pv;road:bare")
    wait_ready(page, 900)
    expect(page.locator("canvas[data-board]")).to_have_count(4)
    boxes = page.locator("canvas[data-board]").evaluate_all("all => all.map(map => map.getBoundingClientRect().toJSON())")
    assert len({(box["width"], box["height"]) for box in boxes}) == 1 and boxes[0]["width"] / 32 >= 12, "letters can be read"
    assert len({box["y"] for box in boxes}) == len({box["x"] for box in boxes}) == 2, "two rows of two"
    expect(page.locator(".chips li")).to_have_count(6)
