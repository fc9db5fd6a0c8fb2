"""The app in a real Chromium: keys, the player, cells, links, a walk over all pages, and no flicker."""

import re

import pytest
from playwright.sync_api import expect

from pagingviz.boards.palette import DIRTY, FILL_MASK
from pagingviz.evidence.xen import moments
from pagingviz.scenario.scenario import load
from pagingviz.timeline.simulation import Simulation
from tests.bench.browser import STOPWATCH, WATCH
from tests.boards.on_screen import Shown
from tests.support.waiting import until
from tests.ui.serving import new_page, serve, wait_quiet, wait_ready

pytestmark = pytest.mark.browser
HOME = "/?scenario=blackboard&tick=900"
TITLES = (
    "Guest page tables",
    "Shadow pool",
    "EPT / NPT",
    "Dirty bitmap",
    "Translation",
    "Live migration",
    "Side by side",
    "What if",
    "Real Xen",
    "What the model leaves out",
    "Manual",
    "The machine",
)


def ticks(page):
    """The ticks that the page's maps show; all the same."""
    shown = {int(tick) for tick in page.locator("canvas[data-board]").evaluate_all("all => all.map(map => map.dataset.tick)")}
    assert len(shown) == 1, shown
    return shown.pop()


def pictures(page):
    """The pixels of every map."""
    return page.locator("canvas[data-board]").evaluate_all("all => all.map(map => map.toDataURL())")


def digest(page, tick):
    """Digest of the machine as the page says it, once it speaks of that tick."""
    said = page.get_by_text(re.compile(rf"^digest \w+ tick {tick}$"))
    expect(said).to_have_count(1)
    return said.text_content().split()[1]


def run_past(page, tick):
    """Wait until a running machine has been painted beyond `tick`."""
    assert until(lambda: ticks(page) > tick, between=lambda: page.wait_for_timeout(20))


def press(page, key, tick):
    page.keyboard.press(key)
    wait_ready(page, tick)


def test_keys_step_and_come_back_exactly(open_page):
    page = open_page(HOME, tick=900)
    before = pictures(page)
    press(page, "ArrowRight", 901)
    press(page, "ArrowRight", 902)
    press(page, "ArrowLeft", 901)
    press(page, "ArrowLeft", 900)
    assert pictures(page) == before
    press(page, "Home", 0)
    press(page, "End", 902)


def test_many_keys_at_once_are_all_counted(open_page):
    page = open_page(HOME, tick=900)
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    wait_ready(page, 920)


def test_space_runs_and_pauses_on_what_is_painted(open_page):
    page = open_page(HOME, tick=900)
    page.keyboard.press("Space")
    run_past(page, 910)
    page.keyboard.press("Space")
    wait_ready(page)
    paused = ticks(page)
    page.wait_for_timeout(500)
    assert ticks(page) == paused
    expect(page).to_have_url(re.compile(rf"tick={paused}\b"))
    sim = Simulation(load("blackboard"))
    sim.seek(paused)
    assert digest(page, paused) == sim.machine.digest()


def test_left_while_running_pauses_first(open_page):
    page = open_page(HOME, tick=900)
    page.keyboard.press("Space")
    run_past(page, 910)
    page.keyboard.press("ArrowLeft")
    wait_ready(page)
    stopped = ticks(page)
    page.wait_for_timeout(600)
    assert ticks(page) == stopped > 900


def test_keys_work_after_the_scrubber_and_after_a_select(open_page):
    page = open_page(HOME, tick=900)
    page.locator("input[data-board-scrubber]").click(position={"x": 30, "y": 8})
    wait_ready(page)
    here = ticks(page)
    assert here < 900
    press(page, "ArrowRight", here + 1)
    page.get_by_label("Kind of event that Next and Previous look for").select_option("CLEAN")
    page.wait_for_timeout(300)
    press(page, "Home", 0)
    press(page, "n", 400)
    press(page, "n", 800)
    press(page, "p", 400)


def test_micro_steps_open_a_tick(open_page):
    page = open_page("/?scenario=blackboard&tick=2799", tick=2799)
    page.keyboard.press("m")
    wait_ready(page, 2800)
    expect(page.locator(".what")).to_contain_text("Event 1 of")
    page.keyboard.press("m")
    expect(page.locator(".what")).to_contain_text("Event 2 of")
    page.keyboard.press("ArrowRight")
    wait_ready(page, 2800)
    expect(page.locator(".what")).not_to_contain_text("Event")


@pytest.fixture(scope="module")
def dirty_cell(warm):
    """(x, y, gfn): a dirty cell of the bitmap of the blackboard at tick 900, as a share of the grid."""
    sim = Simulation(load("blackboard"))
    sim.seek(900)
    board = Shown(sim, "dirty-bitmap")
    plan, grid = board.plan, board.grid
    row, column = next((r, c) for r in range(plan.height) for c in range(plan.width) if grid[r, c] & FILL_MASK == DIRTY)
    return row, column, int(plan.key[row * plan.width + column]), plan


def test_clicking_a_cell_tells_what_it_is(open_page, dirty_cell):
    row, column, gfn, plan = dirty_cell
    page = open_page("/dirty-bitmap?scenario=blackboard&tick=900", tick=900)
    canvas = page.locator('canvas[data-board="dirty-bitmap"]')
    box = canvas.bounding_box()
    pitch = box["height"] / plan.height
    canvas.click(position={"x": box["width"] - (plan.width - column - 0.5) * pitch, "y": (row + 0.5) * pitch})
    expect(page.locator(".card h3")).to_have_text(f"gfn {gfn:#x}")
    expect(page.locator(".card")).to_contain_text("mfn")
    press(page, "ArrowRight", 901)
    expect(page.locator(".card h3")).to_have_text(f"gfn {gfn:#x}")
    page.keyboard.press("Escape")
    expect(page.locator(".card h3")).to_have_text("Inspector")


def test_a_walk_over_all_pages_keeps_address_and_machine(open_page):
    page = open_page("/?scenario=blackboard&road=hap&tick=500&do=enable@100,clean@300", tick=500)
    before = digest(page, 500)
    for title in TITLES:
        page.get_by_role("link", name=title).click()
        expect(page.get_by_role("heading", name=title, level=1)).to_have_count(1)
        if title not in ("What if", "What the model leaves out", "Manual"):
            wait_ready(page, None if title == "Real Xen" else 500)
        assert digest(page, 500) == before
        for part in ("road=hap", "tick=500", "clean%40300"):
            expect(page).to_have_url(re.compile(re.escape(part)))


def test_a_page_is_whole_though_its_parts_were_sent_late(browser):
    """A fragment's run that meets a run of the page not yet sent off takes parts out of it: ui/page.py puts them back.

    The view is chosen 300 ms after a step is painted, and 50 ms later, while the page runs, the follower says that the board
    rests. The server sends only every 0.9 s.
    """
    with serve(flush=0.9) as server:
        page = new_page(browser)
        page.goto(f"{server.url}/shadow-pool?scenario=blackboard&tick=77")
        grid = page.get_by_role("heading", name="The thrash cliff on a real Xen")
        expect(grid).to_be_visible()
        wait_ready(page, 77)
        table = page.get_by_role("radio", name="Table").element_handle()
        canvas = page.locator("canvas[data-board]").element_handle()
        page.keyboard.press("ArrowRight")
        page.evaluate(
            """([table, canvas]) => new Promise((done) => {
                const click = () => done(table.click());
                const look = () => canvas.dataset.tick === "78" ? setTimeout(click, 300) : requestAnimationFrame(look);
                look();
            })""",
            [table, canvas],
        )
        expect(page.locator(".st-key-slow [data-testid=stDataFrame]")).to_be_visible()
        page.wait_for_timeout(2500)  # what is wrong now stays wrong: everything has been sent
        wait_ready(page, 78)
        expect(page.locator(".st-key-read-aloud")).to_contain_text("tick 78")
        expect(grid).to_be_visible()
        page.context.close()


@pytest.mark.parametrize("path", ["/", "/live-migration", "/real-xen", "/manual"])
def test_the_first_visit_of_a_fresh_server_by_deep_link(fresh_server, browser, path):
    """The navigation is ours from the first run on, and the page is the one that was asked for."""
    page = new_page(browser)
    page.goto(f"{fresh_server.url}{path}?scenario=blackboard&tick=77")
    if path != "/manual":
        wait_ready(page, None if path == "/real-xen" else 77)
    assert digest(page, 77)
    links = page.get_by_test_id("stSidebarNavLink").all_text_contents()
    titles = (TITLES[-1], *TITLES[:-1])
    assert len(links) == len(titles), links
    assert all(text.strip().endswith(title) for text, title in zip(links, titles, strict=True)), (
        links
    )  # the icon's name is first
    page.context.close()


def test_a_machine_that_plays_from_the_start(open_page):
    page = open_page("/?scenario=blackboard&tick=100&play=1")
    run_past(page, 120)


def test_a_long_way_shows_progress_and_can_be_cancelled(open_page):
    page = open_page("/?scenario=lecture&tick=1000000000", boards=False)
    page.get_by_role("button", name="Cancel").click()
    wait_ready(page)
    assert ticks(page) < 10**9


def test_playing_paints_300_frames_without_a_blank_on_one_canvas(open_page):
    page = open_page(HOME, tick=900)
    page.evaluate(STOPWATCH)
    page.keyboard.press("Space")
    seen = page.locator('canvas[data-board="dirty-bitmap"]').evaluate(WATCH, 300)
    assert (seen["painted"], seen["elements"], seen["blanks"]) == (300, 1, 0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_home_page_fits_without_scrolling(open_page, theme):
    page = open_page(f"{HOME}&theme={theme}", tick=900)
    wait_quiet(page)
    main = page.get_by_test_id("stMain")
    assert main.evaluate("main => main.scrollHeight <= main.clientHeight && main.scrollWidth <= main.clientWidth")
    sentence = page.locator(".what").bounding_box()
    assert sentence["y"] + sentence["height"] <= 720


def test_the_plotly_heatmap_comes_with_the_switch(open_page):
    page = open_page("/shadow-pool?scenario=blackboard&tick=900", tick=900)
    page.get_by_role("radio", name="Plotly heatmap").click()
    expect(page.locator(".st-key-heatmap-shadow-pool")).to_have_count(1)
    press(page, "ArrowRight", 901)


def test_a_frame_lights_up_its_way_through_the_tables_and_back(open_page):
    """Also in presenter mode, where the two boards are chosen by their number."""
    address = "/ept-npt?scenario=blackboard&road=hap&tick=300&do=enable@100"
    page = open_page(address, tick=300)
    leaves, tables = (page.locator(f'canvas[data-board="{name}"]') for name in ("ept-npt", "nested-tables"))

    def lit(board):
        return board.locator("xpath=..").locator("path.lit").get_attribute("d").count("M")

    def click(board, rows, row, column):  # both have 32 columns, at the right
        box = board.bounding_box()
        pitch = box["height"] / rows
        board.click(position={"x": box["width"] - (31.5 - column) * pitch, "y": (row + 0.5) * pitch})

    click(leaves, 8, 2, 9)
    expect(page.locator(".card")).to_contain_text("a store now")
    assert (lit(leaves), lit(tables)) == (1, 4)
    page.keyboard.press("Escape")
    click(tables, 11, 0, 0)
    expect(page.locator(".card")).to_contain_text("leaves below")
    assert lit(leaves) == 256
    page = open_page(f"{address}&present=1", tick=300)
    for key, shown in (("2", "nested-tables"), ("1", "ept-npt")):
        page.keyboard.press(key)
        expect(page.locator("canvas[data-board]:visible")).to_have_count(1)
        expect(page.locator(f'canvas[data-board="{shown}"]')).to_be_visible()


def test_presenter_mode_shows_nothing_but_the_board(open_page):
    page = open_page(f"{HOME}&present=1", tick=900)
    wait_quiet(page)
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollHeight <= innerHeight")
    press(page, "ArrowRight", 901)


def test_changing_pages_in_the_middle_of_things_loses_nothing(open_page):
    """Steps are still on their way, or the slow parts about to be asked for, when the next page is chosen."""
    page = open_page("/?scenario=blackboard&tick=900", tick=900)
    for k, title in enumerate([*TITLES[1:4], TITLES[-1], TITLES[0]] * 2):
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        page.wait_for_timeout((0, 50, 120, 300, 370)[k % 5])
        page.get_by_role("link", name=title).click()
        expect(page.get_by_role("heading", name=title, level=1)).to_have_count(1)
        expect(page.locator('canvas[data-board][data-ready="1"]').first).to_be_attached()


def test_a_row_of_real_xen_brings_its_maps(open_page, warm):
    film = moments.film("pt")
    page = open_page("/real-xen?recording=pt", tick=film.moments[0].tick)
    page.locator('tr[data-row="11"]').click()
    wait_ready(page, film.moments[11].tick)
    expect(page).to_have_url(re.compile("row=11"))
    expect(page.locator('tr[data-row="11"]')).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    expect(page.locator('tr[data-row="12"]')).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowUp")
    expect(page.locator('tr[data-row="11"]')).to_have_attribute("aria-selected", "true")
    press(page, "ArrowRight", film.moments[11].tick + 1)
    page.get_by_role("radio", name="Maps").click()
    wait_ready(page, film.moments[11].tick + 1)
