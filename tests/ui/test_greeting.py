"""The greeting of a first visit: it comes once, hides no map, and one key or click sends it away for good."""

import pytest
from playwright.sync_api import expect

from pagingviz.arch import events as ev
from pagingviz.boards.registry import HOME
from pagingviz.reading import shadows
from pagingviz.ui import greeting
from pagingviz.ui.session import Visit
from tests.ui.serving import wait_quiet, wait_ready

SIZES = [(1280, 720), (1920, 1080), (390, 844)]
browser_test = pytest.mark.browser
# Of every map: the share of its picture that nothing of the greeting covers, looked for at a grid of points in the window.
SEEN = """maps => maps.map((map) => {
    const { x, y, width, height } = map.getBoundingClientRect(), root = map.getRootNode();
    let seen = 0, all = 0;
    for (let i = 0.5; i < 20; i++) for (let k = 0.5; k < 20; k++) {
        const px = x + width * i / 20, py = y + height * k / 20;
        if (py >= innerHeight) continue;
        all += 1;
        seen += root.elementFromPoint(px, py) === map;
    }
    return all && seen / all;
})"""


def card(page):
    return page.get_by_role("dialog")


@browser_test
def test_it_greets_once_and_is_gone_for_good_after_a_key(open_page):
    page = open_page("/")
    expect(card(page)).to_be_visible()
    expect(card(page)).to_contain_text("In 4 ticks its dirty bitmap is read")
    expect(card(page).get_by_role("button")).to_be_focused()
    page.keyboard.press("Escape")
    expect(card(page)).to_have_count(0)
    expect(page.locator(".stage")).to_be_focused()
    page.reload()
    wait_ready(page)
    expect(card(page)).to_have_count(0)
    page.keyboard.press("?")
    expect(card(page)).to_be_visible()
    page.keyboard.press("?")
    expect(card(page)).to_have_count(0)
    page.get_by_role("button", name="What is this?").click()
    expect(card(page)).to_be_visible()
    page.keyboard.press("Enter")
    expect(card(page)).to_have_count(0)
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="pause")).to_be_visible()


@browser_test
@pytest.mark.parametrize(("key", "tick"), [("ArrowRight", 2797), ("ArrowLeft", 2795)])
def test_a_key_of_the_board_sends_it_away_and_does_what_it_says(open_page, key, tick):
    page = open_page("/")
    expect(card(page)).to_be_visible()
    page.keyboard.press(key)
    wait_ready(page, tick)
    expect(card(page)).to_have_count(0)


@browser_test
def test_space_runs_from_the_greeting(open_page):
    page = open_page("/")
    expect(card(page)).to_be_visible()
    page.keyboard.press("Space")
    expect(card(page)).to_have_count(0)
    expect(page.get_by_role("button", name="pause")).to_be_visible()


@browser_test
def test_a_click_beside_it_sends_it_away(open_page):
    page = open_page("/")
    expect(card(page)).to_be_visible()
    page.locator(".panel h3").first.click()
    expect(card(page)).to_have_count(0)


@browser_test
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_it_stands_in_the_window_and_the_maps_are_seen(open_page, width, height, theme):
    page = open_page(f"/?theme={theme}", width=width, height=height)
    wait_quiet(page)
    box = card(page).bounding_box()
    assert box["x"] >= 0 and box["y"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= height
    seen = page.locator("canvas[data-board]").evaluate_all(SEEN)
    assert len(seen) == len(HOME)
    if width > 1000:
        assert min(seen) > 0.85, "the maps stand above it"
        notes = page.locator(".note").evaluate_all("all => all.map((note) => note.getBoundingClientRect().bottom)")
        assert len(notes) == len(HOME) and max(notes) < box["y"], "so does what each of them is"
    else:
        assert seen[0] == 1, "on a phone the first one does"


@browser_test
@pytest.mark.parametrize("path", ["/?tick=300", "/?scenario=blackboard", "/?present=1", "/shadow-pool"])
def test_other_addresses_are_not_greeted(open_page, path):
    page = open_page(path)
    wait_quiet(page)
    expect(card(page)).to_have_count(0)


@pytest.fixture
def at(warm):
    """at(tick, **fields) -> a Visit of the home scenario with other fields, at that tick."""

    def visit_(tick, **fields):
        visit = Visit()
        visit.arrive({"tick": str(tick), **fields})
        while visit.player.proceed():
            pass
        return visit

    return visit_


@pytest.mark.parametrize(
    ("tick", "said"),
    [(2796, "In 4 ticks its"), (2798, "In 2 ticks its"), (2799, "At the next tick its"), (2800, "In 400 ticks its")],
)
def test_it_says_when_the_bitmap_is_read_next(at, tick, said):
    visit = at(tick)
    assert greeting.soon(visit).startswith(said) and greeting.soon(visit).endswith("watch the shadow pool.")
    cleans = int(visit.player.sim.machine.sys[0].cleans)
    left = int("".join(c for c in said if c.isdigit()) or 1)
    visit.player.sim.seek(tick + left - 1)
    assert int(visit.player.sim.machine.sys[0].cleans) == cleans
    visit.player.sim.seek(tick + left)
    assert int(visit.player.sim.machine.sys[0].cleans) == cleans + 1


def test_it_promises_no_reading_where_none_comes(at):
    assert greeting.soon(at(100)).startswith("In 300 ticks its"), "log-dirty will be on by then"
    assert greeting.soon(at(100, do="")) == greeting.soon(at(2796, do="enable@300,off@2000")) == ""
    assert greeting.soon(at(2796, clean_every="0")) == ""
    for fields in ({"road": "hap"}, {"clean": "revoke"}):
        assert greeting.soon(at(2796, **fields)).endswith("watch the map of the guest's frames.")


def test_without_a_hypervisor_it_speaks_of_none(at):
    visit = at(2796, road="bare")
    assert greeting.soon(visit) == "" and "without a hypervisor" in greeting.greeting(visit)["here"]
    assert not visit.player.sim.machine.sys[0].cleans
    assert "and its hypervisor" in greeting.greeting(at(2796))["here"]


@pytest.mark.parametrize("on", [False, True])
def test_what_it_says_of_a_pv_guest_is_true_with_log_dirty_and_without(at, on):
    visit = at(2796, road="pv", do="enable@300" if on else "")
    machine, said = visit.player.sim.machine, greeting.maps(visit)
    assert shadows.in_use(machine) == on and said["shadow-pool"].startswith("What the processor walks instead while a dirty")
    rights = set(shadows.frame_rights(machine).tolist())
    assert (shadows.READ_ONLY in rights) == on, "only shadows let a frame be read that may be written"
    assert {shadows.TABLE, shadows.WRITABLE} <= rights and "never both" in said["ept-npt"]


def test_it_says_whether_there_is_a_hypervisor_and_that_a_tick_is_one_access(at):
    visit = at(500, road="bare")
    assert greeting.machine(visit) == greeting.BARE and greeting.machine(at(500)) == greeting.HERE
    sim = visit.player.sim
    for tick in range(501, 600):
        sim.seek(tick)
        assert int((sim.events()["kind"] == ev.ACCESS).sum()) == 1 and sim.machine.view("ptype").size == 0


@pytest.mark.parametrize("road", ["bare", "pv", "shadow", "hap"])
def test_every_map_of_the_home_page_is_told_on_every_road(at, road):
    said = greeting.maps(at(300, road=road))
    assert set(said) == set(HOME) and all(text.endswith(".") for text in said.values())
