"""The page Translation: the same guest down every road, stepped through by keys, its address chosen in three ways."""

import re

import pytest
from playwright.sync_api import expect

from pagingviz.arch import costs
from pagingviz.boards.guest_tables import first_address
from pagingviz.boards.palette import CHANGED, FILL_MASK, FREE
from pagingviz.boards.payload import decode
from pagingviz.boards.registry import make_plan
from pagingviz.boards.translation import cell_of
from pagingviz.player.message import Display
from pagingviz.player.player import Player
from pagingviz.player.twins import ROADS, Roads
from pagingviz.reading.translate import translate
from pagingviz.scenario.fields import ScenarioError
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from pagingviz.ui import translation as page_of
from pagingviz.ui.address import View
from pagingviz.ui.session import Visit
from tests.support.waiting import until
from tests.ui.serving import wait_quiet, wait_ready
from tests.ui.visiting import machine, settled, visit, wait_for


def arrive(roads):
    """Move the twins, slice by slice, until they are there."""
    assert until(lambda: roads.follow(0.05), between=lambda: None)


def fresh(sim, board):
    """Digest of a machine built anew for a road and run to the visitor's tick."""
    other = Simulation(sim.scenario.replace(**ROADS[board][0], do=sim.script()))
    other.seek(sim.tick)
    return other.machine.digest()


def test_twins_of_a_guest_that_is_moved_have_done_the_same_work(warm):
    """Its pause is no time of theirs: at any moment before, in and after it the guest is the same on every road."""
    sim = Simulation(load("moving"))
    roads = Roads(sim)
    for tick in (2000, 4000, 9000, 1200):
        sim.seek(tick)
        arrive(roads)
        guest = sim.machine.guest_digests()
        for board in set(ROADS) - {roads.own, "translation-pv"}:
            assert roads.machine(board).guest_digests() == guest, (tick, board)
    assert sim.migration.stood == 0
    sim.seek(9000)
    assert sim.migration.stood > 0


def test_twins_are_the_machines_of_the_other_roads_wherever_the_visitor_goes(warm):
    sim = Simulation(load("blackboard"))
    roads = Roads(sim)
    for tick, command in ((700, None), (1500, "clean"), (640, "peek"), (641, None)):
        sim.seek(tick)
        if command:
            sim.command(command)
        arrive(roads)
        assert roads.machine(roads.own) is sim.machine and roads.own == "translation-shadow"
        for board in ROADS:
            assert roads.machine(board).digest() == (sim.machine.digest() if board == roads.own else fresh(sim, board))
    guests = [roads.machine(board).guest_digests() for board in ROADS if board != "translation-pv"]
    assert all(guest == guests[0] for guest in guests)


def test_a_road_on_its_way_says_how_far_and_one_that_cannot_be_says_why(warm):
    sim = Simulation(load("blackboard").replace(guest="pae", pool=64))
    roads = Roads(sim)
    sim.seek(2_000_000)
    assert not roads.follow(0.02)
    texts = [text for text in map(roads.machine, ROADS) if isinstance(text, str)]
    assert any("of 2,000,000 ticks done" in text or "being built" in text for text in texts)
    arrive(roads)
    assert "64-bit guests only" in roads.machine("translation-pv")
    assert [board for board in ROADS if isinstance(roads.machine(board), str)] == ["translation-pv"]


# ---- without a browser: a Player with the page's scenes


@pytest.fixture
def shown(warm):
    """shown(view, ask) -> (record of the frame, header): the boards as the page sends them."""
    player = Player(Simulation(load("blackboard")))
    player.sim.seek(500)
    roads = Roads(player.sim)
    arrive(roads)

    def answer(view=None, **ask):
        resolver = page_of.Resolver(view or View(), roads)
        display = Display("Translation", tuple(ROADS), scene=resolver.scene, changes=False)
        header, frames = decode(player.answer({"seq": 1, "cmd": "poll", "tick": player.sim.tick} | ask, display))
        return header, frames[-1]

    answer.player = player
    return answer


def test_the_boards_show_made_present_and_coming_references(shown):
    header, grids = shown()
    more = header["frames"][0]["more"]
    assert (more["made"], more["total"], more["late"]) == (24, 24, False)
    assert [board["id"] for board in header["boards"]] == list(ROADS)
    assert [sorted(map(int, more["corners"][k].values())) for k in (0, 3)] == [[1, 2, 3, 4], list(range(1, 25))]
    for ref in (0, 1, 7, 24):
        header, grids = shown(View(ref=ref))
        said = header["frames"][0]
        for k, grid in enumerate(grids):
            total = 24 if k > 2 else 4
            assert int((grid & CHANGED != 0).sum()) == (1 if 1 <= ref <= total else 0)
            pale = int((grid & FILL_MASK == FREE).sum())
            assert pale == max(0, total - ref) + (ref < total), "to come, and the data"
        assert said["more"]["made"] == ref
        if ref == 7:
            assert "reference 7 of 24" in said["sentence"] and "HAP with EPT" in said["sentence"]
    assert "HAP with EPT 24" in said["sentence"] and "the TLB now holds" in said["captions"][3]


def test_a_cell_of_a_walk_has_its_card(shown):
    sim = shown.player.sim
    vcpu, gva, kind, user = page_of.target(sim, View())
    walk = translate(sim.machine, vcpu, gva, kind, user)
    for ref in walk.references:
        plan = make_plan("translation-shadow", sim.scenario, sim.work)
        header, _ = shown(cmd="inspect", board="translation-shadow", cell=cell_of(plan, ref))
        card = header["inspect"]
        assert card["title"] == f"shadow: reference {ref.number}"
        assert dict(card["rows"])["entry's address"] == f"mpa {ref.address:#x}"
    header, _ = shown(cmd="inspect", board="translation-ept", cell=0)
    assert "1, 6, 11, 16, 21" in str(header["inspect"]["rows"]), "the root is read again for each level"
    assert len(header["lit"]["translation-ept"]) == 5
    header, _ = shown(cmd="inspect", board="translation-ept", cell=24)
    assert "mfn" in str(header["inspect"]["rows"]) and header["inspect"]["title"] == "HAP with EPT: the data"
    assert shown(cmd="inspect", board="translation-ept", cell=999)[0]["inspect"] is None


def test_stepping_is_an_absolute_wish_and_bounded(warm):
    visit = Visit()
    visit.arrive({"scenario": "blackboard", "tick": "500"})
    for n, ref in ((3, 3), (None, None), (-7, 0), (1e9, 99), ("many", 0)):
        visit.step_walk({"cmd": "ref", "n": n})
        assert visit.view.ref == ref
    visit.step_walk({"cmd": "step", "n": 5})
    assert visit.view.ref == 0 and visit.address()["ref"] == "0"


@pytest.mark.parametrize("text", ["", "zz", "0x", "-1", "0x1" + "0" * 16])
def test_no_such_address(text):
    with pytest.raises(ScenarioError, match="hexadecimal"):
        page_of.address.parse_gva(text, "hvm64")


def test_cycles_come_from_the_counts_and_the_viewer_s_table(warm):
    sim = Simulation(load("combined"))
    sim.seek(700)
    vcpu, gva, kind, user = page_of.target(sim, View())
    walk = translate(sim.machine, vcpu, gva, kind, user)
    counted = page_of.counts(walk)
    assert counted == {"reference": 1, "cached": 0, "shadow_fault": 1} and set(counted) <= set(costs.DEFAULT)
    dear = costs.DEFAULT | {"reference": 1000}
    assert costs.cycles(counted, dear) - costs.cycles(counted) == 1000 - costs.DEFAULT["reference"]


# ---- the page


def test_the_page_says_what_each_road_does_and_what_its_tlb_holds(warm):
    app = visit("translation", scenario="combined", tick="690")
    assert wait_for(app, lambda: "being built" not in app.table[0].value.to_csv())
    table = app.table[0].value.to_csv()
    assert "gva page" in table and "Xen had combined both" in table and not app.error
    said = " ".join(text.value for text in app.caption)
    assert "HAP with NPT: " in said and "24 of 24 references made" in said
    assert {"What the TLB then holds", "What it costs"} <= {head.value for head in app.subheader}


def test_an_address_is_chosen_from_the_list_or_written_and_a_bad_one_is_one_sentence(warm):
    app = visit("translation", tick="500")
    before = machine(app)
    box = next(item for item in app.selectbox if item.label == "Page")
    settled(box.select_index(3).run())
    assert re.fullmatch("0x[0-9a-f]+", app.query_params["gva"])
    field = next(item for item in app.text_input if item.label == "gva")
    settled(field.set_value("0xffff880000005000").run())
    assert app.query_params["gva"] == "0xffff880000005000" and not app.error
    field = next(item for item in app.text_input if item.label == "gva")
    settled(field.set_value("0x900000000000").run())
    assert len(app.error) == 1 and "not canonical" in app.error[0].value
    assert app.query_params["gva"] == "0xffff880000005000" and machine(app) == before
    assert not app.exception


@pytest.mark.browser
def test_down_and_up_step_through_the_references(open_page):
    page = open_page("/translation?scenario=blackboard&tick=500", tick=500)
    shown = page.locator(".walked")
    expect(shown).to_have_text("all 24 refs")
    for key, made in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("ArrowUp", 0), ("ArrowDown", 1)):
        page.keyboard.press(key)
        expect(shown).to_have_text(f"ref. {made} of 24")
    for _ in range(6):
        page.keyboard.press("ArrowDown")
    expect(shown).to_have_text("ref. 7 of 24")
    expect(page.locator(".what")).to_contain_text("reference 7 of 24")
    expect(page).to_have_url(re.compile(r"ref=7\b"))
    page.keyboard.press("ArrowRight")
    wait_ready(page, 501)
    expect(shown).to_contain_text("ref. 7 of")


@pytest.mark.browser
def test_a_click_on_the_guest_s_tables_chooses_the_address(open_page):
    sim = Simulation(load("blackboard"))
    sim.seek(500)
    plan = make_plan("guest-tables", sim.scenario, sim.work)
    leaves = next(e for e in plan.entries if e.level == 1 and e.slot == 0)
    cell = int(leaves.cell[2])
    page = open_page("/translation?scenario=blackboard&tick=500", tick=500)
    page.get_by_role("radio", name="Guest's tables").click()
    canvas = page.locator('canvas[data-board="guest-tables"][data-ready="1"]')
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    pitch = box["height"] / plan.height
    row, column = divmod(cell, plan.width)
    canvas.click(position={"x": box["width"] - (plan.width - column - 0.5) * pitch, "y": (row + 0.5) * pitch})
    expect(page.locator('canvas[data-board="translation-ept"]')).to_be_visible()
    expect(page).to_have_url(re.compile(f"gva={first_address(sim.machine, plan, cell):#x}"))
    wait_ready(page, 500)


@pytest.mark.browser
@pytest.mark.parametrize("more", ["", "&present=1"])
def test_the_walks_fit_without_scrolling(open_page, more):
    page = open_page(f"/translation?scenario=blackboard&tick=400{more}", tick=400)
    wait_quiet(page)
    what = page.locator(".what")
    assert what.evaluate("node => node.scrollHeight <= node.parentElement.clientHeight"), "the sentence is whole"
    box = page.locator(".sentence").bounding_box()
    assert box["y"] + box["height"] <= 720
    if more:
        assert page.get_by_test_id("stMain").evaluate("main => main.scrollHeight <= innerHeight")
        assert float(what.evaluate("node => parseFloat(getComputedStyle(node).fontSize)")) >= 24
        canvas = page.locator('canvas[data-board="translation-npt"]').bounding_box()
        assert canvas["height"] / 5.5 >= 28
